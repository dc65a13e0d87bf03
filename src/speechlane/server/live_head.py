"""How many channels a container has, read before its session opens: ``diarize: "channel"`` needs a timeline each."""

from __future__ import annotations

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect

from speechlane.audio.format import ContainerFormat
from speechlane.errors import InvalidAudio, InvalidInput
from speechlane.media.streaming import ContainerDecoder

MAX_HEAD_BYTES = 1 << 20
"""Tags with a picture may stand before the sound."""


async def read_channels(socket: WebSocket, container: ContainerFormat, timeout_s: float) -> tuple[int, list[bytes]]:
    """The channels that the container declares, and the frames that were read to see it.

    Raises:
        InvalidInput: ``start_timeout`` when the header does not come, ``bad_start`` when something else does.
        InvalidAudio: ``invalid_audio`` when the bytes are not what was announced.
        WebSocketDisconnect: the client went.
    """
    decoder, frames = ContainerDecoder(container, timelines=1), []
    try:
        async with asyncio.timeout(timeout_s):
            while decoder.source_channels is None:
                frame = await socket.receive()
                if frame["type"] == "websocket.disconnect":
                    raise WebSocketDisconnect(frame.get("code", 1006))
                data = frame.get("bytes")
                if data is None:
                    raise InvalidInput(
                        "bad_start",
                        'diarize is "channel": the session opens when the container\'s header has come. Send audio '
                        "first.",
                        field="audio",
                    )
                frames.append(data)
                await asyncio.to_thread(next, decoder.pieces(data), None)
                size = sum(map(len, frames))
                if decoder.source_channels is None and size > MAX_HEAD_BYTES:
                    raise InvalidAudio(
                        "invalid_audio",
                        f"The first {size} bytes of the {container.encoding} stream do not tell its channels. Send a "
                        'stream with a shorter head, or diarize "none".',
                        field="audio.encoding",
                        limit=MAX_HEAD_BYTES,
                    )
    except TimeoutError as error:
        raise InvalidInput(
            "start_timeout",
            f'diarize is "channel", and no {container.encoding} header came within {timeout_s:g} s. Send audio without '
            "waiting for session.started.",
            field="audio",
            limit=timeout_s,
        ) from error
    return decoder.source_channels, frames
