"""The live client against a loopback server that speaks the protocol by a script."""

from __future__ import annotations

import asyncio
import json
import wave
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import serve
from websockets.server import ServerProtocol

from speechlane.cli.streaming import FRAME_BYTES, file_frames, stream
from speechlane.client import LiveClient
from speechlane.errors import InvalidInput, NotAuthenticated, SpeechlaneError
from speechlane.samples import sample

pytestmark = pytest.mark.integration


@asynccontextmanager
async def scripted_server(handler):
    """A server on a free loopback port; yields its URL."""
    async with serve(handler, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def refuse_with(code, close_code):
    async def handler(socket):
        await socket.recv()
        error = {"type": "error", "code": code, "message": "No. Do this.", "fault": "client", "retryable": False}
        await socket.send(json.dumps(error))
        await socket.close(close_code)

    return handler


class Recorder:
    """Accepts a session, keeps all that it was sent, and finishes when asked."""

    def __init__(self):
        self.start, self.audio, self.controls, self.headers = {}, [], [], {}

    async def __call__(self, socket):
        self.headers = socket.request.headers
        self.start = json.loads(await socket.recv())
        await socket.send('{"type":"session.started","seq":1,"session":"s","a_new_field":1}')
        async for frame in socket:
            if isinstance(frame, bytes):
                self.audio.append(frame)
                continue
            control = json.loads(frame)
            self.controls.append(control)
            if control["type"] == "audio.flush":
                await socket.send(json.dumps({"type": "audio.flushed", "seq": 2, "id": control["id"]}))
            else:
                await socket.send('{"type":"session.finished","seq":3}')
                await socket.close(1000)


def test_a_session_from_start_to_finish():
    """The client opens with session.start, sends bytes as they are, and yields every message up to the last."""
    recorder = Recorder()

    async def run():
        async with (
            scripted_server(recorder) as url,
            LiveClient(url, language="en", key="k" * 16, options={"endpointing_ms": 700}) as client,
        ):
            await client.send(b"\x01\x02")
            await client.flush("f1")
            await client.finish()
            return [message["type"] async for message in client]

    assert asyncio.run(run()) == ["session.started", "audio.flushed", "session.finished"]
    assert recorder.start == {
        "type": "session.start",
        "audio": {"encoding": "pcm_s16le", "sample_rate": 16000, "channels": 1},
        "language": "en",
        "endpointing_ms": 700,
    }
    assert recorder.headers["Authorization"] == "Bearer " + "k" * 16
    assert recorder.audio == [b"\x01\x02"]


def test_a_file_is_streamed_whole_in_order_and_timed():
    """All of the file's samples arrive once, in frames of 100 ms, and received_s counts from the first."""
    recorder = Recorder()
    seen = []

    async def run():
        async with scripted_server(recorder) as url, LiveClient(url) as client:
            frames = file_frames(sample("jfk.wav"), speed=1000, stop=asyncio.Event())
            await stream(client, frames, lambda message, received_s: seen.append((message["type"], received_s)))

    asyncio.run(run())
    assert {len(frame) for frame in recorder.audio[:-1]} == {FRAME_BYTES}
    with wave.open(str(sample("jfk.wav"))) as file:
        assert b"".join(recorder.audio) == file.readframes(file.getnframes())
    assert seen[-1][0] == "session.finished"
    assert seen[-1][1] > 0


def test_a_stop_ends_the_stream_and_settles_it():
    """When the user stops, no more audio is sent, but the session is finished and its last messages shown."""
    recorder = Recorder()
    seen = []

    async def run():
        stop = asyncio.Event()
        stop.set()
        async with scripted_server(recorder) as url, LiveClient(url) as client:
            await stream(client, file_frames(sample("jfk.wav"), speed=1, stop=stop), lambda *shown: seen.append(shown))

    asyncio.run(run())
    assert recorder.audio == []
    assert [message["type"] for message, _ in seen] == ["session.started", "session.finished"]


@pytest.mark.parametrize(("close_code", "kind"), [(4400, InvalidInput), (4401, NotAuthenticated)])
def test_a_refusal_is_shown_and_then_raised(close_code, kind):
    """The error message is yielded like any other; the close behind it raises what it said."""
    seen = []

    async def run():
        async with scripted_server(refuse_with("no_way", close_code)) as url, LiveClient(url) as client:
            frames = file_frames(sample("jfk.wav"), speed=1000, stop=asyncio.Event())
            await stream(client, frames, lambda message, _: seen.append(message["type"]))

    with pytest.raises(kind, match=r"No\. Do this\.") as caught:
        asyncio.run(run())
    assert caught.value.code == "no_way"
    assert seen == ["error"]


def test_a_refusal_that_comes_with_the_handshake_is_told():
    """A server that refuses before the client has said a word, a missing key say, is told as such, not as a loss."""

    async def refuse_at_once(reader, writer):
        protocol = ServerProtocol()
        while not (asked := protocol.events_received()):
            protocol.receive_data(await reader.read(4_096))
        protocol.send_response(protocol.accept(asked[0]))
        protocol.send_text(b'{"type":"error","code":"key_required","message":"No key.","fault":"client"}')
        protocol.send_close(4401)
        writer.write(b"".join(protocol.data_to_send()))  # all of it in one piece
        await reader.read()
        writer.close()

    async def run():
        async with await asyncio.start_server(refuse_at_once, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with LiveClient(f"http://127.0.0.1:{port}") as client:
                return [message async for message in client]

    with pytest.raises(NotAuthenticated) as caught:
        asyncio.run(asyncio.wait_for(run(), 20))
    assert caught.value.code == "key_required"


def test_a_connection_that_ends_without_a_word_is_told():
    """A server that dies in mid-session is a connection_lost that may be tried again."""

    async def vanish(socket):
        await socket.recv()
        socket.transport.abort()

    async def run():
        async with scripted_server(vanish) as url, LiveClient(url) as client:
            return [message async for message in client]

    with pytest.raises(SpeechlaneError) as caught:
        asyncio.run(run())
    assert (caught.value.code, caught.value.retryable) == ("connection_lost", True)


def test_a_source_that_fails_ends_the_session():
    """When no audio can be read, that is the error, and the session does not hang."""
    recorder = Recorder()

    async def broken():
        yield b"\x00" * FRAME_BYTES
        raise InvalidInput("broken_source", "The source broke. Mend it.")

    async def run():
        async with scripted_server(recorder) as url, LiveClient(url) as client:
            await stream(client, broken(), lambda *_: None)

    with pytest.raises(InvalidInput, match="The source broke"):
        asyncio.run(run())


def test_a_view_that_fails_ends_the_session():
    """A pipe whose reader went away is that error itself, so that the program can end quietly."""

    def broken_pipe(*_):
        raise BrokenPipeError

    async def run():
        async with scripted_server(Recorder()) as url, LiveClient(url) as client:
            await stream(client, file_frames(sample("jfk.wav"), speed=1, stop=asyncio.Event()), broken_pipe)

    with pytest.raises(BrokenPipeError):
        asyncio.run(run())


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "ws://127.0.0.1:9"])
def test_nobody_there(url):
    """An address where nobody listens gives one error with the command that starts a server."""

    async def run():
        async with LiveClient(url):
            pass

    with pytest.raises(SpeechlaneError, match="speechlane serve") as caught:
        asyncio.run(run())
    assert caught.value.code == "unreachable"
