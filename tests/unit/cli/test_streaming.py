"""Where the frames of a live stream come from: files at the pace of real time, the microphone."""

from __future__ import annotations

import asyncio
import sys
import threading
import types

import pytest

from speechlane.cli import streaming
from speechlane.cli.streaming import FRAME_BYTES, file_frames, microphone_frames
from speechlane.errors import InvalidAudio, SpeechlaneError
from speechlane.samples import sample

pytestmark = pytest.mark.unit


async def collected(frames):
    return [frame async for frame in frames]


@pytest.mark.parametrize("pieces", [[], [b"ab"], [b"x" * FRAME_BYTES], [b"x" * 10, b"y" * FRAME_BYTES * 3, b"z"]])
def test_frames_are_the_same_bytes_cut_anew(pieces):
    """Nothing is lost or added, all frames but the last are whole, and none is empty."""
    frames = list(streaming._frames(pieces))
    assert b"".join(frames) == b"".join(pieces)
    assert all(len(frame) == FRAME_BYTES for frame in frames[:-1])
    assert all(frames)


def test_a_file_that_is_no_audio_is_told():
    """A text file gives the media reader's own error."""
    with pytest.raises(InvalidAudio):
        asyncio.run(collected(file_frames(sample("README.md"), speed=1, stop=asyncio.Event())))


def test_the_pace_is_that_of_the_sound(monkeypatch):
    """Frame n waits until n frames of time have passed since the first, so that no delay adds up."""
    waits = []

    async def wait_for(event, limit):
        event.close()
        waits.append(limit)
        raise TimeoutError

    async def run():
        monkeypatch.setattr(asyncio, "wait_for", wait_for)
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", lambda: 50.0)
        monkeypatch.setattr(streaming, "read_pcm16", lambda _: [b"x" * FRAME_BYTES * 4])
        return await collected(file_frames(sample("jfk.wav"), speed=2, stop=asyncio.Event()))

    assert len(asyncio.run(run())) == 4
    assert waits == pytest.approx([0.0, 0.05, 0.1, 0.15])


def test_a_missing_microphone_library_names_the_install(monkeypatch):
    """Without the optional library the error holds the command that brings it."""
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(SpeechlaneError, match="pip install sounddevice") as caught:
        asyncio.run(collected(microphone_frames(stop=asyncio.Event())))
    assert caught.value.code == "microphone_unavailable"


class Microphone:
    """Stands in for sounddevice's stream: calls back from a thread of its own, as PortAudio does."""

    def __init__(self, *, samplerate, channels, dtype, blocksize, callback):
        assert (samplerate, channels, dtype, blocksize) == (16000, 1, "int16", FRAME_BYTES // 2)
        self._callback = callback
        self._thread = threading.Thread(target=self._hear)

    def _hear(self):
        for number in range(3):
            self._callback(bytearray([number] * FRAME_BYTES), FRAME_BYTES // 2, None, None)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._thread.join()


def test_the_microphones_blocks_are_the_frames(monkeypatch):
    """What the driver's thread delivers comes out in order, until the user stops."""
    driver = types.SimpleNamespace(RawInputStream=Microphone, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", driver)

    async def run():
        stop = asyncio.Event()
        frames = []
        async for frame in microphone_frames(stop=stop):
            frames.append(frame)
            if len(frames) == 3:
                stop.set()
        return frames

    assert asyncio.run(run()) == [bytes([number] * FRAME_BYTES) for number in range(3)]


def test_a_machine_without_a_microphone_is_told(monkeypatch):
    """When the driver cannot open one, the error says what to do instead."""

    def refuse(**_):
        raise OSError("no default input device")

    driver = types.SimpleNamespace(RawInputStream=refuse, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", driver)
    with pytest.raises(SpeechlaneError, match="no default input device"):
        asyncio.run(collected(microphone_frames(stop=asyncio.Event())))
