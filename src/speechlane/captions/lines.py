"""Committed words to cues: what stands on the screen together, on which lines, and for how long.

Limits follow common broadcast guides (Netflix Timed Text Style Guide, BBC Subtitle Guidelines): at most two lines of
42 characters, about one to seven seconds. Where to break is chosen for a whole stretch of speech at once, at the
least total cost, as Knuth and Plass break paragraphs into lines ("Breaking Paragraphs into Lines", 1981).
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from speechlane.captions.text import ends_clause, ends_sentence, visible, width
from speechlane.transcript import Segment, Transcript, Word, text_of

LINE_WIDTH = 42
MAX_LINES = 2
MIN_MS = 1_000
MAX_MS = 7_000
PAUSE_MS = 800
"""A silence of this length ends a cue."""

# Costs of a division, in cues: one more cue costs 1.
_INNER_SENTENCE_END = 1.6  # two sentences in one cue
_TOO_SHORT = 2.0  # a cue on screen for no time at all; in proportion below MIN_MS
_EMPTY = 0.3  # a cue without text; in proportion to the room left
_BREAK_AT_CLAUSE = 0.3
_BREAK_ANYWHERE = 1.0

_MAX_WORDS = LINE_WIDTH * MAX_LINES  # in one cue, even where words have no width


@dataclass(frozen=True, slots=True)
class Cue:
    """One caption: its words, their lines, and when it is shown, ``start_ms`` < ``end_ms``.

    A line is wider than LINE_WIDTH only when it is one single word. Room for a ``S1: `` before the first line is kept.
    """

    channel: int
    start_ms: int
    end_ms: int
    words: tuple[Word, ...]
    lines: tuple[str, ...]
    speaker: str | None


@dataclass(frozen=True, slots=True)
class _Run:
    """Words of one segment and speaker without a pause between them; a cue never crosses its ends."""

    channel: int
    speaker: str | None
    words: list[Word]


def cues_of(transcript: Transcript) -> list[Cue]:
    """Cues in order of time. Every word with visible text is in exactly one; cues of a channel never overlap."""
    by_channel: dict[int, list[Cue]] = {}
    for run in _runs(transcript.segments):
        cues = (_cue(run, words) for words in _divide(run))
        by_channel.setdefault(run.channel, []).extend(cue for cue in cues if any(cue.lines))
    timed = itertools.chain.from_iterable(_timed(cues) for cues in by_channel.values())
    return sorted(timed, key=lambda cue: (cue.start_ms, cue.channel))


class CueTrack:
    """The cues of a transcript that still grows: as `cues_of` gives them, at the cost of what is new."""

    def __init__(self) -> None:
        self._timed: dict[int, list[Cue]] = {}
        self._untimed: dict[int, Cue] = {}  # each channel's last, whose end depends on what follows

    def add(self, segment: Segment) -> None:
        """Take a channel's next segment in order of time."""
        new = [cue for run in _runs((segment,)) for words in _divide(run) if any((cue := _cue(run, words)).lines)]
        if not new:
            return
        timed = self._timed.setdefault(segment.channel, [])
        if timed:
            before = timed.pop()
            new = [replace(self._untimed[segment.channel], start_ms=before.start_ms), *new]
        timed.extend(_timed(new))
        self._untimed[segment.channel] = new[-1]

    def between(self, start_ms: int, end_ms: int) -> list[Cue]:
        """The cues shown at some moment from ``start_ms`` to before ``end_ms``, in order of time."""
        found: list[Cue] = []
        for cues in self._timed.values():
            first = bisect_right(cues, start_ms, key=lambda cue: cue.end_ms)
            found += cues[first : bisect_left(cues, end_ms, key=lambda cue: cue.start_ms)]
        return sorted(found, key=lambda cue: (cue.start_ms, cue.channel))

    def starting(self, start_ms: int, end_ms: int) -> list[Cue]:
        """The cues that begin from ``start_ms`` to before ``end_ms``, in order of time."""
        return [cue for cue in self.between(start_ms, end_ms) if cue.start_ms >= start_ms]

    def all(self) -> list[Cue]:
        """Every cue so far; of each channel the last one's end may still change."""
        return sorted(itertools.chain(*self._timed.values()), key=lambda cue: (cue.start_ms, cue.channel))


def label(speaker: str | None) -> str:
    """What stands before a speaker's words in formats that have no name for it: ``S1: ``, or nothing."""
    return f"{visible(speaker)}: " if speaker else ""


