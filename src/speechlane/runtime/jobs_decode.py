"""One chunk to its text and records: the engine asked, asked again where that may help, and what was asked noted."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from speechlane.audio import SAMPLE_RATE, Samples, position_to_ms
from speechlane.audio.gate import GateSettings
from speechlane.audio.samples import samples_sha256
from speechlane.batch.chunking import Chunk, ChunkRules, Span, split_chunk
from speechlane.batch.job import Job
from speechlane.batch.merge import HeardPart, SegmentRules, words_of
from speechlane.batch.quality import better_of, breaks_off_at, needs_second_try, without_noise
from speechlane.engine import DecodeOptions, DecodeRequest, Engine, Hypothesis, Priority, SpeechGateModel
from speechlane.errors import SpeechlaneError
from speechlane.provenance import ChunkRecord, digest_of
from speechlane.provenance.digest import text_sha256
from speechlane.transcript import text_of
from speechlane.transcript.language import primary_subtag

BEAM_SIZE = 5
SHORT_WINDOW = 20 * SAMPLE_RATE
LONG_WINDOW = 30 * SAMPLE_RATE
WINDOW_MARGIN = 3 * SAMPLE_RATE
"""Samples. A chunk is padded to the short window where that leaves the margin free: it reads as well there, for two
thirds of the time. A loop's second try gets the long one (benchmarks/reports/engine-padding.md)."""

MAX_SPLITS = 3
"""Times that a chunk whose text breaks off is cut in two, halves of halves included."""

TRIES = 3
"""Times that the engine is asked for one chunk while it fails in a way that may pass."""


class ChunkDecoder:
    """Asks one engine; says of itself what manifests need to know."""

    def __init__(self, engine: Engine, gate: SpeechGateModel, now: Callable[[], str]) -> None:
        self.engine = engine
        self.gate = gate
        self.chunk_rules = ChunkRules(gate=GateSettings(endpointing_ms=160, frame_samples=gate.frame_samples))
        self.segment_rules = SegmentRules()
        self.software = f"speechlane {version('speechlane')}, python {platform.python_version()}"
        self._now = now
        self.preprocessing: dict[str, Any] = {
            "decoder": f"av {version('av')}",
            "channels": "mix",
            "resampler": f"soxr {version('soxr')}",
            "speech_gate": gate.version,
            "chunk_rules": asdict(self.chunk_rules),
        }
        self.postprocessing: dict[str, Any] = {
            "noise_gate": "whisper",
            "segment_rules": asdict(self.segment_rules),
        }
        self._preprocess_digest = digest_of(self.preprocessing)
        self._postprocess_digest = digest_of(self.postprocessing)

    async def decode(self, job: Job, chunk: Chunk, samples: Samples) -> tuple[HeardPart, ...]:
        """What is said in one chunk: one part, or more where the text broke off and the chunk was cut in two for it.

        Args:
            job: for its language and route.
            chunk: where in the recording.
            samples: of the chunk, shape (chunk.span.length,).

        Raises:
            SpeechlaneError: what the engine raised, the last of TRIES times where a retry could have helped.
        """
        return await self._parts(job, chunk, samples, attempt=1)

    async def _parts(self, job: Job, chunk: Chunk, samples: Samples, *, attempt: int) -> tuple[HeardPart, ...]:
        language = primary_subtag(job.options.language) if job.options.language is not None else None
        options, tried = DecodeOptions(beam_size=BEAM_SIZE), attempt
        heard = await self._ask(job, samples, language, options)
        if needs_second_try(heard):
            guarded = replace(options, repetition_guard=True)
            second = await self._ask(job, samples, language, guarded)
            if better_of(heard, second) is second:
                heard, options, tried = second, guarded, attempt + 1
        broken_off = breaks_off_at(heard, chunk)
        halves = split_chunk(chunk, broken_off) if broken_off is not None and attempt <= MAX_SPLITS else None
        if halves is None:
            return (self._part(job, chunk.span, samples, without_noise(heard), options, tried),)
        parts: tuple[HeardPart, ...] = ()
        for half in halves:
            start = half.span.start - chunk.span.start
            its_own = samples[start : start + half.span.length]
            parts += await self._parts(job, half, its_own, attempt=attempt + 1)
        return parts

    def _part(
        self, job: Job, span: Span, samples: Samples, heard: Hypothesis, options: DecodeOptions, attempt: int
    ) -> HeardPart:
        words = words_of(heard, span)
        identity = self.engine.identity
        recorded = {**asdict(options), "padded_samples": self._padded(samples, options)}
        record = ChunkRecord(
            chunk_id=job.id,
            lane="batch",
            session=None,
            job=job.id,
            index=0,
            channel=0,
            start_ms=position_to_ms(span.start),
            end_ms=position_to_ms(span.end),
            audio_sha256=samples_sha256(samples),
            **asdict(identity),
            **asdict(heard.figures),
            locale_requested=job.options.language or "auto",
            locale_detected=heard.language if heard.language_probability is not None else None,
            locale_probability=heard.language_probability,
            options=recorded,
            options_digest=digest_of(recorded),
            prefix_tokens_sha256=None,
            partial_decodes=0,
            preprocess_digest=self._preprocess_digest,
            postprocess_digest=self._postprocess_digest,
            vendor_request_id=heard.vendor_request_id,
            attempt=attempt,
            route_reason=job.route.reason,
            billed_ms=None,
            cost=None,
            text_sha256=text_sha256(text_of(words)),
            at=self._now(),
        )
        return HeardPart(words=words, language=heard.language, record=record)

    def _padded(self, samples: Samples, options: DecodeOptions) -> int:
        short = len(samples) + WINDOW_MARGIN <= SHORT_WINDOW and not options.repetition_guard
        window = min(SHORT_WINDOW if short else LONG_WINDOW, self.engine.capabilities.max_window_samples)
        return max(window, len(samples))

    async def _ask(self, job: Job, samples: Samples, language: str | None, options: DecodeOptions) -> Hypothesis:
        request = DecodeRequest(
            samples=samples,
            padded_samples=self._padded(samples, options),
            language=language,
            options=options,
            priority=Priority.BATCH,
            source=job.id,
        )
        async for attempt in AsyncRetrying(
            stop=stop_after_attempt(TRIES),
            wait=wait_random_exponential(multiplier=0.5, max=5),
            retry=retry_if_exception(lambda error: isinstance(error, SpeechlaneError) and error.retryable),
            reraise=True,
        ):
            with attempt:
                return await self.engine.decode(request)
        raise AssertionError("the last attempt answers or raises")
