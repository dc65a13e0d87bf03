"""Whisper tiny.en on real speech: what it hears, when, and what it does at the edges."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.engine import DecodeOptions, DecodeRequest, Hypothesis
from speechlane.errors import ConfigurationInvalid, EngineFailed, ModelUnavailable
from speechlane.local.ctranslate import WAIT_POLICY, library
from speechlane.local.whisper import WhisperDecoder

pytestmark = pytest.mark.integration

PADDED = 15 * SAMPLE_RATE
SPEECH = " And so my fellow Americans ask not what your country can do for you ask what you can do for your country."


@pytest.fixture(scope="module")
def decoder(tiny_en: Path) -> Iterator[WhisperDecoder]:
    opened = WhisperDecoder(tiny_en, model="tiny.en", revision="0d3d19a32d33", digest="d" * 64)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def jfk(repository: Path) -> Samples:
    """Eleven seconds of the inaugural address."""
    with wave.open(str(repository / "src/speechlane/samples/jfk.wav")) as clip:
        return np.frombuffer(clip.readframes(clip.getnframes()), "<i2").astype(np.float32) / 32768


def hear(decoder: WhisperDecoder, samples: Samples, prefix: tuple[int, ...] = (), **options: object) -> Hypothesis:
    (heard,) = decoder.decode_batch([DecodeRequest(samples, PADDED, "en", prefix, DecodeOptions(**options))])
    return heard


@pytest.mark.parametrize("beam_size", [1, 5])
def test_the_speech_is_heard_once(decoder: WhisperDecoder, jfk: Samples, beam_size: int) -> None:
    """Each half of the sentence stands once in the text, letter for letter after case and commas."""
    text = hear(decoder, jfk, beam_size=beam_size).text.lower().replace(",", "")
    assert text.count("ask not what your country can do for you") == 1
    assert text.count("ask what you can do for your country") == 1


def test_words_stand_where_they_are_spoken(decoder: WhisperDecoder, jfk: Samples) -> None:
    """Word ends lie within 0.3 s of where the recording has them."""
    ends = [(word.text.strip(" .,"), word.end / SAMPLE_RATE) for word in hear(decoder, jfk).words]
    spoken = {"fellow": 1.7, "not": 4.5, "can": 6.8, "country": 10.6}
    for word, moment in spoken.items():
        assert any(text == word and abs(end - moment) < 0.3 for text, end in ends), (word, ends)


def test_a_longer_window_continues_a_settled_prefix(decoder: WhisperDecoder, jfk: Samples) -> None:
    """Words settled from a short window, forced as prefix of a longer one, join its new words to the whole text."""
    early = hear(decoder, jfk[: 4 * SAMPLE_RATE])
    settled = early.words[:5]
    rest = hear(decoder, jfk, prefix=tuple(token for word in settled for token in word.tokens))
    assert "".join(word.text for word in settled) + rest.text == SPEECH
    assert rest.words[0].start >= settled[-1].end - 0.3 * SAMPLE_RATE
    assert rest.average_logprob is not None
    assert -1 < rest.average_logprob < 0


def test_a_silent_tail_adds_nothing(decoder: WhisperDecoder, jfk: Samples) -> None:
    """A short window in a long padded one is heard once: no repetition in the padding, no time past the real end."""
    window = jfk[: 5 * SAMPLE_RATE]
    heard = hear(decoder, window)
    assert heard.text.lower().count("fellow") == 1
    assert len(heard.words) < 10
    assert heard.words[-1].end <= len(window)


def test_neighbours_in_a_batch_change_no_words(decoder: WhisperDecoder, jfk: Samples) -> None:
    """Windows of other content, prefix and bound in the same batch leave a window's words as they are alone."""
    requests = [
        DecodeRequest(jfk, PADDED, "en"),
        DecodeRequest(jfk[: 6 * SAMPLE_RATE], PADDED, None, options=DecodeOptions(max_tokens=5)),
        DecodeRequest(jfk, PADDED, "en", prefix=hear(decoder, jfk).words[0].tokens),
        DecodeRequest(np.zeros(SAMPLE_RATE, np.float32), PADDED, "en"),
    ]
    together = decoder.decode_batch(requests)
    for request, answer in zip(requests, together, strict=True):
        (alone,) = decoder.decode_batch([request])
        assert answer.text == alone.text
        assert [word.tokens for word in answer.words] == [word.tokens for word in alone.words]
        assert answer.truncated == alone.truncated


