"""Plays streams to live servers in real time, many at once, and keeps what a reader would have seen of each, and when.

A frame of 100 ms is sent when its last sample has been spoken, as a microphone would. Messages are kept as they
arrive and read afterwards, so that measuring does not slow what is measured.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from material import Stream
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from speechlane.scoring import View

FRAME_S = 0.1
FRAME_BYTES = 3_200
STAGGER_S = 0.37
MOMENT_S = 0.02
"""Messages that follow each other faster are one moment for a reader: a final, say, and the next segment's partial."""
FINISH_S = 60.0
"""Seconds that a server has, after the last frame, to settle what it heard."""


@dataclass
class Played:
    """One session as its client saw it. ``late``: the most by which this client was behind its own schedule, s."""

    views: list[View] = field(default_factory=list)
    refused: str | None = None
    broken: str | None = None
    late: float = 0.0

    @property
    def words(self) -> tuple[str, ...]:
        """The text as it stood at the end."""
        return self.views[-1].words if self.views else ()

    @property
    def whole(self) -> bool:
        return self.refused is None and self.broken is None


Player = Callable[[str, Stream, float], Awaitable[Played]]
"""Plays one stream to the server at an address, from a moment of the event loop's clock on."""


async def play_all(player: Player, url: str, streams: Sequence[Stream]) -> list[Played]:
    """Play all streams at once, each begun a little after the one before."""
    begin = asyncio.get_running_loop().time() + 0.5
    return await asyncio.gather(
        *(player(url, stream, begin + number * STAGGER_S) for number, stream in enumerate(streams))
    )


async def send_frames(connection: ClientConnection, frames: Sequence[bytes], begin: float) -> float:
    """Send each frame when it has been spoken; the most seconds that one was sent late.

    A server that stops reading holds the sender back; that is its own lag and is not counted as ours.
    """
    clock = asyncio.get_running_loop().time
    late = held = 0.0
    for number, frame in enumerate(frames):
        due = begin + (number + 1) * FRAME_S
        if due > clock():
            held = 0.0
            await asyncio.sleep(due - clock())
        late = max(late, clock() - due - held)
        before = clock()
        await connection.send(frame)
        held += clock() - before
    return late


def cut(pcm: bytes) -> list[bytes]:
    """Frames of 100 ms."""
    return [pcm[start : start + FRAME_BYTES] for start in range(0, len(pcm), FRAME_BYTES)]


async def play_speechlane(url: str, stream: Stream, at: float) -> Played:
    """One session of ours."""
    clock = asyncio.get_running_loop().time
    await asyncio.sleep(max(0.0, at - clock()))
    played = Played()
    kept: list[tuple[float, str]] = []
    begin = 0.0
    try:
        async with connect(f"{url.replace('http', 'ws', 1)}/v1/live", compression=None, max_size=1 << 24) as connection:
            start = {"encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 1}
            await connection.send(json.dumps({"type": "session.start", "audio": start, "language": "en"}))
            first = json.loads(await connection.recv())
            if first["type"] != "session.started":
                played.refused = first.get("code", first["type"])
                return played
            begin = clock()

            async def read() -> None:
                while True:
                    text = await connection.recv(decode=True)
                    kept.append((clock() - begin, str(text)))

            reader = asyncio.create_task(read())
            try:
                played.late = await send_frames(connection, cut(stream.pcm), begin)
                await connection.send('{"type":"session.finish"}')
                async with asyncio.timeout(FINISH_S):
                    await asyncio.wait([reader])
            finally:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)
            if connection.close_code != 1000:
                played.broken = f"closed {connection.close_code}"
    except TimeoutError:
        played.broken = f"not finished after {FINISH_S:.0f} s"
    except ConnectionClosed as closed:
        played.broken = f"closed {closed.rcvd.code if closed.rcvd else None}"
    except (OSError, InvalidHandshake) as error:
        played.refused = type(error).__name__
    played.views = speechlane_views(kept)
    return played


def moments(views: Sequence[View]) -> list[View]:
    """Views as a reader has them: what arrives together, within `MOMENT_S`, is seen at once, as the last of it."""
    seen: list[View] = []
    for view in views:
        if seen and view.at - seen[-1].at < MOMENT_S:
            seen[-1] = replace(view, at=seen[-1].at)
        else:
            seen.append(view)
    return seen


def speechlane_views(kept: Sequence[tuple[float, str]]) -> list[View]:
    """What a reader of our captions sees: finals in order, then the newest partial."""
    views: list[View] = []
    finals: list[str] = []
    for at, text in kept:
        message: dict[str, Any] = json.loads(text)
        words = tuple(word["text"].strip() for word in message.get("words", ()))
        if message["type"] == "caption.final":
            finals += words
            views.append(View(at, tuple(finals)))
        elif message["type"] == "caption.partial":
            stable = sum(word["stable"] for word in message["words"])
            views.append(View(at, (*finals, *words[:stable]), words[stable:]))
    return moments(views)
