"""The scripted engine with a price: windows wait in one queue by priority, and a batch takes its time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from speechlane.engine import DecodeRequest, Hypothesis
from speechlane.engine.scripted import ScriptedEngine


class SlowEngine:
    """An `Engine` that decodes up to ``max_batch`` windows at once, in ``fixed_s + windows * each_s`` seconds.

    ``stretch`` multiplies it: what else the machine does.
    """

    def __init__(self, engine: ScriptedEngine, *, fixed_s: float, each_s: float, max_batch: int = 4) -> None:
        self._engine, self._fixed_s, self._each_s, self._max_batch = engine, fixed_s, each_s, max_batch
        self._waiting: list[tuple[int, int, float, DecodeRequest, asyncio.Future[Hypothesis]]] = []
        self._count = 0
        self._working: asyncio.Task[None] | None = None
        self.stretch = 1.0

    @property
    def identity(self):
        return self._engine.identity

    @property
    def capabilities(self):
        return self._engine.capabilities

    async def decode(self, request: DecodeRequest) -> Hypothesis:
        loop = asyncio.get_running_loop()
        self._count += 1
        entry = (int(request.priority), self._count, loop.time(), request, loop.create_future())
        self._waiting.append(entry)
        if self._working is None:
            self._working = loop.create_task(self._work())
        try:
            return await entry[-1]
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            self._waiting.sort(key=lambda entry: entry[:2])
            batch, self._waiting = self._waiting[: self._max_batch], self._waiting[self._max_batch :]
            began = loop.time()
            compute_s = (self._fixed_s + self._each_s * len(batch)) * self.stretch
            await asyncio.sleep(compute_s)
            for _, _, asked, request, future in batch:
                hypothesis = await self._engine.decode(request)
                if not future.done():
                    queued_ms = round((began - asked) * 1000)
                    figures = replace(
                        hypothesis.figures,
                        queued_ms=queued_ms,
                        compute_ms=round(compute_s * 1000),
                        batch_size=len(batch),
                    )
                    future.set_result(replace(hypothesis, figures=figures))
        self._working = None

    async def aclose(self) -> None:
        await self._engine.aclose()
