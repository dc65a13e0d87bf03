"""The honest fake of a streaming engine: it hears a script in the carrier audio, settles utterances, and breaks.

It tells interim results while words come in, a final one behind a pause of half a second or when flushed, and may fail
at a sample of the recording or fall silent there, as vendors do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from speechlane.audio import SAMPLE_RATE
from speechlane.engine.scripted import ScriptedWord
from speechlane.engine.scripted_audio import position_of
from speechlane.engine.seam import Capabilities, EngineIdentity, HypothesisWord
from speechlane.engine.streaming import StreamOptions, StreamResult
from speechlane.errors import EngineFailed, InvalidInput

if TYPE_CHECKING:
    from speechlane.audio import Samples

_PAUSE = SAMPLE_RATE // 2
_INTERIM_EVERY = SAMPLE_RATE // 5


@dataclass(slots=True)
class ScriptedStreamingEngine:
    """A `StreamingEngine` over a script.

    Args:
        script: words in order, not overlapping, at positions of the recording that the carrier audio spells.
        languages: primary subtags; the first is what is heard when none is asked for.
        fails_at: a position of the recording at which each stream breaks, or None.
        silent_from: a position of the recording from which on no result comes any more, or None.
        refuses: an error that opening raises, or None.
        name: told as the model's name.
    """

    script: Sequence[ScriptedWord]
    languages: tuple[str, ...] = ("en",)
    fails_at: int | None = None
    silent_from: int | None = None
    refuses: EngineFailed | None = None
    name: str = "stream"
    opened: int = field(default=0, init=False)
    """Streams opened so far."""
    _streams: list[ScriptedStream] = field(default_factory=list, init=False)

    @property
    def identity(self) -> EngineIdentity:
        return EngineIdentity("scripted-stream", "scripted-stream 1", self.name, "1" * 40, None, None, None)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            languages=frozenset(self.languages),
            detects_language=len(self.languages) > 1,
            word_times=True,
            confidences=True,
            prefix=False,
            keyterms=False,
            max_window_samples=0,
            streaming=True,
        )

    async def open(self, options: StreamOptions) -> ScriptedStream:
        """Begin a stream; see `StreamingEngine.open`."""
        if options.language is not None and options.language not in self.languages:
            raise InvalidInput(
                "unsupported_language",
                f"language {options.language!r} is not spoken here. Ask for one of: {', '.join(self.languages)}.",
                field="language",
                limit=list(self.languages),
            )
        if self.refuses is not None:
            raise self.refuses
        self.opened += 1
        stream = ScriptedStream(self, options)
        self._streams.append(stream)
        return stream

    async def aclose(self) -> None:
        for stream in self._streams:
            await stream.aclose()


class ScriptedStream:
    """One stream of a `ScriptedStreamingEngine`."""

    def __init__(self, engine: ScriptedStreamingEngine, options: StreamOptions) -> None:
        self._engine, self._options = engine, options
        self._results: asyncio.Queue[StreamResult | EngineFailed | None] = asyncio.Queue()
        self._origin: int | None = None  # the recording's position at the stream's first sample
        self._sent = self._settled = self._told = 0
        self._broken: EngineFailed | None = None

    async def send(self, samples: Samples) -> None:
        """Hear samples; see `EngineStream.send`."""
        self._raise_if_broken()
        if self._origin is None:
            position = position_of(samples)
            self._origin = None if position is None else position - self._sent
        self._sent += len(samples)
        here = (self._origin or 0) + self._sent
        if self._engine.fails_at is not None and here >= self._engine.fails_at:
            self._broken = EngineFailed("stream_broken", "The scripted stream broke. Open another, or another route.")
            self._results.put_nowait(self._broken)
            return
        heard = self._words(self._sent)
        if heard and self._sent - heard[-1].end >= _PAUSE:
            self._tell(heard, self._sent, final=True)
        elif heard and self._sent - self._told >= _INTERIM_EVERY:
            self._tell(heard, self._sent, final=False)

    async def flush(self) -> None:
        """Settle what was sent; see `EngineStream.flush`."""
        self._raise_if_broken()
        self._tell(self._words(self._sent), self._sent, final=True)

    async def results(self) -> AsyncIterator[StreamResult]:
        """Results until `aclose`; see `EngineStream.results`."""
        while (result := await self._results.get()) is not None:
            if isinstance(result, EngineFailed):
                raise result
            yield result

    async def aclose(self) -> None:
        self._broken = self._broken or EngineFailed("stream_closed", "This stream is closed. Open another.")
        self._results.put_nowait(None)

    def _raise_if_broken(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _words(self, until: int) -> list[HypothesisWord]:
        """The words that are not settled and were heard to at least half by now; the last one may be a draft."""
        if self._origin is None:
            return []
        stop = self._origin + until
        words = []
        for word in self._engine.script:
            start = word.start - self._origin
            middle = (word.start + word.end) // 2
            if start < 0 or middle - self._origin < self._settled or middle >= stop:
                continue
            text = next((draft for seen, draft in word.drafts if stop - word.start < seen), word.text)
            end = min(word.end, stop) - self._origin
            if text:
                words.append(HypothesisWord(text, start, end, word.probability))
        return words

    def _tell(self, words: Sequence[HypothesisWord], end: int, *, final: bool) -> None:
        self._told = end
        silent_from = self._engine.silent_from
        if silent_from is not None and (self._origin or 0) + end >= silent_from:
            return
        self._results.put_nowait(
            StreamResult(
                start=self._settled,
                end=end,
                final=final,
                words=tuple(words),
                language=self._options.language or self._engine.languages[0],
                language_probability=None if self._options.language or len(self._engine.languages) == 1 else 0.9,
                vendor_request_id="scripted-1",
            )
        )
        if final:
            self._settled = end
