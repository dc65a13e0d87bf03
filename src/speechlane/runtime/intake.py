"""A session's audio on its way to the core: bytes to samples, samples to scored blocks of fixed length.

Audio reaches the core in blocks, so that how a client cuts its frames changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.audio.buffer import SampleBuffer
from speechlane.audio.decoder import LiveDecoder
from speechlane.engine import SpeechGateModel
from speechlane.errors import InvalidAudio

_Result = TypeVar("_Result")

BLOCK_FRAMES = 2
"""Score frames in one block: 64 ms with Silero's 512 samples."""

INLINE_SAMPLES = SAMPLE_RATE // 4
"""Audio that is scored where it stands: handing so little to a thread costs more than scoring it."""


@dataclass(slots=True)
class Block:
    """Audio that is decoded and scored, on its way to the core."""

    position: int
    received_bytes: int
    scores: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the core had heard a stream that is taken up again.

    ``start``: the sample at which the decoder begins anew; ``position``: samples heard; ``frames``: scores given for
    each timeline; ``bytes``: of the stream before ``start``.
    """

    start: int
    bytes: int
    position: int
    frames: int


class Intake:
    """Decodes and scores one session's stream. ``blocks`` wait for the core, ``buffers`` hold each timeline's samples.

    ``standing`` is given where a stream is taken up after a restart: what the core has heard makes no block again.
    """

    def __init__(
        self, decoder: LiveDecoder, gate: SpeechGateModel, frame_samples: int, standing: Standing | None = None
    ) -> None:
        began = standing or Standing(0, 0, 0, 0)
        self.blocks: deque[Block] = deque()
        self.buffers = [SampleBuffer(began.start) for _ in range(decoder.channels)]
        self._decoder, self._frame_samples = decoder, frame_samples
        self._pieces: Iterator[list[Samples]] | None = None  # of the bytes taken last
        self._deaf = False  # behind sound that cannot be decoded
        self._scorers = [gate.scorer() for _ in self.buffers]
        self._unsent: list[list[float]] = [[] for _ in self.buffers]
        self._received = began.bytes
        self._frames_sent, self._position_sent = began.frames, began.position
        # Scorers begin at a whole frame, and go over what was scored before without telling it again.
        first_frame = -(-began.start // frame_samples)
        self._unscored = first_frame * frame_samples - began.start
        self._known_scores = began.frames - first_frame

    @property
    def received(self) -> int:
        """The stream's bytes so far."""
        return self._received

    def take(self, data: bytes) -> None:
        """Take the stream's next bytes, which `hear_more` decodes while ``pending``."""
        self._received += len(data)
        if not self._deaf:
            self._pieces = self._decoder.pieces(data)

    @property
    def pending(self) -> bool:
        """Whether the bytes taken last may hold more sound. It waits until there is room: a few may hold hours."""
        return self._pieces is not None

    async def hear_more(self) -> None:
        """Decode and score what comes next of the bytes taken last.

        Raises:
            InvalidAudio: it cannot be decoded. What came before it counts, what comes behind it is not heard.
        """
        assert self._pieces is not None
        piece = await self._decode(next, self._pieces, None)
        if piece is None:
            self._pieces = None
        else:
            await self._take(piece)

    async def flush(self) -> None:
        """Let all go to the core that was heard so far; the stream goes on. Raises as `hear_more` does."""
        await self._take(await self._decode(self._decoder.flush))
        self._cut_rest()

    async def finish(self) -> int:
        """The stream ends: let all go to the core; return the bytes of a partial sample that were dropped.

        Raises as `hear_more` does.
        """
        if self._deaf:
            return 0
        tail = await self._decode(self._decoder.finish)
        await self._take(tail.samples)
        self._cut_rest()
        return tail.dropped_bytes

    async def _decode(self, call: Callable[..., _Result], *args: object) -> _Result:
        """Packets may take milliseconds, and go to a thread; raw samples are quicker than the way there."""
        try:
            return await asyncio.to_thread(call, *args) if self._decoder.blocking else call(*args)
        except InvalidAudio:
            self._pieces, self._deaf = None, True
            raise

    async def catch_up(self) -> None:
        """After what is stored was heard again: hold all that the core has heard, were it by a flush before."""
        if self.buffers[0].end < self._position_sent:
            await self._take(await self._decode(self._decoder.flush))
        missing = self._position_sent - self.buffers[0].end
        if missing > 0:  # where a resampled stretch was rounded otherwise, by a sample
            await self._take([np.zeros(missing, np.float32) for _ in self.buffers])

    def forget(self) -> None:
        """The session is over: let go of the sound."""
        self._pieces = None
        self.blocks.clear()
        self.buffers.clear()
        self._scorers.clear()

    async def _take(self, channels: Sequence[Samples]) -> None:
        for start in range(0, len(channels[0]), SAMPLE_RATE):
            pieces = [channel[start : start + SAMPLE_RATE] for channel in channels]
            inline = len(pieces[0]) * len(pieces) <= INLINE_SAMPLES
            scores = self._score(pieces) if inline else await asyncio.to_thread(self._score, pieces)
            for channel, buffer in enumerate(self.buffers):
                buffer.append(pieces[channel])
                self._unsent[channel].extend(scores[channel])
            if self._known_scores > 0:
                self._pass_over_known()
            while len(self._unsent[0]) >= BLOCK_FRAMES:
                self._cut_block(BLOCK_FRAMES)

    def _score(self, pieces: Sequence[Samples]) -> list[tuple[float, ...]]:
        if self._unscored:
            passed = min(self._unscored, len(pieces[0]))
            self._unscored -= passed
            pieces = [piece[passed:] for piece in pieces]
        return [scorer.score(piece) for scorer, piece in zip(self._scorers, pieces, strict=True)]

    def _pass_over_known(self) -> None:
        passed = min(self._known_scores, len(self._unsent[0]))
        self._known_scores -= passed
        for unsent in self._unsent:
            del unsent[:passed]

    def _cut_block(self, frames: int) -> None:
        self._frames_sent += frames
        self._position_sent = max(self._position_sent, self._frames_sent * self._frame_samples)
        scores = tuple(tuple(unsent[:frames]) for unsent in self._unsent)
        for unsent in self._unsent:
            del unsent[:frames]
        self.blocks.append(Block(self._position_sent, self._received, scores))

    def _cut_rest(self) -> None:
        """The last, shorter block, up to the last sample."""
        if self._position_sent < self.buffers[0].end:
            self._position_sent = self.buffers[0].end
            self._cut_block(len(self._unsent[0]))
