"""Values and Protocols of the engine seam.

An engine knows nothing of sessions or jobs. It is asked to decode one window of audio and answers with a hypothesis;
both lanes ask through the same door. Whoever implements these Protocols passes `tests/conformance`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speechlane.audio import Samples
    from speechlane.diarization import SpeakerBounds, Turn


class Priority(enum.IntEnum):
    """Who goes first when requests wait for the same engine; lower goes first."""

    FINAL = 0
    FIRST_PARTIAL = 1
    PARTIAL = 2
    BATCH = 3


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do, as data that tests, router and docs all read.

    ``languages`` are primary subtags (``en``); ``detects_language`` says whether None may be asked for.
    ``prefix``: a forced prefix of tokens is honoured. ``keyterms``: words that are likelier heard when they are named.
    ``max_window_samples`` bounds one request. ``streaming``: spoken to in streams (`StreamingEngine`), not in windows
    (`Engine`).
    """

    languages: frozenset[str]
    detects_language: bool
    word_times: bool
    confidences: bool
    prefix: bool
    keyterms: bool
    max_window_samples: int
    streaming: bool = False


@dataclass(frozen=True, slots=True)
class EngineIdentity:
    """What a provenance record says of an engine, under the record's names; None is what the engine does not tell."""

    engine: str
    engine_version: str
    model: str
    model_revision: str | None
    model_digest: str | None
    device: str | None
    compute_type: str | None
    region: str | None = None

    @property
    def pin(self) -> str:
        """``name@revision`` with the revision's first seven characters, e.g. ``tiny.en@0d3d19a``."""
        return f"{self.model}@{self.model_revision[:7]}" if self.model_revision else self.model


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """How to decode; recorded whole in provenance.

    ``beam_size`` 1 is greedy. ``repetition_guard`` forbids repeating any three tokens and makes repeated ones unlikely:
    the last means against a repetition loop. ``max_tokens`` bounds the answer (prefix apart); None leaves the model's
    own bound.
    """

    beam_size: int = 1
    repetition_guard: bool = False
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DecodeRequest:
    """One window to decode.

    ``samples``: shape (n,), mono float32, 16 kHz, 0 < n <= max_window_samples. ``padded_samples`` >= n: the length
    that the encoder sees, the rest silence; the padded length alone changes the text of a small model, so it is the
    asker's decision, is recorded, and only equal lengths share a batch. ``language``: primary subtag, None to detect.
    ``prefix``: tokens of words already settled at the start of this window, taken from earlier
    `HypothesisWord.tokens` of the same engine. ``keyterms``: names and words to expect, in order of weight; an engine
    takes as many as it has room for. ``source``: who asks, a session or a job; engines that serve many share
    themselves out evenly among sources.
    """

    samples: Samples
    padded_samples: int
    language: str | None
    prefix: tuple[int, ...] = ()
    options: DecodeOptions = field(default_factory=DecodeOptions)
    priority: Priority = Priority.FINAL
    keyterms: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class HypothesisWord:
    """One word; ``start`` and ``end`` are sample offsets within the window, 0 <= start <= end <= n, in order.

    ``text`` carries its own leading space and punctuation. ``tokens`` are opaque outside the engine that made them.
    """

    text: str
    start: int
    end: int
    probability: float | None
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DecodeFigures:
    """What one decode cost, under a provenance record's names: times in ms, the batch it shared, the length seen."""

    queued_ms: int = 0
    compute_ms: int = 0
    batch_size: int = 1
    padded_ms: int = 0


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What the engine heard *after* the forced prefix; the prefix itself is not repeated.

    ``language`` is what was decoded in; ``language_probability`` is None unless it was detected.
    ``no_speech_probability`` and ``average_logprob`` are the model's own, None when it gives none.
    ``repetitive``: the text loops (its zlib compression ratio, prefix included, is over 2.4, Whisper's own bound).
    ``truncated``: the answer stopped at a token bound, not at its end.
    """

    words: tuple[HypothesisWord, ...]
    language: str | None
    language_probability: float | None = None
    no_speech_probability: float | None = None
    average_logprob: float | None = None
    repetitive: bool = False
    truncated: bool = False
    figures: DecodeFigures = field(default_factory=DecodeFigures)
    vendor_request_id: str | None = None

    @property
    def text(self) -> str:
        return "".join(word.text for word in self.words)


class Engine(Protocol):
    """A recogniser that many sessions and jobs share; safe to call concurrently from one event loop."""

    @property
    def identity(self) -> EngineIdentity: ...

    @property
    def capabilities(self) -> Capabilities: ...

    async def decode(self, request: DecodeRequest) -> Hypothesis:
        """Decode one window. Cancelling the awaiting task withdraws a request that has not started.

        Raises:
            InvalidInput: a window, prefix or language that the engine's capabilities exclude.
            EngineFailed: the engine raised; ``retryable`` says whether to try again.
        """
        ...

    async def aclose(self) -> None:
        """Finish what runs, refuse what waits (EngineFailed ``engine_closed``), free the model."""
        ...


class SpeechScorer(Protocol):
    """Scores one channel's audio as it arrives; holds that channel's state."""

    def score(self, samples: Samples) -> tuple[float, ...]:
        """Append samples, shape (n,), any n; return the speech probability of each whole frame completed."""
        ...


class SpeechGateModel(Protocol):
    """A speech detector shared by all channels; the state lies in the scorers."""

    @property
    def frame_samples(self) -> int:
        """Samples a score covers."""
        ...

    @property
    def version(self) -> str:
        """Name, version and digest, for provenance."""
        ...

    def scorer(self) -> SpeechScorer:
        """A fresh scorer for one channel."""
        ...


@dataclass(frozen=True, slots=True)
class DiarizerIdentity:
    """What a manifest says of a diarizer: its name and version, and its models' names with digests."""

    diarizer: str
    diarizer_version: str
    models: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, float | int | str], ...] = ()


class Diarizer(Protocol):
    """Finds who spoke when in one finished recording."""

    @property
    def identity(self) -> DiarizerIdentity: ...

    async def diarize(self, samples: Samples, bounds: SpeakerBounds) -> Sequence[Turn]:
        """Speaker turns ordered by start; turns of different speakers may overlap; silence gives none.

        ``samples``: shape (n,), mono float32, 16 kHz.

        Speakers are named ``S1``, ``S2`` ... in order of first speech.

        Raises:
            InvalidInput: ``invalid_recording``, the samples are not one row.
            EngineFailed: the diarizer's model raised.
        """
        ...