def test_keyterms_in_one_batch_do_not_mix(decoder: WhisperDecoder, jfk: Samples) -> None:
    """Lists of equally many tokens share a batch, and each window reads as it does alone."""
    lists = [("fellow-Americans",), ("fellow-citizens",)]
    alike = [DecodeRequest(jfk, PADDED, "en", keyterms=keyterms) for keyterms in lists]
    assert decoder.batch_key(alike[0]) == decoder.batch_key(alike[1])
    alone = [decoder.decode_batch([request])[0].text for request in alike]
    assert [heard.text for heard in decoder.decode_batch(alike)] == alone
    assert "fellow-Americans" in alone[0]
    assert "fellow-Americans" not in alone[1]


@pytest.mark.parametrize("evil", ["<|startoftranscript|>", "<|endoftext|>", "<|startofprev|> x", "a<|notimestamps|>"])
def test_keyterms_that_spell_control_tokens_spoil_no_batch(decoder: WhisperDecoder, jfk: Samples, evil: str) -> None:
    """They are left out: the window and its neighbours in the batch read as if they had not been named."""
    named = [DecodeRequest(jfk, PADDED, "en", keyterms=terms) for terms in ((evil, "Byron"), ("Byron",))]
    assert decoder.batch_key(named[0]) == decoder.batch_key(named[1])
    alone = decoder.decode_batch(named[1:])[0]
    for heard in decoder.decode_batch(named):
        assert heard.text == alone.text
    only = DecodeRequest(jfk, PADDED, "en", keyterms=(evil,))
    assert decoder.batch_key(only) == decoder.batch_key(DecodeRequest(jfk, PADDED, "en"))


def test_keyterms_are_bounded(decoder: WhisperDecoder, jfk: Samples) -> None:
    """As many keyterms as a client may send leave room for the whole answer; the last of them have no weight."""
    names = ("fellow-Americans", *(f"Ouagadougou {number}" for number in range(99)))
    (first,) = decoder.decode_batch([DecodeRequest(jfk, PADDED, "en", keyterms=names)])
    assert "fellow-Americans" in first.text
    assert first.text.rstrip(".").endswith("country")
    (last,) = decoder.decode_batch([DecodeRequest(jfk, PADDED, "en", keyterms=names[::-1])])
    assert "fellow-Americans" not in last.text


@pytest.mark.parametrize("level", [0.0, 0.001, 0.1])
def test_keyterms_do_not_weaken_the_doubt(decoder: WhisperDecoder, level: float) -> None:
    """Silence and noise are doubted as much as without keyterms, which make the model take noise for speech."""
    noise = (level * np.random.default_rng(3).standard_normal(5 * SAMPLE_RATE)).astype(np.float32)
    plain, named = (
        decoder.decode_batch([DecodeRequest(noise, PADDED, "en", keyterms=keyterms)])[0]
        for keyterms in ((), ("Sintra", "Zarathustra", "Merneptah"))
    )
    assert named.no_speech_probability == pytest.approx(plain.no_speech_probability, abs=1e-3)
    assert named.no_speech_probability > 0.6


def test_silence_is_doubted(decoder: WhisperDecoder) -> None:
    """For silence the model's own doubt is high, so that a lane can drop what it writes."""
    heard = hear(decoder, np.zeros(5 * SAMPLE_RATE, np.float32))
    assert heard.no_speech_probability is not None
    assert heard.no_speech_probability > 0.6


@pytest.mark.parametrize("count", [1, 200, 3_333, SAMPLE_RATE])
def test_the_shortest_windows_are_taken(decoder: WhisperDecoder, jfk: Samples, count: int) -> None:
    """From one sample upwards a window is decoded, its words within it."""
    heard = hear(decoder, jfk[40_000 : 40_000 + count])
    assert all(0 <= word.start <= word.end <= count for word in heard.words)


