"""Write the golden logs anew: scripted ones by simulation, one of real speech by the real engine.

python tests/replay/write_logs.py [--with-engine]
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import tempfile
import wave
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "support"))

from live_simulation import Script, Simulation, Spoken, honest, revising  # noqa: E402  the path is set above

from speechlane.live import events  # noqa: E402  the same


def spoken(count: int, *, pause: int, seed: int) -> Script:
    """Words of 0.2 to 0.5 s with pauses up to ``pause`` samples and sentence ends now and then."""
    chance = random.Random(seed)
    at, words = 8_000, []
    for number in range(count):
        length = chance.randrange(3_200, 8_000)
        words.append(Spoken(f" w{number}{'.' if number % 7 == 6 else ''}", at, at + length))
        at += length + chance.randrange(0, pause)
    return Script(words, at + 16_000)


def engine_trouble() -> Simulation:
    """Every fourth decode fails and may be tried again."""

    def fail(ask):
        if ask.request % 4 == 0:
            return events.DecodeFailed(ask.end // 16, ask.request, "engine_failed", "scripted", retryable=True)
        return None

    return Simulation(spoken(30, pause=6_000, seed=3), honest, latency=lambda: 2, fail=fail).run()


def scripted() -> dict[str, Simulation]:
    """The scripted logs by name."""
    return {
        "long_speech": Simulation(spoken(60, pause=900, seed=1), revising(1, 0.2), latency=lambda: 4).run(),
        "two_channels": Simulation(
            spoken(12, pause=9_000, seed=2), honest, config={"timelines": 2, "diarize": "channel"}
        ).run(),
        "engine_trouble": engine_trouble(),
        "flushes": Simulation(spoken(24, pause=3_000, seed=4), revising(4, 0.3), latency=lambda: 3).run(
            flush_at=[40_000, 90_000, 90_500]
        ),
    }


async def real_speech(folder: Path) -> None:
    """Leave in ``folder`` the log of the bundled JFK clip, sent in real time to the real engine."""
    from speechlane.audio.format import AudioFormat
    from speechlane.live.config import SessionConfig, SessionLimits
    from speechlane.local.dispatcher import EngineDispatcher
    from speechlane.local.silero import SileroGate
    from speechlane.local.weights import open_model
    from speechlane.local.whisper import WhisperDecoder
    from speechlane.router import RouteRequest
    from speechlane.runtime.live_hub import LiveHub, StartRequest
    from speechlane.samples import sample
    from speechlane.settings import load_settings
    from speechlane.storage.memory import MemoryRegistry

    model = open_model("tiny.en", load_settings().models)
    decoder = WhisperDecoder(model.path, model="tiny.en", revision=model.pin.revision, digest=model.pin.digest)
    engine = EngineDispatcher(decoder)
    with sample("jfk.wav").open("rb") as file, wave.open(file) as recording:
        audio = recording.readframes(recording.getnframes())
    hub = LiveHub(
        engines=[engine],
        gate=SileroGate(),
        registry=MemoryRegistry(),
        logs=folder,
        limits=SessionLimits(),
        max_sessions=1,
    )
    config = SessionConfig(encoding="pcm_s16le", sample_rate=16_000, bytes_per_frame=2, language="en")
    driver = hub.open("default", StartRequest(AudioFormat("pcm_s16le", 16_000, 1), config, RouteRequest()))

    async def send() -> None:
        for start in range(0, len(audio), 3_200):
            await driver.audio(audio[start : start + 3_200])
            await asyncio.sleep(0.1)
        driver.finish()

    sending = asyncio.create_task(send())
    async for _ in driver.outgoing:
        pass
    await sending
    await engine.aclose()


def main() -> None:
    """Write them."""
    for name, run in scripted().items():
        (FOLDER / "logs" / f"{name}.jsonl").write_text("".join(run.log), encoding="utf-8")
    if "--with-engine" in sys.argv:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(real_speech(Path(folder)))
            (log,) = Path(folder).glob("*/events.jsonl")
            shutil.copyfile(log, FOLDER / "logs" / "jfk.jsonl")


if __name__ == "__main__":
    main()
