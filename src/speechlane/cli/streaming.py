"""From sound to a live session in real time: frames of a file or a microphone, and the loop that sends and shows."""

from __future__ import annotations

import asyncio
import importlib
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path

from speechlane.client import LiveClient, Message
from speechlane.errors import SpeechlaneError
from speechlane.media import read_pcm16

SAMPLE_RATE = 16_000
FRAME_S = 0.1
FRAME_BYTES = int(SAMPLE_RATE * FRAME_S) * 2  # 16-bit samples, one channel

Show = Callable[[Message, float], None]
"""Takes one message and the seconds since the first audio was sent (0 before)."""


async def stream(client: LiveClient, frames: AsyncGenerator[bytes], show: Show) -> None:
    """Send the frames as they come, show what arrives, and return after ``session.finished``.

    Raises:
        SpeechlaneError: what the server refused, that the connection was lost, or why there are no frames.
    """
    loop = asyncio.get_running_loop()
    first: float | None = None

    async def timed() -> AsyncGenerator[bytes]:
        nonlocal first
        async with aclosing(frames):
            async for frame in frames:
                first = first or loop.time()
                yield frame

    async with aclosing(client.stream(timed())) as messages:
        async for message in messages:
            show(message, loop.time() - first if first else 0.0)


def stop_on_interrupt() -> asyncio.Event:
    """An event that Ctrl-C sets, so that the stream ends and its last words still settle; a second one interrupts."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def interrupted() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, interrupted)
    return stop


async def file_frames(path: Path, *, speed: float, stop: asyncio.Event) -> AsyncGenerator[bytes]:
    """The file's audio as 16-bit mono at 16 kHz: frame n of 100 ms comes n x 100 ms / speed after the first.

    Raises:
        InvalidAudio: no audio can be read from the file.
    """
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for number, frame in enumerate(_frames(read_pcm16(path))):
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), begin + number * FRAME_S / speed - loop.time())
        if stop.is_set():
            return
        yield frame


def _frames(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes cut into frames; the last one may be shorter."""
    waiting = b""
    for piece in pieces:
        waiting += piece
        while len(waiting) >= FRAME_BYTES:
            yield waiting[:FRAME_BYTES]
            waiting = waiting[FRAME_BYTES:]
    if waiting:
        yield waiting


async def microphone_frames(*, stop: asyncio.Event) -> AsyncGenerator[bytes]:
    """What the default microphone hears, as 16-bit mono at 16 kHz in frames of 100 ms, until ``stop`` is set.

    Raises:
        SpeechlaneError: ``microphone_unavailable`` when the sounddevice library, PortAudio or a microphone is missing.
    """
    try:
        sounddevice = importlib.import_module("sounddevice")
    except (ImportError, OSError) as error:
        raise SpeechlaneError(
            "microphone_unavailable",
            f"The microphone needs the sounddevice library and PortAudio ({error}). Install it with "
            f"{sys.executable} -m pip install sounddevice (on Debian also: apt install libportaudio2).",
        ) from None
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    def take(data: object, _frames: int, _time: object, _status: object) -> None:
        # Called in PortAudio's thread; the buffer is its own, so the bytes are copied.
        loop.call_soon_threadsafe(heard.put_nowait, bytes(data))  # type: ignore[call-overload]

    try:
        microphone = sounddevice.RawInputStream(
            samplerate=SAMPLE_RATE, channels=1, dtype="int16", blocksize=FRAME_BYTES // 2, callback=take
        )
    except sounddevice.PortAudioError as error:
        raise SpeechlaneError(
            "microphone_unavailable",
            f"The microphone cannot be opened ({error}). Connect one, or stream a file.",
        ) from None
    with microphone:
        while not stop.is_set():
            with suppress(TimeoutError):
                yield await asyncio.wait_for(heard.get(), FRAME_S * 2)
