"""The live client over connections that are lost, against a lane whose captions show every byte."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from contextlib import AsyncExitStack

import pytest
from scripted_lane import CHUNK, ScriptedLane, all_of, captions_of
from websockets.asyncio.server import serve

from speechlane.client import LiveClient, Patience
from speechlane.errors import Conflict, NotAuthenticated, OverCapacity, SessionLost, SpeechlaneError

pytestmark = pytest.mark.integration

AUDIO = random.Random(7).randbytes(20_130)
QUICK = Patience(first_retry_s=0.01, most_retry_s=0.05)


def frames(data=AUDIO, size=640):
    return [data[start : start + size] for start in range(0, len(data), size)]


async def stream(lane, *, audio=AUDIO, patience=QUICK, **options):
    """All messages of a session over this lane."""
    async with lane.serving() as url, asyncio.timeout(20), LiveClient(url, patience=patience, **options) as client:
        return [message async for message in client.stream(frames(audio))]


def texts(messages):
    return [message["text"] for message in messages if message["type"] == "caption.final"]


def numbers(messages):
    return [message["seq"] for message in messages if "seq" in message]


def check_whole(messages, audio=AUDIO):
    """Each caption and each durable message once and in order, to the end."""
    assert texts(messages) == captions_of(audio)
    assert numbers(messages) == list(range(1, len(numbers(messages)) + 1))
    assert messages[-1]["type"] == "session.finished"


@pytest.mark.parametrize("how", ["abort", 1001, 1011, 1012, 1013])
def test_a_lost_connection_changes_nothing(how):
    """However it ends, short of a clean close: what was not safe is sent again, and the program sees all once."""
    lane = ScriptedLane(breaks=[(1, how), (3_000, how), (7_777, how)])
    messages = asyncio.run(stream(lane))
    check_whole(messages)
    assert lane.started == 1
    assert [m["type"] for m in messages].count("session.resumed") == lane.resumed == 3


@pytest.mark.parametrize("seed", range(8))
def test_breaks_at_any_byte_change_nothing(seed):
    """Any number of breaks at any places, and any cut of the audio."""
    chance = random.Random(seed)
    breaks = [(chance.randrange(1, 4_000), chance.choice(["abort", 1012])) for _ in range(chance.randrange(1, 9))]

    async def run():
        async with ScriptedLane(breaks=breaks).serving() as url, LiveClient(url, patience=QUICK) as client:
            return [message async for message in client.stream(frames(size=chance.randrange(1, 3_000)))]

    check_whole(asyncio.run(run()))


def test_a_flush_that_was_not_answered_is_asked_again():
    """Asked before the break and answered before it: once. Not answered: asked again on the next connection."""
    lane = ScriptedLane(breaks=[(2_000, "abort")])

    async def run():
        async with lane.serving() as url, LiveClient(url, patience=QUICK) as client:
            await client.send(AUDIO[:1_000])
            await client.flush("answered")
            seen = []
            async for message in client:
                seen.append(message)
                if message["type"] == "audio.flushed" and message["id"] == "answered":
                    await client.send(AUDIO[1_000:5_000])  # breaks here, with the flush behind it
                    await client.flush("unanswered")
                elif message["type"] == "audio.flushed":
                    await client.finish()
            return seen

    messages = asyncio.run(run())
    check_whole(messages, AUDIO[:5_000])
    assert lane.flushes == ["answered", "unanswered"]


def test_send_waits_while_too_much_is_unacknowledged():
    """The client keeps at most the bound and one piece; what a server does not acknowledge stops the sender."""

    async def silent(socket):
        await socket.recv()
        await socket.send('{"type":"session.started","seq":1,"session":"s","resume_token":"t","resume_window_s":9}')
        await socket.recv()
        await asyncio.sleep(0.1)
        await socket.send('{"type":"audio.ack","received_bytes":100,"replay_from_bytes":100,"replay_from_ms":0}')
        await socket.wait_closed()

    async def run():
        async with serve(silent, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with LiveClient(url, max_unacknowledged_bytes=250) as client:
                for _ in range(4):  # the fourth has to wait for the acknowledgement
                    await client.send(b"x" * 100)
                assert client._session._outbound.safe == 100
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.send(b"x"), 0.1)

    asyncio.run(run())


def test_a_session_that_cannot_be_resumed_says_what_is_missing():
    """Window 0: the first break is the end, and the error holds the moment from which captions are missing."""
    with pytest.raises(SessionLost, match="50000 ms") as caught:
        asyncio.run(stream(ScriptedLane(breaks=[(5_100, "abort")], window_s=0)))
    assert (caught.value.code, caught.value.retryable) == ("connection_lost", True)
    assert (caught.value.session, caught.value.lost_from_ms) == ("s1", 5 * CHUNK * 10)


def test_a_server_that_does_not_come_back_is_given_up():
    """When the resume window has passed, the session is lost and no more tries are made."""

    async def run():
        async with AsyncExitStack() as server:
            url = await server.enter_async_context(ScriptedLane(window_s=0.3).serving())
            async with LiveClient(url, patience=QUICK) as client:
                async for message in client:
                    if message["type"] == "session.started":
                        await server.aclose()

    with pytest.raises(SessionLost, match="cannot go on"):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (4404, SessionLost, "does not know the session"),
        (4409, Conflict, "said_4409"),
        (4401, NotAuthenticated, "said_4401"),
        (4400, SpeechlaneError, "said_4400"),
        (1008, SpeechlaneError, "said_1008"),
    ],
)
def test_refusals_to_resume_are_final(code, kind, says):
    """Taken up elsewhere, not allowed, unknown: no further try, and the error is the server's own."""
    lane = ScriptedLane(breaks=[(2_500, "abort")], answers=[code])
    with pytest.raises(kind) as caught:
        asyncio.run(stream(lane))
    assert says in f"{caught.value.code} {caught.value.message}"
    assert lane.resumed == 1


