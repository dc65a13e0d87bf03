"""Speech scores in, chunks out: stretches of at most 28 s, cut where nobody speaks.

A decoder sees one window of 30 s at a time; what a cut runs through is heard badly on both sides of it. So chunks end
in silences, the longest at hand, and silence of any length between them is never decoded. The idea is that of
WhisperX (Bain et al. 2023, "VAD Cut & Merge"); cutting at the longest silence rather than the last, and in unbroken
speech at the least probable frame, is this file's. Figures: docs/decisions/0006-durable-jobs.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from speechlane.audio import ms_to_position
from speechlane.audio.gate import GateSettings, SpeechEnded, SpeechGate, SpeechStarted


@dataclass(frozen=True, slots=True)
class ChunkRules:
    """How chunks are cut; part of what provenance says of a chunk.

    ``max_ms`` bounds a chunk; silences over ``join_ms`` part chunks; ``pad_ms`` of what lies around speech is kept,
    as far as the middle of a silence.
    """

    max_ms: int = 28_000
    join_ms: int = 2_000
    pad_ms: int = 400
    gate: GateSettings = field(default_factory=lambda: GateSettings(endpointing_ms=160))


@dataclass(frozen=True, slots=True)
class Span:
    """Samples ``start`` (inclusive) to ``end`` (exclusive) of the recording at 16 kHz."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span to decode, and where in it there is speech: at least one stretch, in order, apart from each other."""

    span: Span
    speech: tuple[Span, ...]


def plan_chunks(scores: Sequence[float], total: int, rules: ChunkRules | None = None) -> tuple[Chunk, ...]:
    """Chunks that cover all speech, ordered, apart from each other, none longer than ``rules.max_ms``.

    Args:
        scores: speech probability of each whole frame of ``rules.gate.frame_samples`` samples, from the start on.
        total: length of the recording in samples; a part of a frame at its end goes with the frame before it.
        rules: how to cut; the defaults when None.
    """
    rules = rules or ChunkRules()
    limit = ms_to_position(rules.max_ms)
    spoken = [
        piece
        for region in speech_regions(scores, total, rules.gate)
        for piece in _within(region, limit, scores, rules.gate.frame_samples)
    ]
    return tuple(
        Chunk(Span(pieces[0].start, pieces[-1].end), tuple(speech))
        for speech, pieces in _packed(
            spoken, _padded(spoken, total, ms_to_position(rules.pad_ms), limit), limit, ms_to_position(rules.join_ms)
        )
    )


def split_chunk(chunk: Chunk, near: int) -> tuple[Chunk, Chunk] | None:
    """The chunk in two, cut in a silence: the longest that is not far from a position. None where it has no silence.

    Half a second nearer counts as much as half a second longer.
    """
    cuts = range(1, len(chunk.speech))
    if not cuts:
        return None

    def worth(cut: int) -> int:
        silence = Span(chunk.speech[cut - 1].end, chunk.speech[cut].start)
        return silence.length - abs(_middle(silence) - near)

    cut = max(cuts, key=worth)
    at = _middle(Span(chunk.speech[cut - 1].end, chunk.speech[cut].start))
    before, after = Span(chunk.span.start, at), Span(at, chunk.span.end)
    return Chunk(before, chunk.speech[:cut]), Chunk(after, chunk.speech[cut:])


def speech_regions(scores: Sequence[float], total: int, settings: GateSettings) -> list[Span]:
    """Where the speech gate hears speech, to the sample; the same gate as the live lane's."""
    gate = SpeechGate(settings)
    regions: list[Span] = []
    start = 0

    def take(moment: SpeechStarted | SpeechEnded | None) -> None:
        nonlocal start
        if isinstance(moment, SpeechStarted):
            start = moment.position
        elif isinstance(moment, SpeechEnded):
            regions.append(Span(start, moment.position))

    for score in scores:
        take(gate.feed(score))
    if gate.speaking:
        take(gate.end())
    if regions and total - regions[-1].end < settings.frame_samples:
        regions[-1] = Span(regions[-1].start, total)
    return regions


def _padded(pieces: Sequence[Span], total: int, pad: int, limit: int) -> list[Span]:
    """Speech with what lies around it: up to the middle of a silence, and never past the limit of a chunk."""
    padded = []
    for number, piece in enumerate(pieces):
        low = (pieces[number - 1].end + piece.start + 1) // 2 if number > 0 else 0
        high = (piece.end + pieces[number + 1].start + 1) // 2 if number + 1 < len(pieces) else total
        room = min(pad, (limit - piece.length) // 2)
        padded.append(Span(max(low, piece.start - room), min(high, piece.end + room)))
    return padded


def _within(region: Span, limit: int, scores: Sequence[float], frame: int) -> list[Span]:
    """Unbroken speech longer than the limit, cut at the frame of the second half that is least likely speech."""
    pieces = []
    start = region.start
    while region.end - start > limit:
        first, last = (start + limit // 2) // frame, min((start + limit) // frame - 1, len(scores) - 1)
        deepest = min(range(first, last + 1), key=lambda index: (_smooth(scores, index), -index))
        cut = deepest * frame + frame // 2
        pieces.append(Span(start, cut))
        start = cut
    return [*pieces, Span(start, region.end)]


def _smooth(scores: Sequence[float], index: int) -> float:
    around = scores[max(0, index - 1) : index + 2]
    return sum(around) / len(around)


def _packed(
    speech: Sequence[Span], pieces: Sequence[Span], limit: int, join: int
) -> Iterator[tuple[Sequence[Span], Sequence[Span]]]:
    """Runs of speech with their padded pieces, as many as fit in a chunk.

    A chunk that is full ends at the longest silence of its second half.
    """
    first = 0
    while first < len(pieces):
        start, after = pieces[first].start, first + 1
        while after < len(pieces) and _gap(pieces, after) <= join and pieces[after].end - start <= limit:
            after += 1
        if after < len(pieces) and _gap(pieces, after) <= join:
            silences = [cut for cut in range(first + 1, after) if pieces[cut].start - start > limit // 2]
            after = max([*silences, after], key=lambda cut: (_gap(speech, cut), cut))
        yield speech[first:after], pieces[first:after]
        first = after


def _gap(spans: Sequence[Span], before: int) -> int:
    return spans[before].start - spans[before - 1].end


def _middle(span: Span) -> int:
    return (span.start + span.end) // 2