def _runs(segments: Iterable[Segment]) -> Iterator[_Run]:
    for segment in segments:
        run: _Run | None = None
        for word in segment.words:
            if not visible(word.text):  # white space belongs to what it follows
                if run:
                    run.words.append(word)
                continue
            speaker = word.speaker or segment.speaker
            if run is None or run.speaker != speaker or word.start_ms - run.words[-1].end_ms >= PAUSE_MS:
                if run:
                    yield run
                run = _Run(segment.channel, speaker, [])
            run.words.append(word)
        if run:
            yield run


def _divide(run: _Run) -> list[list[Word]]:
    """The run in cues, at least total cost."""
    words = run.words
    widths = [width(visible(word.text)) for word in words]
    gaps = [int(before.text[-1:].isspace() or word.text[:1].isspace()) for before, word in itertools.pairwise(words)]
    closes = [ends_sentence(word.text) for word in words]
    breaks = [_break_cost(before, after) for before, after in itertools.pairwise(words)]
    indent = width(label(run.speaker))
    best = [0.0] + [float("inf")] * len(words)  # least cost of the first n words
    begins = [0] * (len(words) + 1)  # where the last cue of these begins
    for start in range(len(words)):
        filler = _LineFiller(indent, widths[start])
        inner_ends = 0
        for end in range(start + 1, min(len(words), start + _MAX_WORDS) + 1):
            if end > start + 1:
                inner_ends += closes[end - 2]
                fits = filler.add(gaps[end - 2], widths[end - 1])
                if not fits or words[end - 1].end_ms - words[start].start_ms > MAX_MS:
                    break
            cost = best[start] + 1.0 + inner_ends * _INNER_SENTENCE_END
            cost += _EMPTY * max(0.0, 1 - filler.used / (LINE_WIDTH * MAX_LINES))
            if end < len(words):
                shown_ms = words[end].start_ms - words[start].start_ms
                cost += breaks[end - 1] + _TOO_SHORT * min(1.0, max(0.0, 1 - shown_ms / MIN_MS))
            if cost < best[end]:
                best[end], begins[end] = cost, start
    ends = [len(words)]
    while ends[-1]:
        ends.append(begins[ends[-1]])
    return [words[start:end] for start, end in itertools.pairwise(reversed(ends))]


def _break_cost(before: Word, after: Word) -> float:
    """A cue best ends with a sentence, else with a clause; a pause makes any break better."""
    if ends_sentence(before.text):
        return 0.0
    silence = min(1.0, max(0.0, (after.start_ms - before.end_ms) / PAUSE_MS))
    return (1 - silence) * (_BREAK_AT_CLAUSE if ends_clause(before.text) else _BREAK_ANYWHERE)


class _LineFiller:
    """Puts words on lines one after another and tells whether they still fit; the first always does."""

    def __init__(self, indent: int, first: int) -> None:
        self._lines = 1
        self._column = indent + first
        self.used = self._column

    def add(self, gap: int, shown: int) -> bool:
        """Place the next word, ``shown`` columns wide and ``gap`` after the last; False when no line is left."""
        self.used += gap + shown
        if self._column + gap + shown <= LINE_WIDTH:
            self._column += gap + shown
        else:
            self._lines += 1
            self._column = shown
        return self._lines <= MAX_LINES


def _cue(run: _Run, words: Sequence[Word]) -> Cue:
    return Cue(
        channel=run.channel,
        start_ms=words[0].start_ms,
        end_ms=max(word.end_ms for word in words),
        words=tuple(words),
        lines=_lines(words, width(label(run.speaker))),
        speaker=run.speaker,
    )


def _lines(words: Sequence[Word], indent: int) -> tuple[str, ...]:
    """The words on one line where they fit, else on two of nearly one length, broken at punctuation if possible."""
    whole = visible(text_of(words))
    if indent + width(whole) <= LINE_WIDTH:
        return (whole,)
    choices = []
    for at in range(1, len(words)):
        first, second = visible(text_of(words[:at])), visible(text_of(words[at:]))
        if not (first and second):
            continue
        above, below = indent + width(first), width(second)
        over = max(0, above - LINE_WIDTH) + max(0, below - LINE_WIDTH)
        unmarked = not (ends_clause(first) or ends_sentence(first))
        choices.append((over, abs(above - below) + 8 * unmarked, (first, second)))
    return min(choices)[2] if choices else (whole,)


def _timed(cues: Sequence[Cue]) -> Iterator[Cue]:
    """One channel's cues with times in order: each shown long enough to be read where the next leaves room for it."""
    starts: list[int] = []
    for cue in cues:
        starts.append(max(cue.start_ms, starts[-1] + 1) if starts else cue.start_ms)
    for cue, start, following in itertools.zip_longest(cues, starts, starts[1:]):
        end = min(max(cue.end_ms, start + MIN_MS), start + MAX_MS)
        yield replace(cue, start_ms=start, end_ms=end if following is None else min(end, following))
