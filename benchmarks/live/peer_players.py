"""Plays streams to WhisperLiveKit and WhisperLive over their own protocols; see players.py for the timing.

Read generously: of WhisperLiveKit all lines count as settled, of WhisperLive all completed segments. Both are read on
after the audio has ended until their text stands still.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
from material import Stream
from players import Played, cut, moments, send_frames
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from speechlane.scoring import View

STILL_S = 10.0
"""Text that has not changed for so long after the audio's end will not change any more."""

END_S = 90.0
"""Seconds after the audio's end at which a server that is still not done is left."""

READY_S = 60.0
SILENCE = "-2"

Kept = list[tuple[float, dict[str, Any]]]


async def play_whisperlivekit(url: str, stream: Stream, at: float) -> Played:
    """One session over ``/asr``: 16-bit audio, the whole state in each message, an empty frame for the end."""

    async def greet(connection: ClientConnection) -> str | None:
        await connection.recv()  # its configuration
        return None

    async def finish(connection: ClientConnection) -> None:
        await connection.send(b"")

    return await _play(f"{url}/asr", stream, at, cut(stream.pcm), greet, finish, whisperlivekit_views)


async def play_whisperlive(url: str, stream: Stream, at: float) -> Played:
    """One session: float audio, segments in each message. Its end is waited for, as END_OF_AUDIO drops the tail."""

    async def greet(connection: ClientConnection) -> str | None:
        start = {"uid": str(uuid.uuid4()), "language": "en", "task": "transcribe", "model": "tiny.en", "use_vad": True}
        await connection.send(json.dumps(start))
        async with asyncio.timeout(READY_S):
            answer = json.loads(await connection.recv())
        return None if answer.get("message") == "SERVER_READY" else str(answer.get("status", answer))

    async def finish(_: ClientConnection) -> None:
        return

    samples = np.frombuffer(stream.pcm, "<i2").astype(np.float32) / 32_768
    frames = [samples[start : start + 1_600].tobytes() for start in range(0, len(samples), 1_600)]
    return await _play(url, stream, at, frames, greet, finish, whisperlive_views)


async def _play(
    url: str,
    stream: Stream,
    at: float,
    frames: Sequence[bytes],
    greet: Callable[[ClientConnection], Awaitable[str | None]],
    finish: Callable[[ClientConnection], Awaitable[None]],
    views: Callable[[Kept], list[View]],
) -> Played:
    clock = asyncio.get_running_loop().time
    await asyncio.sleep(max(0.0, at - clock()))
    played = Played()
    raw: list[tuple[float, str]] = []
    try:
        async with connect(
            url.replace("http", "ws", 1), compression=None, max_size=1 << 24, open_timeout=READY_S, ping_interval=None
        ) as connection:
            played.refused = await greet(connection)
            if played.refused is not None:
                return played
            begin = clock()
            reader = asyncio.create_task(_read(connection, raw, begin))
            try:
                played.late = await send_frames(connection, frames, begin)
                await finish(connection)
                await _stand_still(reader, raw, begin + stream.seconds)
            finally:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)
    except ConnectionClosed as closed:
        played.broken = f"closed {closed.rcvd.code if closed.rcvd else None}"
    except (OSError, InvalidHandshake, TimeoutError) as error:
        played.refused = type(error).__name__
    played.views = views([(moment, json.loads(text)) for moment, text in raw])
    return played


async def _read(connection: ClientConnection, raw: list[tuple[float, str]], begin: float) -> None:
    """Keep each message that differs from the one before; end at the server's word that it is done."""
    clock = asyncio.get_running_loop().time
    while True:
        text = str(await connection.recv(decode=True))
        if '"ready_to_stop"' in text:
            return
        if not raw or raw[-1][1] != text:
            raw.append((clock() - begin, text))


async def _stand_still(reader: asyncio.Task[None], raw: list[tuple[float, str]], end: float) -> None:
    """Return when the server is done, or has not changed its text for a while, or takes too long."""
    clock = asyncio.get_running_loop().time
    changed, count = clock(), len(raw)
    while not reader.done() and clock() < end + END_S and clock() - changed < STILL_S:
        await asyncio.wait([reader], timeout=0.5)
        if len(raw) > count:
            changed, count = clock(), len(raw)


def whisperlivekit_views(kept: Kept) -> list[View]:
    """Its lines are settled; its buffer is open."""
    views = []
    for at, message in kept:
        if "lines" not in message:
            continue
        lines = [line["text"] or "" for line in message["lines"] if str(line.get("speaker")) != SILENCE]
        views.append(View(at, tuple(" ".join(lines).split()), tuple((message["buffer_transcription"] or "").split())))
    return moments(views)


def whisperlive_views(kept: Kept) -> list[View]:
    """Completed segments, put together by their starts, as only the newest ten are sent; the last may be open."""
    views = []
    completed: dict[float, str] = {}
    for at, message in kept:
        unfinished: tuple[str, ...] = ()
        for segment in message.get("segments", ()):
            if segment["completed"]:
                completed[float(segment["start"])] = segment["text"]
            else:
                unfinished = tuple(segment["text"].split())
        settled = " ".join(text for _, text in sorted(completed.items()))
        views.append(View(at, tuple(settled.split()), unfinished))
    return moments(views)