def test_a_full_server_is_asked_again_for_a_session_it_holds():
    """4429 on a resume passes within the window: the session is still there."""
    lane = ScriptedLane(breaks=[(2_500, "abort")], answers=[4429, 1012, None])
    check_whole(asyncio.run(stream(lane)))
    assert lane.resumed == 3


def test_a_fault_that_does_not_pass_is_final():
    """1011 behind an error that is not retryable ends the session with that error."""
    with pytest.raises(SpeechlaneError) as caught:
        asyncio.run(stream(ScriptedLane(breaks=[(2_500, 1011)], error={"retryable": False})))
    assert caught.value.code == "said_1011"


def test_a_client_may_wait_for_room():
    """At the start 4429 is final, unless the program asked to wait; then the server's hint is followed."""
    with pytest.raises(OverCapacity):
        asyncio.run(stream(ScriptedLane(full=1)))
    lane = ScriptedLane(full=2)
    check_whole(asyncio.run(stream(lane, patience=Patience(first_retry_s=0.01, to_start_s=10)))[2:])
    assert lane.started == 3
    with pytest.raises(OverCapacity):
        asyncio.run(stream(ScriptedLane(full=99), patience=Patience(first_retry_s=0.01, to_start_s=0.2)))


def test_a_silent_client_stays_connected():
    """A client with nothing to say pings, so that it is not closed as idle; the program sees nothing of it."""
    lane = ScriptedLane()

    async def run():
        async with lane.serving() as url, LiveClient(url, patience=Patience(ping_after_s=0.05)) as client:
            async with asyncio.timeout(10):
                for _ in range(3):
                    await lane.pings.acquire()
            await client.finish()
            return await all_of(client)

    assert [message["type"] for message in asyncio.run(run())] == ["session.started", "session.finished"]


