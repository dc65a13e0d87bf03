"""The engine seam: one class, passed by the scripted engine and by Whisper behind its dispatcher."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.engine import Capabilities, DecodeOptions, DecodeRequest, Engine, EngineIdentity, Hypothesis
from speechlane.engine.scripted import ScriptedEngine, ScriptedWord, unstable
from speechlane.engine.scripted_audio import scripted_samples
from speechlane.errors import EngineFailed, InvalidInput
from speechlane.local.dispatcher import EngineDispatcher
from speechlane.local.whisper import WhisperDecoder
from speechlane.runtime.engine_pool import EnginePool

pytestmark = pytest.mark.conformance

PADDED = 15 * SAMPLE_RATE
KEYTERMS = ("fellow-Americans",)
"""A spelling that Whisper writes only when it is named."""


@dataclass(frozen=True)
class Case:
    """What an implementation brings: how to open it, a window in which at least six words are spoken, their language.

    ``other`` is a shorter window in which something else is said. ``keyterms``: spellings of words in the window that
    are heard only when they are named.
    """

    open: Callable[[], Engine]
    window: Samples
    other: Samples
    language: str
    keyterms: tuple[str, ...]

    def request(self, **changes: object) -> DecodeRequest:
        return replace(DecodeRequest(self.window, PADDED, self.language), **changes)

    def described(self) -> tuple[EngineIdentity, Capabilities]:
        """What a fresh engine says of itself."""
        engine = self.open()
        try:
            return engine.identity, engine.capabilities
        finally:
            asyncio.run(engine.aclose())


def ask(case: Case, *requests: DecodeRequest) -> list[Hypothesis]:
    """Answers to requests asked at once of a fresh engine."""

    async def scenario() -> list[Hypothesis]:
        engine = case.open()
        try:
            return list(await asyncio.gather(*(engine.decode(request) for request in requests)))
        finally:
            await engine.aclose()

    return asyncio.run(scenario())


class EngineConformance:
    """Every engine passes this; a subclass brings the ``case`` fixture."""

    def test_words_are_in_order_within_the_window(self, case: Case) -> None:
        """0 <= start <= end <= n, no word begins before its predecessor ends, none is empty."""
        (heard,) = ask(case, case.request())
        assert len(heard.words) >= 6
        at = 0
        for word in heard.words:
            assert at <= word.start <= word.end <= len(case.window)
            assert word.text.strip()
            at = word.end

    def test_times_follow_the_audio(self, case: Case) -> None:
        """Words are spread over the window, not heaped at one moment."""
        (heard,) = ask(case, case.request())
        assert len({word.start for word in heard.words}) > len(heard.words) * 2 / 3

    def test_confidences_are_told_when_offered(self, case: Case) -> None:
        """Capabilities say whether words have confidences: within 0..1 if so, None if not."""
        offered = case.described()[1].confidences
        (heard,) = ask(case, case.request())
        for word in heard.words:
            assert word.probability is None if not offered else 0 <= word.probability <= 1

    def test_same_window_gives_same_answer(self, case: Case) -> None:
        """One after the other, on fresh engines, a request gives the same words and times."""
        assert ask(case, case.request())[0].words == ask(case, case.request())[0].words

    def test_askers_get_their_own_answers(self, case: Case) -> None:
        """Windows asked at once do not mix: each answer is that of its own window."""
        alone = [ask(case, case.request())[0].text, ask(case, case.request(samples=case.other))[0].text]
        together = ask(case, *[case.request(), case.request(samples=case.other)] * 3)
        assert alone[0] != alone[1]
        assert [heard.text for heard in together] == alone * 3

    def test_prefix_is_continued_and_not_repeated(self, case: Case) -> None:
        """With the tokens of its first words as prefix an engine goes on after them."""
        if not case.described()[1].prefix:
            pytest.skip("this engine takes no prefix")
        (whole,) = ask(case, case.request())
        for count in (1, 3, len(whole.words) - 1):
            prefix = tuple(token for word in whole.words[:count] for token in word.tokens)
            assert prefix
            (rest,) = ask(case, case.request(prefix=prefix))
            assert rest.words == whole.words[count:]

    def test_keyterms_help_their_own_request(self, case: Case) -> None:
        """With its words named a request reads them as named; without the capability keyterms are refused."""
        if not case.described()[1].keyterms:
            with pytest.raises(InvalidInput) as refused:
                ask(case, case.request(keyterms=case.keyterms))
            assert (refused.value.code, refused.value.field) == ("keyterms_unsupported", "keyterms")
            return
        plain, named = ask(case, case.request(), case.request(keyterms=case.keyterms))
        assert not any(term in plain.text for term in case.keyterms)
        assert all(term in named.text for term in case.keyterms)

    def test_keyterms_touch_no_neighbour(self, case: Case) -> None:
        """Asked at once, requests without keyterms and with others read as they do alone."""
        if not case.described()[1].keyterms:
            pytest.skip("this engine takes no keyterms")
        others = ("Kowalczyk", "Ouagadougou")
        requests = [case.request(), case.request(keyterms=case.keyterms), case.request(keyterms=others)]
        alone = [ask(case, request)[0].text for request in requests]
        assert [heard.text for heard in ask(case, *requests * 2)] == alone * 2

    def test_token_bound_holds(self, case: Case) -> None:
        """An answer stops at max_tokens and says so; one that ends by itself does not."""
        bounded, free = ask(case, case.request(options=DecodeOptions(max_tokens=4)), case.request())
        assert bounded.truncated
        assert 0 < len(bounded.words) <= 4
        assert not free.truncated

    def test_language_is_what_was_asked(self, case: Case) -> None:
        """An asked language is decoded in, without a probability: nothing was detected."""
        (heard,) = ask(case, case.request())
        assert heard.language == case.language
        assert heard.language_probability is None

    def test_language_is_detected_or_the_only_one(self, case: Case) -> None:
        """Asked for None: a detecting engine tells a probability, one of a single language uses it without."""
        _, capabilities = case.described()
        (heard,) = ask(case, case.request(language=None))
        assert heard.language in capabilities.languages
        assert (heard.language_probability is not None) == capabilities.detects_language

    def test_padding_is_recorded(self, case: Case) -> None:
        """Figures tell the length that the encoder saw."""
        (heard,) = ask(case, case.request())
        assert heard.figures.padded_ms == 15_000
        assert heard.figures.batch_size >= 1

    def test_speech_is_not_called_repetitive(self, case: Case) -> None:
        """Plain speech is no loop, and the model does not doubt that it is speech."""
        (heard,) = ask(case, case.request())
        assert not heard.repetitive
        assert heard.no_speech_probability is None or heard.no_speech_probability < 0.5

    @pytest.mark.parametrize(
        ("code", "field", "changes"),
        [
            ("invalid_window", "samples", {"samples": np.zeros(0, np.float32)}),
            ("invalid_window", "samples", {"samples": np.zeros((2, 16_000), np.float32)}),
            ("window_too_long", "samples", {"samples": np.zeros(30 * SAMPLE_RATE + 1, np.float32)}),
            ("invalid_padding", "padded_samples", {"padded_samples": 100}),
            ("invalid_padding", "padded_samples", {"padded_samples": 31 * SAMPLE_RATE}),
            ("unsupported_language", "language", {"language": "xx"}),
            ("invalid_prefix", "prefix", {"prefix": (-1,)}),
            ("invalid_prefix", "prefix", {"prefix": (10**9,)}),
            ("invalid_keyterms", "keyterms", {"keyterms": (" ",)}),
            ("invalid_options", "options.beam_size", {"options": DecodeOptions(beam_size=0)}),
            ("invalid_options", "options.max_tokens", {"options": DecodeOptions(max_tokens=0)}),
        ],
    )
    def test_bad_requests_are_refused(self, case: Case, code: str, field: str, changes: dict[str, object]) -> None:
        """A request outside the capabilities is refused as the client's fault, with its field, and nothing is heard."""
        with pytest.raises(InvalidInput) as refused:
            ask(case, case.request(**changes))
        assert (refused.value.code, refused.value.field) == (code, field)
        assert refused.value.message.startswith(field)

    def test_a_refusal_spoils_no_neighbour(self, case: Case) -> None:
        """A bad request asked beside a good one leaves the good one's answer as it is."""

        async def scenario() -> tuple[object, object]:
            engine = case.open()
            good, bad = await asyncio.gather(
                engine.decode(case.request()), engine.decode(case.request(language="xx")), return_exceptions=True
            )
            await engine.aclose()
            return good, bad

        good, bad = asyncio.run(scenario())
        assert isinstance(bad, InvalidInput)
        assert isinstance(good, Hypothesis)
        assert good.words

    def test_closed_engine_refuses(self, case: Case) -> None:
        """After aclose, which may be called twice, a request is refused as engine_closed and may go elsewhere."""

        async def scenario() -> None:
            engine = case.open()
            await engine.aclose()
            await engine.aclose()
            with pytest.raises(EngineFailed) as refused:
                await engine.decode(case.request())
            assert refused.value.code == "engine_closed"
            assert refused.value.retryable

        asyncio.run(scenario())

    def test_identity_is_complete(self, case: Case) -> None:
        """What provenance needs of a local engine is told, and the pin names model and revision."""
        identity, _ = case.described()
        assert identity.engine
        assert identity.engine_version
        assert identity.pin.startswith(f"{identity.model}@")


