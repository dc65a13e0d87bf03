"""The live core with the real gate and model: silence stays silent, cuts lose nothing, languages switch."""

from __future__ import annotations

import wave
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from live_simulation import Script, Simulation

from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.engine import DecodeRequest
from speechlane.errors import ModelUnavailable
from speechlane.live import Session
from speechlane.local.silero import SileroGate
from speechlane.local.weights import open_model
from speechlane.local.whisper import WhisperDecoder
from speechlane.router import Route
from speechlane.settings import load_settings

pytestmark = pytest.mark.integration


@dataclass
class Recording(Script):
    """Real sound in place of a script: scored by the real gate, or as speech throughout where it is ``deaf``."""

    words: list = field(default_factory=list)
    duration: int = 0
    samples: Samples = field(default_factory=lambda: np.zeros(0, np.float32))
    deaf: bool = False

    def __post_init__(self) -> None:
        self.duration = len(self.samples)
        self.samples = np.concatenate([self.samples, np.zeros(SAMPLE_RATE, np.float32)])
        self.scores = SileroGate().scorer().score(self.samples)

    def score(self, frame: int) -> float:
        return 0.95 if self.deaf else self.scores[frame]


def play(decoder: WhisperDecoder, recording: Recording, **config: object) -> Simulation:
    """One session over this sound, each answer some 0.2 s after its request."""

    def answer(ask, script):
        samples = script.samples[ask.start : ask.end]
        request = DecodeRequest(samples, ask.padded, ask.language, ask.prefix, ask.options)
        return decoder.decode_batch([request])[0]

    run = Simulation(recording, answer, latency=lambda: 3, config=config)
    route = Route(decoder.identity, decoder.capabilities, "only route")
    run.head = replace(run.head, routes=(route,))
    run.session = Session(run.head)
    return run.run()


def decoder_of(name: str) -> WhisperDecoder:
    try:
        folder = open_model(name, load_settings().models)
    except ModelUnavailable as missing:
        pytest.skip(str(missing))
    return WhisperDecoder(folder.path, model=name, revision=folder.pin.revision, digest=folder.pin.digest)


@pytest.fixture(scope="module")
def tiny(tiny_en: Path) -> WhisperDecoder:
    return WhisperDecoder(tiny_en, model="tiny.en", revision=None, digest=None)


def jfk(repository: Path) -> Samples:
    with wave.open(str(repository / "src/speechlane/samples/jfk.wav")) as clip:
        return np.frombuffer(clip.readframes(clip.getnframes()), "<i2").astype(np.float32) / 32768


def noises() -> dict[str, Samples]:
    """Three seconds each of what is no speech."""
    at = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    chance = np.random.default_rng(5)
    chord = sum(np.sin(2 * np.pi * pitch * at) for pitch in (220, 277.2, 329.6, 440)) * np.exp(-(at % 0.75) * 3)
    clicks = np.zeros_like(at)
    clicks[::4_000] = 0.8
    sounds = {
        "noise": 0.1 * chance.standard_normal(len(at)),
        "hum": 0.2 * np.sin(2 * np.pi * 50 * at) + 0.1 * np.sin(2 * np.pi * 150 * at),
        "chords": 0.15 * chord,
        "clicks": clicks,
        "silence": np.zeros_like(at),
    }
    return {name: sound.astype(np.float32) for name, sound in sounds.items()}


@pytest.mark.parametrize("name", list(noises()))
def test_what_is_no_speech_gives_no_text(tiny, name):
    """Noise, hum, music, clicks and silence show nothing: not even where the gate takes them for speech."""
    for deaf in (False, True):
        run = play(tiny, Recording(samples=noises()[name], deaf=deaf))
        assert run.of("caption.partial") == run.of("caption.final") == [], deaf


def test_speech_without_a_pause_is_cut_without_loss(tiny, repository):
    """The same speech twice without a pause between: each half of the text is there, once."""
    speech = jfk(repository)
    run = play(tiny, Recording(samples=np.concatenate([speech, speech])), interim=False)
    assert run.text.lower().count("fellow americans") == 2
    assert run.text.lower().count("what you can do for your country") == 2
    assert all(ask.end - ask.start <= 14 * SAMPLE_RATE for ask in run.asked)


def test_a_session_follows_its_speakers_language(repository, corpus):
    """English, German, English in one session that detects: each final is in the language that was spoken."""
    english = jfk(repository)
    german, rate = soundfile.read(corpus / "audio" / "fleurs_de_000.ogg", dtype="float32")
    german = soxr.resample(german, rate, SAMPLE_RATE).astype(np.float32)[: 6 * SAMPLE_RATE]
    pause = np.zeros(SAMPLE_RATE, np.float32)
    parts = [english[: 4 * SAMPLE_RATE], pause, german, pause, english[: 4 * SAMPLE_RATE]]
    run = play(decoder_of("base"), Recording(samples=np.concatenate(parts)), language=None, interim=False)
    languages = [final["language"] for final in run.of("caption.final")]
    assert [now for now, before in zip(languages, [None, *languages], strict=False) if now != before] == [
        "en",
        "de",
        "en",
    ]
