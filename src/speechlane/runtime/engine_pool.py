"""Several replicas of one engine as one: one for each GPU, or on other hosts behind clients that are engines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from speechlane.engine import Capabilities, DecodeRequest, Engine, EngineIdentity, Hypothesis
from speechlane.errors import ConfigurationInvalid, EngineFailed, OverCapacity

REST_S = 5.0
"""How long a replica that failed is asked last."""


@dataclass(slots=True, eq=False)
class _Replica:
    engine: Engine
    outstanding: int = 0
    rests_until: float = float("-inf")


class EnginePool:
    """An `Engine` over replicas of equal identity and capabilities, so that a record tells the truth whichever answers.

    A request goes to the replica with the fewest outstanding; where it fails in a way that may pass, or is refused for
    a full queue, the others are asked in turn before the asker learns of it. A replica that failed rests: it fails
    fast, and would else be the least loaded and take every request first.

    Args:
        replicas: at least one; the pool closes them.
        clock: seconds, monotonic.

    Raises:
        ConfigurationInvalid: ``replicas_differ``, or there are none.
    """

    def __init__(self, replicas: Sequence[Engine], *, clock: Callable[[], float] = time.monotonic) -> None:
        kinds = {(replica.identity, replica.capabilities) for replica in replicas}
        if len(kinds) != 1:
            raise ConfigurationInvalid(
                "replicas_differ",
                f"An engine pool needs replicas of one kind, not {len(kinds)}: same model, revision, library versions, "
                "device and compute type. Make them alike, or use them as routes of their own.",
                field="replicas",
                limit=1,
            )
        ((self._identity, self._capabilities),) = kinds
        self._replicas = [_Replica(engine) for engine in replicas]
        self._clock = clock

    @property
    def identity(self) -> EngineIdentity:
        return self._identity

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def decode(self, request: DecodeRequest) -> Hypothesis:
        """Decode one window on some replica; see `Engine.decode`.

        Raises:
            InvalidInput: at once, as every replica would refuse it.
            EngineFailed, OverCapacity: what the last replica raised, after each was asked once.
        """
        untried = list(self._replicas)
        while True:
            now = self._clock()
            replica = min(untried, key=lambda one: (one.rests_until > now, one.outstanding))
            untried.remove(replica)
            replica.outstanding += 1
            try:
                return await replica.engine.decode(request)
            except (EngineFailed, OverCapacity) as error:
                if isinstance(error, EngineFailed) and error.retryable:
                    replica.rests_until = self._clock() + REST_S
                if not error.retryable or not untried:
                    raise
            finally:
                replica.outstanding -= 1

    async def aclose(self) -> None:
        """Close every replica, also where closing another fails; then raise the first failure."""
        outcomes = await asyncio.gather(
            *(replica.engine.aclose() for replica in self._replicas), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