def scripted_case() -> Case:
    """Twenty words a third of a second apart, of which the window holds ten, with unstable words at its edge."""
    script = unstable(
        [ScriptedWord(f" word{n}", n * 5_000 + 1_000, n * 5_000 + 5_000) for n in range(20)], samples=4_000
    )
    script = (*script[:7], replace(script[7], text=" Wurde", misheard=" word7"), *script[8:])
    carrier = np.frombuffer(scripted_samples(0, 100_000), np.float32)
    return Case(lambda: ScriptedEngine(script), carrier[20_123:70_000], carrier[70_000:95_000], "en", ("Wurde",))


class TestScriptedEngine(EngineConformance):
    @pytest.fixture
    def case(self) -> Case:
        return scripted_case()


class TestEnginePool(EngineConformance):
    @pytest.fixture
    def case(self) -> Case:
        """The scripted engine's window, for three replicas of which the first two fail at first."""
        alone = scripted_case()

        def open_pool() -> Engine:
            failing = [replace(alone.open(), failures=[EngineFailed("engine_failed", "gone")] * 2) for _ in range(2)]
            return EnginePool([*failing, alone.open()])

        return replace(alone, open=open_pool)


class LentDecoder(WhisperDecoder):
    """A model that outlives its dispatchers, so that it is loaded once for all tests."""

    def close(self) -> None:
        """Stay loaded for the next test; `WhisperDecoder.close` has its own tests."""


@pytest.fixture(scope="module")
def decoder(tiny_en: Path) -> Iterator[LentDecoder]:
    lent = LentDecoder(tiny_en, model="tiny.en", revision=tiny_en.name, digest=None)
    yield lent
    WhisperDecoder.close(lent)


class TestWhisperBehindDispatcher(EngineConformance):
    @pytest.fixture
    def case(self, decoder: LentDecoder, repository: Path) -> Case:
        """The JFK clip: all of it, and the first seconds."""
        with wave.open(str(repository / "src/speechlane/samples/jfk.wav")) as clip:
            samples = np.frombuffer(clip.readframes(clip.getnframes()), "<i2").astype(np.float32) / 32768
        return Case(lambda: EngineDispatcher(decoder), samples, samples[: 5 * SAMPLE_RATE], "en", KEYTERMS)
