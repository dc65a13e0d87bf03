"""The decodes that one session waits for: each a task of its own, whose answer comes back as an event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import cast

from speechlane.audio.buffer import SampleBuffer
from speechlane.audio.samples import WindowDigests
from speechlane.engine import DecodeRequest, Engine, StreamingEngine
from speechlane.errors import SpeechlaneError
from speechlane.live import events
from speechlane.live.actions import Decode

_LOGGER = logging.getLogger(__name__)


class Decodes:
    """Asks engines, by route, for windows of ``buffers``; ``answer`` takes the events, to be stamped with a time."""

    def __init__(
        self,
        session: str,
        engines: Sequence[Engine | StreamingEngine],
        buffers: Sequence[SampleBuffer],
        answer: Callable[[events.Event], None],
    ) -> None:
        self._session, self._engines, self._buffers, self._answer = session, engines, buffers, answer
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._digests = [WindowDigests() for _ in buffers]

    def start(self, ask: Decode) -> None:
        """Ask for a window."""
        self._tasks[ask.request] = asyncio.create_task(self._decode(ask))

    def withdraw(self, request: int) -> None:
        """Its answer is no longer wanted."""
        task = self._tasks.pop(request, None)
        if task is not None:
            task.cancel()

    def withdraw_all(self) -> None:
        """The session has ended."""
        for request in list(self._tasks):
            self.withdraw(request)

    async def _decode(self, ask: Decode) -> None:
        answer: events.Event
        try:
            samples = self._buffers[ask.channel].slice(ask.start, ask.end)
            request = DecodeRequest(
                samples=samples,
                padded_samples=ask.padded,
                language=ask.language,
                prefix=ask.prefix,
                options=ask.options,
                priority=ask.priority,
                keyterms=ask.keyterms,
                source=self._session,
            )
            hypothesis = await cast("Engine", self._engines[ask.route]).decode(request)
            digest = self._digests[ask.channel].of(ask.start, samples)
            answer = events.HypothesisReceived(0, ask.request, hypothesis, digest)
        except SpeechlaneError as problem:
            answer = events.DecodeFailed(0, ask.request, problem.code, problem.message, problem.retryable)
        except Exception as error:
            _LOGGER.exception("session %s: the engine raised", self._session)
            message = f"The engine raised {type(error).__name__}."
            answer = events.DecodeFailed(0, ask.request, "engine_failed", message, retryable=True)
        self._tasks.pop(ask.request, None)
        self._answer(answer)