def test_a_dead_connection_is_noticed():
    """A server that does not even answer pings is given up, and the session taken up on another connection."""
    lane = ScriptedLane()
    dead, over = [], asyncio.Event()

    async def first_dies(socket):
        if not dead:
            dead.append(socket)
            await socket.recv()
            await lane._start(socket)
            socket.transport.pause_reading()
            await over.wait()
            socket.transport.abort()
            return
        await lane(socket)

    async def run():
        async with serve(first_dies, "127.0.0.1", 0) as server, asyncio.timeout(20):
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            patience = Patience(ping_after_s=0.1, silent_s=0.1, first_retry_s=0.01)
            async with LiveClient(url, patience=patience) as client:
                messages = [message async for message in client.stream(frames())]
            over.set()
            return messages

    check_whole(asyncio.run(run()))
    assert lane.resumed == 1


def test_leaving_early_ends_the_session():
    """A program that leaves before the end says so, that the server need not wait for it to come back."""
    lane = ScriptedLane()

    async def run():
        async with lane.serving() as url:
            async with LiveClient(url) as client:
                async for message in client.stream(frames()):
                    if message["type"] == "session.started":
                        break
            async with asyncio.timeout(5):
                await lane.over.wait()

    asyncio.run(run())


def test_captions_are_a_few_lines():
    """Frames in, captions out, over a lost connection too."""
    lane = ScriptedLane(breaks=[(4_000, "abort")])

    async def run():
        async with lane.serving() as url, LiveClient(url, patience=QUICK) as client:
            return [caption.text async for caption in client.captions(frames()) if caption.final]

    assert asyncio.run(run()) == captions_of(AUDIO)


def test_a_server_that_asks_for_what_it_acknowledged_is_told_off():
    """Bytes that were safe are gone here; the session is lost rather than continued with a hole."""

    async def forgetful(socket):
        first = json.loads(await socket.recv())
        if first["type"] == "session.start":
            await socket.send('{"type":"session.started","seq":1,"session":"s","resume_token":"t","resume_window_s":9}')
            await socket.send('{"type":"audio.ack","received_bytes":640,"replay_from_bytes":640,"replay_from_ms":0}')
            await socket.recv()
            await socket.recv()
            socket.transport.abort()
            return
        await socket.send('{"type":"session.resumed","replay_from_bytes":0,"replay_from_ms":0,"last_seq":1}')
        await socket.wait_closed()

    async def run():
        async with serve(forgetful, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with LiveClient(url, patience=QUICK) as client:
                async for _ in client.stream(frames()):
                    pass

    with pytest.raises(SessionLost, match="byte 0 of the stream is not kept"):
        asyncio.run(run())


def test_what_is_no_speechlane_server_is_told():
    """An echo in its place is one clear error, not a traceback."""

    async def echo(socket):
        await socket.recv()
        await socket.send("hello")
        await socket.wait_closed()

    async def run():
        async with serve(echo, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with LiveClient(url) as client:
                await all_of(client)

    with pytest.raises(SpeechlaneError, match="Check the address"):
        asyncio.run(run())


def test_a_loss_is_logged(caplog):
    """A person who watches is told once a loss, with the reason."""
    with caplog.at_level(logging.WARNING, logger="speechlane.client"):
        asyncio.run(stream(ScriptedLane(breaks=[(2_500, 1012)], answers=[1012, None])))
    assert [record.getMessage() for record in caplog.records] == [
        "connection lost (said_1012); taking the session up again"
    ]


def test_big_pieces_are_cut():
    """A piece longer than a server's frame limit arrives whole, in frames that it takes."""
    audio = AUDIO * 20
    sizes = []

    class Measuring(ScriptedLane):
        async def __call__(self, socket):
            receive = socket.recv

            async def recv():
                frame = await receive()
                sizes.append(len(frame))
                return frame

            socket.recv = recv
            await super().__call__(socket)

    async def run():
        async with Measuring().serving() as url, LiveClient(url) as client:
            await client.send(audio)
            await client.finish()
            return await all_of(client)

    check_whole(asyncio.run(run()), audio)
    assert max(sizes) == 1 << 16
