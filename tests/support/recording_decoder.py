"""A decoder that tells its work and can be held, and a dispatcher over it whose worker is held."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import numpy as np

from speechlane.engine import DecodeRequest, EngineIdentity, Hypothesis, Priority
from speechlane.engine.checks import check_request
from speechlane.engine.scripted import ScriptedEngine
from speechlane.local.dispatcher import EngineDispatcher

LIMIT_S = 10
PADDED = 32_000


class RecordingDecoder:
    """Answers each window with its length as text; records batches; can be held and told to fail.

    ``spoiled``: lengths of windows that make any batch they are in fail.
    """

    capabilities = ScriptedEngine(()).capabilities
    identity = EngineIdentity("recording", "1", "none", None, None, None, None)

    def __init__(self, spoiled: Sequence[int] = (), error: Exception | None = None) -> None:
        self.batches: list[list[int]] = []
        self.prepared_on: set[str] = set()
        self.closed = False
        self.free = threading.Event()
        self.busy = threading.Event()
        self.spoiled = spoiled
        self.error = error or RuntimeError("boom")

    def check(self, request: DecodeRequest) -> None:
        check_request(request, self.capabilities)

    def batch_key(self, request: DecodeRequest) -> int:
        return request.padded_samples

    def prepare(self, request: DecodeRequest) -> int:
        self.prepared_on.add(threading.current_thread().name)
        return len(request.samples)

    def decode_batch(self, requests: Sequence[DecodeRequest], prepared: Sequence[int]) -> list[Hypothesis]:
        assert list(prepared) == [len(request.samples) for request in requests]
        self.batches.append([len(request.samples) for request in requests])
        self.busy.set()
        assert self.free.wait(LIMIT_S)
        if any(len(request.samples) in self.spoiled for request in requests):
            raise self.error
        return [Hypothesis((), str(len(request.samples))) for request in requests]

    def close(self) -> None:
        self.closed = True


def window(length: int, priority: Priority = Priority.FINAL, padded: int = PADDED, source: str = "") -> DecodeRequest:
    return DecodeRequest(np.zeros(length, np.float32), padded, "en", priority=priority, source=source)


def run(
    decoder: RecordingDecoder,
    scenario: Callable[[EngineDispatcher, asyncio.Task[Hypothesis]], Awaitable[None]],
    **options: int,
) -> None:
    """Run a scenario with the worker held in a first decode of length 1; free it and close at the end."""

    async def whole() -> None:
        dispatcher = EngineDispatcher(decoder, **options)
        first = asyncio.create_task(dispatcher.decode(window(1)))
        try:
            assert await asyncio.to_thread(decoder.busy.wait, LIMIT_S)
            await scenario(dispatcher, first)
        finally:
            decoder.free.set()
            await dispatcher.aclose()
            await asyncio.gather(first, return_exceptions=True)

    asyncio.run(whole())


async def queued(dispatcher: EngineDispatcher, *requests: DecodeRequest) -> list[asyncio.Task[Hypothesis]]:
    """Tasks that wait in the queue, in this order."""
    tasks = [asyncio.create_task(dispatcher.decode(request)) for request in requests]
    await asyncio.sleep(0)
    return tasks


async def finished(decoder: RecordingDecoder, tasks: Sequence[asyncio.Task[Hypothesis]]) -> list[object]:
    """Free the worker and wait for the tasks' outcomes."""
    decoder.free.set()
    return await asyncio.gather(*tasks, return_exceptions=True)