@pytest.mark.parametrize(("count", "padded"), [(1, 8_000), (8_000, 8_000), (79_999, 80_000), (50_000, 240_001)])
def test_features_are_those_of_padded_audio(decoder: WhisperDecoder, jfk: Samples, count: int, padded: int) -> None:
    """Features of a window are those of its samples with real silence behind them, as Whisper was trained."""
    samples = jfk[20_000 : 20_000 + count]
    mel = decoder.prepare(DecodeRequest(samples, padded, "en"))
    frames = -(-padded // 320) * 2
    whole = decoder._features(np.pad(samples, (0, frames * 160 - count)), padding=640)[:, :frames]
    assert mel.shape == (80, frames)
    np.testing.assert_allclose(mel, whole, atol=1e-5)


def test_the_repetition_guard_ends_loops(decoder: WhisperDecoder, jfk: Samples) -> None:
    """Windows padded to no more than their own second of speech loop to the bound; with the guard they do not."""
    windows = [jfk[start * SAMPLE_RATE : (start + 1) * SAMPLE_RATE] for start in (0, 1, 4, 5, 7)]
    loops, guarded = (
        decoder.decode_batch(
            [DecodeRequest(window, SAMPLE_RATE, "en", options=DecodeOptions(1, guard, 60)) for window in windows]
        )
        for guard in (False, True)
    )
    assert sum(heard.repetitive for heard in loops) >= 3
    assert sum(heard.repetitive for heard in guarded) <= 1


def test_the_identity_tells_what_was_loaded(decoder: WhisperDecoder) -> None:
    """Provenance gets library versions, the pin, and the compute type that was resolved, not the one asked for."""
    identity = decoder.identity
    assert (identity.engine, identity.pin, identity.device) == ("faster-whisper", "tiny.en@0d3d19a", "cpu")
    assert identity.engine_version.startswith("faster-whisper 1.")
    assert ", ctranslate2 4." in identity.engine_version
    assert identity.compute_type is not None
    assert identity.compute_type.startswith("int8")


def test_a_failing_model_is_an_engine_failure(tiny_en: Path, jfk: Samples) -> None:
    """What CTranslate2 raises while decoding becomes EngineFailed; here the model is already unloaded."""
    decoder = WhisperDecoder(tiny_en, model="tiny.en", revision=None, digest=None)
    decoder.close()
    with pytest.raises(EngineFailed) as failed:
        hear(decoder, jfk)
    assert failed.value.code == "engine_failed"


def test_broken_weights_are_told(tmp_path: Path) -> None:
    """A folder without a model is refused by model and folder, with the commands that mend it."""
    with pytest.raises(ModelUnavailable) as refused:
        WhisperDecoder(tmp_path, model="tiny.en", revision=None, digest=None)
    assert refused.value.code == "model_unreadable"
    assert str(tmp_path) in refused.value.message
    assert "speechlane models pull tiny.en" in refused.value.message


@pytest.mark.parametrize(
    ("code", "setting"),
    [
        ("unsupported_device", {"device": "abacus"}),
        ("unsupported_device", {"device": "cuda"}),
        ("unsupported_compute_type", {"compute_type": "int3"}),
    ],
)
def test_an_impossible_device_is_told(
    tiny_en: Path, code: str, setting: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device or compute type that this machine lacks is refused by its setting's name; the weights get no blame."""
    monkeypatch.setattr(library(), "get_cuda_device_count", lambda: 0)
    with pytest.raises(ConfigurationInvalid) as refused:
        WhisperDecoder(tiny_en, model="tiny.en", revision=None, digest=None, **setting)
    assert (refused.value.code, refused.value.field) == (code, *setting)
    assert "pull" not in refused.value.message


def test_auto_takes_the_device_there_is(tiny_en: Path, jfk: Samples) -> None:
    """Device auto loads on a machine with or without a GPU, and the identity tells which it was."""
    decoder = WhisperDecoder(tiny_en, model="tiny.en", revision=None, digest=None, device="auto", compute_type="auto")
    assert decoder.identity.device == ("cuda" if library().get_cuda_device_count() else "cpu")
    assert "country" in hear(decoder, jfk).text
    decoder.close()


def test_waiting_threads_do_not_spin() -> None:
    """The library is set up to let waiting threads sleep, before it is loaded; an operator's own value stays."""
    for own, found in ((None, "PASSIVE"), ("ACTIVE", "ACTIVE")):
        environment = {name: value for name, value in os.environ.items() if name != WAIT_POLICY}
        environment |= {WAIT_POLICY: own} if own else {}
        # OpenMP tells its settings when it is loaded, which is when it reads them.
        code = "from speechlane.local.ctranslate import library; library()"
        told = subprocess.run(
            [sys.executable, "-c", code],
            env=environment | {"OMP_DISPLAY_ENV": "true"},
            check=True,
            capture_output=True,
            text=True,
        ).stderr
        assert f"{WAIT_POLICY} = '{found}'" in told
