"""The seam of engines that listen to a stream: audio goes in as it comes, results come back in the engine's own time.

A cloud vendor's live API is one such engine. It finds utterances by itself: interim results replace each other until a
final one settles their stretch of the stream. Whoever implements these Protocols passes
``tests/conformance/test_streaming_engine.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from speechlane.engine.seam import Capabilities, EngineIdentity, HypothesisWord

if TYPE_CHECKING:
    from speechlane.audio import Samples


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """What a stream is opened with. ``language``: primary subtag, None to detect."""

    language: str | None
    keyterms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamResult:
    """What was heard in the samples [start, end) of the stream, counted from its first sample.

    Final results follow each other without gap or overlap; an interim one begins where the last final one ended and is
    replaced by the next result. ``words``: in order, their times counted from the stream's first sample too; a final
    result without words says that nothing was said in its stretch.
    """

    start: int
    end: int
    final: bool
    words: tuple[HypothesisWord, ...]
    language: str | None = None
    language_probability: float | None = None
    vendor_request_id: str | None = None


class EngineStream(Protocol):
    """One open stream; its methods are called by one task, `results` is iterated by another."""

    async def send(self, samples: Samples) -> None:
        """Append samples, shape (n,), mono float32, 16 kHz; waits while the engine takes no more.

        Raises:
            EngineFailed: the stream is broken; ``retryable`` says whether to open another.
        """
        ...

    async def flush(self) -> None:
        """Ask that all that was sent be settled: a final result that ends at or behind the last sample answers.

        Raises:
            EngineFailed: as `send`.
        """
        ...

    def results(self) -> AsyncIterator[StreamResult]:
        """Results as they come, until `aclose`.

        Raises:
            EngineFailed: the stream broke.
        """
        ...

    async def aclose(self) -> None:
        """Give the stream up; nothing more comes. Closing twice does nothing more."""
        ...


class StreamingEngine(Protocol):
    """A recogniser that is spoken to in streams, many at once."""

    @property
    def identity(self) -> EngineIdentity: ...

    @property
    def capabilities(self) -> Capabilities:
        """With ``streaming`` set."""
        ...

    async def open(self, options: StreamOptions) -> EngineStream:
        """Begin a stream.

        Raises:
            InvalidInput: options that the capabilities exclude.
            EngineFailed: the engine cannot be reached or refuses; ``retryable`` says whether to try again.
        """
        ...

    async def aclose(self) -> None:
        """Close what is open and free what is held."""
        ...
