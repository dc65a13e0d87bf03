"""Whisper on CTranslate2: windows of one padded length in, hypotheses out, one batch at a time.

faster-whisper's tokenizer and features are used with the CTranslate2 model directly, not its ``transcribe``: that
decodes a file with a temperature fallback that has no bound in time, always pads to 30 s, and takes one caller at a
time. Windows are decoded in timestamps mode: over a silent tail Whisper then stops instead of repeating itself.

Reference: Radford et al. 2022, https://arxiv.org/abs/2212.04356; CTranslate2 ``models/whisper.cc``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from speechlane.audio import SAMPLE_RATE
from speechlane.engine import Capabilities, EngineIdentity, Hypothesis
from speechlane.engine.checks import check_request, invalid_prefix
from speechlane.local.ctranslate import engine_errors, library, open_whisper, unreadable
from speechlane.local.whisper_keyterms import keyterm_tokens, names_more
from speechlane.local.whisper_words import is_repetitive, spoken_tokens, timed_words

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from speechlane.engine import DecodeRequest

WINDOW_SAMPLES = 30 * SAMPLE_RATE
"""The longest window: Whisper was trained on 30 s."""

_FRAME_SAMPLES = 160
# Enough silence behind a window that its last mel frame (25 ms wide, centred) holds nothing but silence.
_SILENCE_SAMPLES = 640
# Half of the decoder's 448 positions is what CTranslate2 lets one answer have, its forced prefix included.
_ANSWER_TOKENS = 224
_LONGEST_PREFIX = 200
# Lists of keyterms whose tokens are remembered: a session's stay the same, and are needed with each window.
_REMEMBERED_KEYTERMS = 256
# Timestamps break a loop's triples up, so that forbidding those alone leaves most loops as they are; with this penalty
# they end, and plain speech reads as without it (measured on tiny.en).
_GUARD = {"no_repeat_ngram_size": 3, "repetition_penalty": 1.1}
# Whisper's names that are not the language's subtag in the IANA registry.
_SUBTAGS = {"jw": "jv"}


@dataclass(slots=True)
class _Window:
    """What becomes known of one item while its batch is decoded."""

    request: DecodeRequest
    language: str = "en"
    language_probability: float | None = None
    forced: list[int] = field(default_factory=list)
    result: Any = None
    no_speech_probability: float = 0.0
    spoken: list[int] = field(default_factory=list)
    alignment: Any = None

    @property
    def bound(self) -> int:
        """How many tokens the answer may have behind the forced ones."""
        room = _ANSWER_TOKENS - len(self.forced)
        asked = self.request.options.max_tokens
        return room if asked is None else min(asked, room)

    @property
    def answer(self) -> list[int]:
        """All tokens generated behind the forced ones, timestamps among them."""
        tokens: list[int] = self.result.sequences_ids[0][len(self.forced) :]
        return tokens


class WhisperDecoder:
    """A Whisper model in memory, for use by as many threads at once as it has ``workers``; `EngineDispatcher` owns it.

    Args:
        folder: holds ``model.bin``, ``config.json``, ``tokenizer.json`` and the vocabulary, already verified.
        model, revision, digest: what provenance says of these weights.
        device, compute_type: as CTranslate2 names them; the identity tells what they resolved to.
        threads: CPU threads of each worker; 0 leaves the choice to CTranslate2.
        workers: batches decoded at the same time.

    Raises:
        ModelUnavailable: ``model_unreadable``, the folder does not hold a model that CTranslate2 can load.
        ConfigurationInvalid: ``unsupported_device`` or ``unsupported_compute_type``, not to be had on this machine.
    """

    def __init__(
        self,
        folder: Path,
        *,
        model: str,
        revision: str | None,
        digest: str | None,
        device: str = "cpu",
        compute_type: str = "int8",
        threads: int = 0,
        workers: int = 1,
    ) -> None:
        # Imported here: together they cost 0.2 s, which a command that only lists models should not pay.
        ctranslate2 = library()
        import faster_whisper  # noqa: PLC0415 - see above
        import tokenizers  # noqa: PLC0415 - see above
        from faster_whisper.feature_extractor import FeatureExtractor  # noqa: PLC0415 - see above
        from faster_whisper.tokenizer import Tokenizer  # noqa: PLC0415 - see above
        from faster_whisper.transcribe import get_suppressed_tokens  # noqa: PLC0415 - see above

        self._storage = ctranslate2.StorageView
        self._tokenizer_class = Tokenizer
        self.workers = workers
        """Batches that may be decoded at the same time."""
        self._model = open_whisper(
            folder, model=model, device=device, compute_type=compute_type, threads=threads, workers=workers
        )
        try:
            self._vocabulary = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except Exception as error:  # tokenizers raises bare Exception
            raise unreadable(folder, model, error) from error
        self._features = FeatureExtractor(feature_size=self._model.n_mels)
        self._tokenizers: dict[str, Any] = {}
        self._before = lru_cache(_REMEMBERED_KEYTERMS)(self._prompt_before)
        self._whisper_names = self._known_languages(config)
        self._suppressed = list(get_suppressed_tokens(self._tokenizer("en"), [-1]))
        self._identity = EngineIdentity(
            engine="faster-whisper",
            engine_version=f"faster-whisper {faster_whisper.__version__}, ctranslate2 {ctranslate2.__version__}",
            model=model,
            model_revision=revision,
            model_digest=digest,
            device=self._model.device,
            compute_type=self._model.compute_type,
        )
        self._capabilities = Capabilities(
            languages=frozenset(self._whisper_names),
            detects_language=self._model.is_multilingual,
            word_times=True,
            confidences=True,
            prefix=True,
            keyterms=True,
            max_window_samples=WINDOW_SAMPLES,
        )

    @property
    def identity(self) -> EngineIdentity:
        return self._identity

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def check(self, request: DecodeRequest) -> None:
        """Refuse what this model cannot take, before it can spoil a batch.

        Raises:
            InvalidInput: as `check_request`, or ``invalid_prefix``.
        """
        check_request(request, self._capabilities)
        if len(request.prefix) > _LONGEST_PREFIX:
            raise invalid_prefix(
                f"{len(request.prefix)} tokens are over the {_LONGEST_PREFIX} that may be forced", limit=_LONGEST_PREFIX
            )
        end_of_text = self._tokenizer("en").eot
        if not all(0 <= token < end_of_text for token in request.prefix):
            raise invalid_prefix("it holds tokens that are no text")

    def batch_key(self, request: DecodeRequest) -> Hashable:
        """Requests with equal keys may share a batch.

        The encoder has one length, generation one set of options, and CTranslate2 wants the start token at the same
        place in every prompt: behind keyterms of equally many tokens, or of none.
        """
        options = request.options
        before = len(self._before(request.keyterms))
        return _frames(request.padded_samples), before, options.beam_size, options.repetition_guard

    def prepare(self, request: DecodeRequest) -> NDArray[np.float32]:
        """Log-mel features, shape (n_mels, frames of the padded length); the padding is silence, as in training.

        Only the real samples are transformed: the columns of silence behind them are all alike. Safe on any thread.
        """
        mel = self._features(request.samples, padding=_SILENCE_SAMPLES)
        frames = _frames(request.padded_samples)
        padded = np.pad(mel[:, :frames], ((0, 0), (0, max(0, frames - mel.shape[1]))), mode="edge")
        return padded.astype(np.float32, copy=False)

    def decode_batch(
        self, requests: Sequence[DecodeRequest], prepared: Sequence[NDArray[np.float32]] | None = None
    ) -> list[Hypothesis]:
        """Decode windows that have passed `check` and share a `batch_key`; answers stand in the same order.

        Languages, prefixes, keyterms and ``max_tokens`` may differ within a batch; each answer keeps to its own.
        ``prepared``: what `prepare` gave for each, called here when None.

        Raises:
            EngineFailed: ``engine_failed``, CTranslate2 raised for the batch as a whole.
        """
        windows = [_Window(request) for request in requests]
        with engine_errors():
            features = [self.prepare(request) for request in requests] if prepared is None else prepared
            encoded = self._model.encode(self._storage.from_array(np.stack(features)))
            self._settle_languages(windows, encoded)
            self._generate(windows, encoded)
            for window in windows:
                window.spoken = spoken_tokens(
                    window.answer[: window.bound], self._tokenizer(window.language), len(window.request.samples)
                )
            self._align(windows, encoded)
        return [self._hypothesis(window) for window in windows]

    def close(self) -> None:
        """Free the model's memory."""
        self._model.unload_model()

    def _settle_languages(self, windows: list[_Window], encoded: Any) -> None:
        """Set each window's language: the asked one, the model's only one, or the likeliest."""
        detected = None
        for index, window in enumerate(windows):
            if window.request.language:
                window.language = window.request.language
            elif self._model.is_multilingual:
                # One decoder step for the whole batch costs less than cutting items out of the encoder's output.
                detected = detected or self._model.detect_language(encoded)
                name, probability = detected[index][0]
                window.language = _subtag(name)
                window.language_probability = float(probability)

    def _generate(self, windows: list[_Window], encoded: Any) -> None:
        """Set each window's result: the plain one, or the one with keyterms where that names more of them.

        Keyterms before a window bend the words around them and make the model take noise for speech; so they count
        only where they are heard, and the doubt is always the plain one.
        """
        for window in windows:
            if window.request.prefix:
                begin = self._tokenizer(window.language).timestamp_begin
                window.forced = [begin, *window.request.prefix]
        for window, result in zip(windows, self._results(windows, encoded, [[] for _ in windows]), strict=True):
            window.result, window.no_speech_probability = result, result.no_speech_prob
        before = [self._before(window.request.keyterms) for window in windows]
        if not before[0]:
            return
        for window, named in zip(windows, self._results(windows, encoded, before), strict=True):
            decode = self._tokenizer(window.language).decode
            plain_text, named_text = (decode(result.sequences_ids[0]) for result in (window.result, named))
            if names_more(window.request.keyterms, plain_text, named_text) and not is_repetitive(named_text):
                window.result = named

    def _results(self, windows: list[_Window], encoded: Any, before: list[list[int]]) -> Any:
        """What CTranslate2 generates for each window with these tokens before it."""
        prompts = [
            [*tokens, *self._tokenizer(window.language).sot_sequence, *window.forced]
            for window, tokens in zip(windows, before, strict=True)
        ]
        options = windows[0].request.options
        most = max(len(window.forced) + window.bound for window in windows)
        return self._model.generate(
            encoded,
            prompts,
            beam_size=options.beam_size,
            **(_GUARD if options.repetition_guard else {}),
            max_length=most + max(most, len(before[0])),  # CTranslate2 takes the prompt or half off, whichever is more
            return_scores=True,
            return_no_speech_prob=True,
            suppress_tokens=self._suppressed,
        )

    def _prompt_before(self, keyterms: tuple[str, ...]) -> list[int]:
        tokens = keyterm_tokens(keyterms, self._vocabulary)
        return [self._tokenizer("en").sot_prev, *tokens] if tokens else []

    def _align(self, windows: list[_Window], encoded: Any) -> None:
        """Align what was said with the audio; a window without words keeps None.

        The start sequence is shared by a call, so each language has its own, in which the others' texts are empty.
        """
        frames = [max(2, _frames(len(window.request.samples))) for window in windows]
        for language in {window.language for window in windows if window.spoken}:
            texts = [
                [*window.request.prefix, *window.spoken] if window.spoken and window.language == language else []
                for window in windows
            ]
            alignments = self._model.align(encoded, self._tokenizer(language).sot_sequence, texts, frames)
            for window, text, alignment in zip(windows, texts, alignments, strict=True):
                if text:
                    window.alignment = alignment

    def _hypothesis(self, window: _Window) -> Hypothesis:
        tokenizer = self._tokenizer(window.language)
        prefix = window.request.prefix
        text = [*prefix, *window.spoken]
        return Hypothesis(
            words=timed_words(text, len(prefix), window.alignment, tokenizer, len(window.request.samples))
            if window.alignment
            else (),
            language=window.language,
            language_probability=window.language_probability,
            no_speech_probability=window.no_speech_probability,
            average_logprob=_average_logprob(window),
            repetitive=is_repetitive(tokenizer.decode(text)),
            truncated=len(window.answer) >= window.bound,
        )

    def _tokenizer(self, language: str) -> Any:
        if language not in self._tokenizers:
            self._tokenizers[language] = self._tokenizer_class(
                self._vocabulary,
                self._model.is_multilingual,
                task="transcribe",
                language=self._whisper_names[language],
            )
        return self._tokenizers[language]

    def _known_languages(self, config: dict[str, Any]) -> dict[str, str]:
        """Whisper's name of each language by its subtag; a multilingual model's names stand in its vocabulary."""
        if not self._model.is_multilingual:
            return {"en": "en"}
        tokens = [self._vocabulary.id_to_token(token) for token in config["lang_ids"]]
        return {_subtag(token): token.strip("<|>") for token in tokens if token}


def _subtag(token: str) -> str:
    """The language subtag behind a token such as ``<|en|>``."""
    name = token.strip("<|>")
    return _SUBTAGS.get(name, name)


def _frames(sample_count: int) -> int:
    """Mel frames that hold so many samples; even, since the encoder takes two at a time."""
    return 2 * -(-sample_count // (2 * _FRAME_SAMPLES))


def _average_logprob(window: _Window) -> float | None:
    """Mean log-probability of the answer's tokens and its end, or None for an answer without any token.

    CTranslate2 divides by all tokens, but the forced ones carry no probability: undo that, count only the answer's.
    """
    all_tokens = len(window.result.sequences_ids[0])
    if not all_tokens:
        return None
    return float(window.result.scores[0] * all_tokens / (len(window.answer) + 1))
