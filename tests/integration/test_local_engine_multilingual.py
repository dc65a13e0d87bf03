"""Whisper base on several languages: detection, and mixed batches. Skipped where base is not pulled."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.engine import DecodeRequest
from speechlane.errors import InvalidInput, ModelUnavailable
from speechlane.local.weights import open_model
from speechlane.local.whisper import WhisperDecoder
from speechlane.settings import load_settings

pytestmark = pytest.mark.integration

PADDED = 15 * SAMPLE_RATE


@pytest.fixture(scope="module")
def decoder() -> Iterator[WhisperDecoder]:
    try:
        folder = open_model("base", load_settings().models)
    except ModelUnavailable as missing:
        pytest.skip(str(missing))
    opened = WhisperDecoder(folder.path, model="base", revision=folder.pin.revision, digest=folder.pin.digest)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def english(repository: Path) -> Samples:
    with wave.open(str(repository / "src/speechlane/samples/jfk.wav")) as clip:
        return np.frombuffer(clip.readframes(clip.getnframes()), "<i2").astype(np.float32) / 32768


@pytest.fixture(scope="module")
def german(corpus: Path) -> Samples:
    """Twelve seconds of read German at most."""
    samples, rate = soundfile.read(corpus / "audio" / "fleurs_de_000.ogg", dtype="float32")
    return soxr.resample(samples, rate, SAMPLE_RATE).astype(np.float32)[: 12 * SAMPLE_RATE]


def test_languages_are_detected_item_by_item(decoder: WhisperDecoder, english: Samples, german: Samples) -> None:
    """In one batch each window has its own language: detected with its probability, or asked and without one."""
    asked = [
        DecodeRequest(english, PADDED, None),
        DecodeRequest(german, PADDED, None),
        DecodeRequest(german, PADDED, "de"),
    ]
    first, second, third = decoder.decode_batch(asked)
    assert (first.language, second.language, third.language) == ("en", "de", "de")
    assert first.language_probability is not None
    assert first.language_probability > 0.5
    assert second.language_probability is not None
    assert third.language_probability is None
    assert "your country" in first.text
    assert second.text == third.text


def test_mixed_languages_change_no_words(decoder: WhisperDecoder, english: Samples, german: Samples) -> None:
    """Words and times of a window are those it has without neighbours of another language, prefix or not."""
    alone = [decoder.decode_batch([DecodeRequest(clip, PADDED, None)])[0] for clip in (english, german)]
    together = decoder.decode_batch([DecodeRequest(clip, PADDED, None) for clip in (english, german)])
    for mixed, single in zip(together, alone, strict=True):
        assert [(word.text, word.tokens) for word in mixed.words] == [(word.text, word.tokens) for word in single.words]
        assert all(abs(a.end - b.end) <= 1_600 for a, b in zip(mixed.words, single.words, strict=True))
    request = DecodeRequest(english, PADDED, "en", prefix=alone[0].words[0].tokens)
    continued, _ = decoder.decode_batch([request, DecodeRequest(german, PADDED, "de")])
    assert continued.text == "".join(word.text for word in alone[0].words[1:])


def test_languages_are_known_by_their_subtags(decoder: WhisperDecoder, english: Samples) -> None:
    """A multilingual model offers its languages under registered subtags and refuses what it does not know."""
    assert decoder.capabilities.detects_language
    assert {"en", "de", "ja", "jv"} <= decoder.capabilities.languages
    assert "jw" not in decoder.capabilities.languages
    with pytest.raises(InvalidInput) as refused:
        decoder.check(replace(DecodeRequest(english, PADDED, "en"), language="tlh"))
    assert refused.value.code == "unsupported_language"
