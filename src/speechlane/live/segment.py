"""One segment while it is still being settled: what stands, what wavers, what was shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from speechlane.audio import SAMPLE_RATE, position_to_ms
from speechlane.engine import HypothesisWord
from speechlane.live.actions import Decode
from speechlane.live.commit import LocalAgreement, folded
from speechlane.live.config import LivePolicy
from speechlane.live.display import Display
from speechlane.live.events import HypothesisReceived
from speechlane.live.retries import Retries
from speechlane.transcript import Word, text_of

SENTENCE_ENDS = (".", "?", "!", "。", "？", "！")  # noqa: RUF001  the full-width forms are meant
"""What closes a sentence in the scripts that the engines write."""


@dataclass(slots=True)
class OpenSegment:
    """Samples from ``start`` on; ``end`` is None while speech goes on.

    ``stable`` words never change again, ``standing`` are the same words as the engine heard them, placed in the
    session, and ``stable_end`` is where they end. Decodes begin at
    ``window_start``, where ``context``, the last settled words before this segment, begins: a window that starts cold
    errs on its first words. ``decoded_to`` is how far a decode has seen.
    """

    start: int
    policy: LivePolicy
    end: int | None = None
    speech_end: int = 0
    number: int | None = None
    revision: int = 0
    language: str | None = None
    held: str | None = None
    """The language that holds while what is detected is not believed yet."""
    detected: tuple[str | None, float] | None = None
    """The language that was detected, with its probability; later decodes are told it and detect nothing."""
    overlap: tuple[HypothesisWord, ...] = ()
    """Words of another route, settled and placed, that the window holds once more: what is made of them is left out."""
    stable: list[Word] = field(default_factory=list)
    standing: list[HypothesisWord] = field(default_factory=list)
    context: tuple[HypothesisWord, ...] = ()
    window_start: int = 0
    stable_end: int = 0
    decoded_to: int = 0
    partial_decodes: int = 0
    cold: bool = False
    """No context any more: it silenced an answer."""
    loops: int = 0
    """Times in a row that the answer looped, ran to its bound or ended before the speech did."""
    retries: Retries = field(default_factory=Retries)
    attempts: int = 1
    """Tries, with this one, of the decode that the engine failed or that had to be made otherwise."""
    shown: tuple[str, str] = ("", "")
    last: tuple[Decode, HypothesisReceived] | None = None
    wavering: tuple[HypothesisWord, ...] = ()
    """The words of the last answer that do not stand yet."""
    agreement: LocalAgreement = field(init=False)
    display: Display = field(init=False)

    def __post_init__(self) -> None:
        self.agreement = LocalAgreement(self.policy)
        self.display = Display(self.policy)
        self.begin(self.start)

    def begin(self, start: int) -> None:
        """Begin here, before anything was decoded: the segment before reached further than the gate said."""
        self.start = self.stable_end = self.decoded_to = self.window_start = start
        self.overlap = ()

    def restart(self, overlap: Sequence[HypothesisWord]) -> None:
        """Begin anew on another route, which hears ``overlap`` once more; what was shown stays shown."""
        self.begin(self.start)
        self.overlap, self.context, self.last, self.wavering = tuple(overlap), (), None, ()
        self.window_start = min([self.start, *(word.start for word in overlap)])
        self.loops, self.attempts, self.partial_decodes, self.retries = 0, 1, 0, Retries()
        self.agreement, self.display = LocalAgreement(self.policy), Display(self.policy)

    def take_over(self, other: OpenSegment) -> None:
        """Go on under the number of a segment that was shown and is not settled, which gives it up."""
        self.number, self.revision, self.shown = other.number, other.revision, other.shown
        other.number, other.revision, other.shown = None, 0, ("", "")

    @property
    def prefix(self) -> tuple[int, ...]:
        """Tokens of the context, each decode's forced prefix."""
        return tuple(token for word in self.context for token in word.tokens)

    def follow(self, words: Sequence[HypothesisWord]) -> None:
        """Let the window begin with these settled words, given in order at their places in the session."""
        if self.cold:
            return
        self.context = tuple(words)
        if words:
            self.window_start = min(words[0].start, self.start)

    def misses_speech(self, words: Sequence[HypothesisWord], *, whole: bool) -> bool:
        """Whether the context silenced an answer: it holds nothing, or too little of a ``whole`` segment's speech.

        A forced prefix can make the decoder end at once or midway, and what was said would be lost.
        """
        if not self.context:
            return False
        return (whole and self._unheard(words)) or (not words and not self.stable)

    def cut_short(self, words: Sequence[HypothesisWord]) -> bool:
        """Whether the decoder, by itself, ended long before the speech of a whole segment did."""
        return bool(words or self.stable) and self._unheard(words)

    def skips(self, words: Sequence[HypothesisWord], endpointing_ms: int) -> bool:
        """Whether an answer leaves a gap before one of its words that is longer than any pause here can be.

        The aligner may stretch the word behind a gap over it, so a second of word on top counts as a gap too.
        """
        longest_pause = max(endpointing_ms * SAMPLE_RATE // 1000 + self.policy.shown_margin, self.policy.unheard)
        over = self.stable_end if self.stable else None
        for word in words:
            start, end = self.window_start + word.start, self.window_start + word.end
            if over is not None and max(start, end - SAMPLE_RATE) - over > longest_pause:
                return True
            over = end
        return False

    def _unheard(self, words: Sequence[HypothesisWord]) -> bool:
        heard = max([self.stable_end, *(self.window_start + word.end for word in words)])
        return self.speech_end - heard > self.policy.unheard

    @property
    def heard_whole(self) -> bool:
        """Whether the last decode of a segment that has ended heard all its speech: then it is the final."""
        heard = self.last is not None and self.last[0].end >= self.speech_end + self.policy.shown_margin
        return heard and not self.misses_speech(self.wavering, whole=True) and not self.cut_short(self.wavering)

    def go_cold(self) -> None:
        """Give the context up: windows begin with the segment's own sound from now on."""
        by = self.window_start - self.start
        self.context, self.window_start, self.cold, self.loops = (), self.start, True, 0
        self.wavering = moved(self.wavering, by)
        self.agreement.remember(self.wavering)
        self.display.words = moved(self.display.words, by)

    def heard(self, answer: HypothesisReceived) -> tuple[HypothesisWord, ...]:
        """The words of an answer that count: none where the model itself hears no speech, none that lie before it."""
        heard = answer.hypothesis
        silent = (
            not self.stable
            and heard.no_speech_probability is not None
            and heard.no_speech_probability > self.policy.no_speech_probability
        )
        if self.overlap and not silent:
            return behind_overlap(heard.words, self.overlap, self.window_start)
        before = self.start - self.window_start
        return () if silent else tuple(word for word in heard.words if word.end > before or not before)

    def behind_stable(self, words: Sequence[HypothesisWord]) -> tuple[HypothesisWord, ...]:
        """The words of a decode behind those that stand, which are shown as they are, however it reads them now.

        None where nobody could have said so many.
        """
        behind = self._behind_stable(words)
        return () if self._too_fast(behind) else behind

    def _behind_stable(self, words: Sequence[HypothesisWord]) -> tuple[HypothesisWord, ...]:
        """Where it reads them alike (case, punctuation and the parting into words apart), by the text; else by time."""
        stands, read = folded(text_of(self.stable)), ""
        for count, word in enumerate(words):
            if read == stands and folded(word.text):
                return tuple(words[count:])
            read += folded(word.text)
        if read == stands:
            return ()
        # The last word that stands, heard about where it stood, if only as its beginning or longer: "need", "needed".
        last = [
            (abs(self.window_start + word.end - self.stable_end), count)
            for count, word in enumerate(words, 1)
            if _alike(word.text, self.stable[-1].text)
        ]
        if last and min(last)[0] <= _NEAR:
            return tuple(words[min(last)[1] :])
        return tuple(w for w in words if self.window_start + (w.start + w.end) // 2 >= self.stable_end)

    def _too_fast(self, words: Sequence[HypothesisWord]) -> bool:
        """Whether nobody could have said so many words in what was heard behind the stable ones: they are invented.

        A sliver of a word, cut off by a flush or a break, makes the decoder write whole sentences.
        """
        heard = self.decoded_to - max(self.start, self.stable_end)
        return sum(bool(folded(word.text)) for word in words) > 1 + self.policy.words_per_second * heard // SAMPLE_RATE

    def carry(
        self,
        last: tuple[Decode, HypothesisReceived],
        words: Sequence[HypothesisWord],
        shown: Sequence[HypothesisWord],
    ) -> None:
        """Begin with what the answer ``last`` holds behind a cut, and with what of it is on the screen."""
        ask, event = last
        self.last, self.decoded_to = last, ask.end
        self.held = ask.language or event.hypothesis.language
        by = ask.start - self.window_start
        self.wavering = moved(words, by)
        self.agreement.remember(self.wavering)
        self.display.words = moved(shown, by)

    def settle(self, words: Sequence[HypothesisWord]) -> None:
        """These words stand from now on."""
        self.stable.extend(self.placed(words))
        for word in words:
            start, end = self.window_start + word.start, self.window_start + word.end
            self.standing.append(replace(word, start=start, end=end))
            self.stable_end = max(self.stable_end, end)

    def hard_boundary(self, words: Sequence[HypothesisWord], start: int, end: int) -> tuple[int, int]:
        """Behind how many of ``words`` to cut a window of positions ``start`` to ``end``, and at which position."""
        window = end - start
        count = cut_boundary(words, window, self.policy, from_zero=bool(self.stable))
        if not count and not self.stable:
            # A long window without a word: keep its last second, where a word may be beginning.
            return 0, max(self.start, end - SAMPLE_RATE)
        over = words[count - 1].end if count else self.stable_end - self.window_start
        following = words[count].start if count < len(words) else min(window, over + 2 * self.policy.shown_margin)
        return count, start + over + max(0, following - over) // 2

    def placed(self, words: Sequence[HypothesisWord]) -> list[Word]:
        """Words at their times in the session: in order behind the stable ones, overlapping nothing."""
        placed: list[Word] = []
        floor = self.stable[-1].end_ms if self.stable else position_to_ms(self.start)
        for word in words:
            start = max(floor, position_to_ms(self.window_start + word.start))
            end = max(start, position_to_ms(self.window_start + word.end))
            text = word.text if self.stable or placed else word.text.lstrip()
            placed.append(Word(text, start, end, word.probability))
            floor = end
        return placed


_STEM = 3  # letters that tell one word's beginning from another word
_NEAR = 8_000  # samples (0.5 s) by which two engines may differ on where a word ends


def _alike(text: str, other: str) -> bool:
    """Whether two words are the same, or one is the other's beginning of three letters at least."""
    one, two = sorted((folded(text), folded(other)), key=len)
    return one == two or (len(one) >= _STEM and two.startswith(one))


def behind_overlap(
    words: Sequence[HypothesisWord], overlap: Sequence[HypothesisWord], origin: int
) -> tuple[HypothesisWord, ...]:
    """The words behind ``overlap``, settled words that the sound holds once more.

    By the text, where the last of them are read alike at about their time; else by time. ``origin``: the position that
    the words' times count from.
    """
    end = overlap[-1].end
    texts = [folded(word.text) for word in overlap]
    read = [folded(word.text) for word in words]
    for count in range(len(texts), 0, -1):
        for at in range(len(words), count - 1, -1):
            if read[at - count : at] == texts[-count:] and abs(origin + words[at - 1].end - end) <= _NEAR:
                return tuple(words[at:])
    return tuple(word for word in words if origin + (word.start + word.end) // 2 >= end)


def moved(words: Sequence[HypothesisWord], by: int) -> tuple[HypothesisWord, ...]:
    """Words whose times are offsets in a window that begins ``by`` samples earlier."""
    return tuple(replace(word, start=max(0, word.start + by), end=max(0, word.end + by)) for word in words)


def soft_boundary(words: Sequence[HypothesisWord], settled: int, policy: LivePolicy) -> int:
    """Behind how many of the first ``settled`` words a caption may end, at a sentence's end or a pause; 0 for none."""
    for cut in range(min(settled, len(words) - 1), 0, -1):
        word, following = words[cut - 1], words[cut]
        if word.text.rstrip().endswith(SENTENCE_ENDS) or following.start - word.end >= policy.cut_pause:
            return cut
    return 0


def cut_boundary(words: Sequence[HypothesisWord], window: int, policy: LivePolicy, *, from_zero: bool) -> int:
    """Behind how many of ``words`` a long segment is best cut: the longest gap, a sentence's end counting double.

    Only boundaries well before the window's end count, as far as there are any. ``from_zero``: a cut before the first
    word is allowed, as settled words stand before it.
    """
    best, best_worth = 0, -1
    for count in range(0 if from_zero else 1, len(words) + 1):
        end = words[count - 1].end if count else 0
        if count and end > window - policy.cut_margin:
            break
        following = words[count].start if count < len(words) else window
        worth = max(0, following - end) if count else 0
        if count and words[count - 1].text.rstrip().endswith(SENTENCE_ENDS):
            worth += policy.cut_pause
        if worth >= best_worth:
            best, best_worth = count, worth
    if best_worth < 0 and words:
        return 1
    return best
