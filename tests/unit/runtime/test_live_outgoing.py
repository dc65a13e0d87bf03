"""What waits for a slow reader is bounded: partials coalesce, finals are kept, and its own input waits."""

from __future__ import annotations

import asyncio
import json

import pytest

from speechlane.errors import Conflict
from speechlane.live.messages import encode
from speechlane.runtime.live_outgoing import MAX_WAITING_BYTES, Outgoing

pytestmark = pytest.mark.unit


def put(outgoing: Outgoing, kind: str, **fields: object) -> None:
    message = {"type": kind, **fields}
    outgoing.put(message, encode(message))


async def read(outgoing: Outgoing) -> list[dict]:
    return [json.loads(text) async for text in outgoing]


def test_of_partials_only_the_newest_of_each_channel_waits_and_every_final_does():
    """Ten partials of two channels become two; finals stand in their order before them."""
    outgoing = Outgoing(coalesced=lambda: None)
    for revision in range(10):
        put(outgoing, "caption.partial", channel=revision % 2, revision=revision)
        put(outgoing, "caption.final", seq=revision)
    outgoing.close(1000)
    messages = asyncio.run(read(outgoing))
    assert [m["seq"] for m in messages if m["type"] == "caption.final"] == list(range(10))
    assert [m["revision"] for m in messages if m["type"] == "caption.partial"] == [8, 9]


def test_a_reader_that_takes_nothing_stops_its_own_input():
    """Over the bound there is no room until it has read; nothing is dropped."""

    async def waits() -> list[bool]:
        outgoing = Outgoing(coalesced=lambda: None)
        told = []
        for _ in range(MAX_WAITING_BYTES // 1_000 + 1):
            put(outgoing, "caption.final", text="x" * 1_000)
        room = asyncio.create_task(outgoing.room())
        await asyncio.sleep(0)
        told.append(room.done())
        messages = aiter(outgoing)
        for _ in range(200):
            await anext(messages)
        await asyncio.sleep(0)
        told.append(room.done())
        return told

    assert asyncio.run(waits()) == [False, True]


def test_lines_of_the_log_are_read_as_they_are_sent():
    """Messages sent again take no memory: nothing is read of them before the reader comes, and they keep place."""
    taken = []

    def lines():
        for seq in range(3):
            taken.append(seq)
            yield (json.dumps({"message": encode({"type": "caption.final", "seq": seq})}) + "\n").encode()

    outgoing = Outgoing(coalesced=lambda: None)
    outgoing.put_lines(lines())
    put(outgoing, "caption.final", seq=3)
    outgoing.close(1000)
    assert taken == []
    assert [message["seq"] for message in asyncio.run(read(outgoing))] == [0, 1, 2, 3]


def test_a_connection_that_lost_its_session_is_told_nothing_else():
    """What waited for the older connection goes to the newer; the older gets the reason and 4409."""
    outgoing = Outgoing(coalesced=lambda: None)
    put(outgoing, "caption.final", seq=1)
    outgoing.take_over(Conflict("taken_elsewhere", "Another has it."), 4409)
    put(outgoing, "caption.final", seq=2)
    assert [message["type"] for message in asyncio.run(read(outgoing))] == ["error"]
    assert outgoing.close_code == 4409
