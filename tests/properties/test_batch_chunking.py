"""Chunks cover all speech, in order, apart, bounded; silence is never decoded at length."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlane.audio import ms_to_position
from speechlane.batch.chunking import Chunk, ChunkRules, Span, plan_chunks, speech_regions, split_chunk

pytestmark = pytest.mark.properties

FRAME = 512


@st.composite
def recordings(draw) -> tuple[list[float], int]:
    """Scores as runs of speech, silence and doubt, up to some minutes, and a length that may end within a frame."""
    runs = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["speech", "silence", "doubt"]),
                st.integers(1, 1500),
                st.integers(0, 2**32 - 1),
            ),
            max_size=8,
        )
    )
    bounds = {"speech": (0.5, 1.0), "silence": (0.0, 0.34), "doubt": (0.2, 0.7)}
    scores: list[float] = []
    for kind, frames, seed in runs:
        low, high = bounds[kind]
        state = seed
        for _ in range(frames):  # a linear congruential generator: thousands of draws would be slow
            state = (state * 1664525 + 1013904223) % 2**32
            scores.append(low + (high - low) * state / 2**32)
    return scores, len(scores) * FRAME + draw(st.integers(0, FRAME - 1))


rules = st.builds(
    ChunkRules,
    max_ms=st.integers(1_000, 30_000),
    join_ms=st.integers(0, 5_000),
    pad_ms=st.integers(0, 1_000),
)


@given(recording=recordings(), rules=rules)
def test_chunks_are_ordered_apart_bounded_and_inside(recording, rules) -> None:
    """Each chunk is non-empty, at most max_ms long, begins where the one before it ended or later, ends in time."""
    scores, total = recording
    end = 0
    for chunk in plan_chunks(scores, total, rules):
        assert end <= chunk.span.start < chunk.span.end <= total
        assert chunk.span.length <= ms_to_position(rules.max_ms)
        end = chunk.span.end


@given(recording=recordings(), rules=rules)
def test_all_speech_is_covered(recording, rules) -> None:
    """Every sample that the gate calls speech lies in a chunk."""
    scores, total = recording
    chunks = plan_chunks(scores, total, rules)
    for region in speech_regions(scores, total, rules.gate):
        at = region.start
        for chunk in chunks:
            if chunk.span.start <= at < chunk.span.end:
                at = min(chunk.span.end, region.end)
        assert at == region.end


@given(recording=recordings(), rules=rules)
def test_long_silence_is_left_out(recording, rules) -> None:
    """No chunk holds a silence longer than join_ms; around speech no more than pad_ms is kept."""
    scores, total = recording
    regions = speech_regions(scores, total, rules.gate)
    pad = ms_to_position(rules.pad_ms)
    for chunk in plan_chunks(scores, total, rules):
        inside = [region for region in regions if region.start < chunk.span.end and chunk.span.start < region.end]
        assert inside, "a chunk holds speech"
        assert inside[0].start - chunk.span.start <= pad
        assert chunk.span.end - inside[-1].end <= pad
        for before, after in itertools.pairwise(inside):
            assert after.start - before.end <= ms_to_position(rules.join_ms) + 2 * pad


@given(frames=st.integers(0, 2000), rest=st.integers(0, FRAME - 1))
def test_silence_has_no_chunks(frames, rest) -> None:
    """Scores under the threshold give no chunk, nor does a recording too short for one score."""
    assert plan_chunks([0.3] * frames, frames * FRAME + rest) == ()


def joined(spans) -> list[Span]:
    """Spans with those that touch made one."""
    out: list[Span] = []
    for span in spans:
        if out and out[-1].end == span.start:
            out[-1] = Span(out[-1].start, span.end)
        else:
            out.append(span)
    return out


def check_speech(chunk, regions) -> None:
    """A chunk's speech is what the gate heard within it."""
    inside = [region for region in regions if region.start < chunk.span.end and chunk.span.start < region.end]
    cut = [Span(max(region.start, chunk.span.start), min(region.end, chunk.span.end)) for region in inside]
    assert joined(chunk.speech) == cut


@given(recording=recordings(), rules=rules, near=st.floats(0, 1))
def test_a_chunk_knows_its_speech_and_can_be_cut_in_its_silences(recording, rules, near) -> None:
    """Both halves together are the chunk, each has its share of the speech, and the cut runs through none of it."""
    scores, total = recording
    regions = speech_regions(scores, total, rules.gate)
    for chunk in plan_chunks(scores, total, rules):
        check_speech(chunk, regions)
        halves = split_chunk(chunk, chunk.span.start + int(near * chunk.span.length))
        if len(chunk.speech) == 1:
            assert halves is None
            continue
        first, second = halves
        assert (first.span.start, second.span.end) == (chunk.span.start, chunk.span.end)
        assert first.span.end == second.span.start
        assert first.speech + second.speech == chunk.speech
        assert first.speech[-1].end <= first.span.end <= second.speech[0].start


def test_a_chunk_is_cut_at_a_long_silence_that_is_near() -> None:
    """A silence a little farther off wins when it is longer by more than that."""
    speech = tuple(Span(start * 1000, end * 1000) for start, end in ((0, 10), (11, 20), (25, 40), (41, 50)))
    chunk = Chunk(Span(0, 50_000), speech)
    assert [split_chunk(chunk, near)[0].span.end for near in (0, 10_500, 18_000, 40_500)] == [
        10_500,
        10_500,
        22_500,
        40_500,
    ]


def test_a_full_chunk_ends_at_the_longest_silence_of_its_second_half() -> None:
    """Of the silences after 14 s the longest is the cut, not the last and not an early longer one."""

    def seconds(value: float) -> int:
        return round(value * 16_000 / FRAME)

    speech, silence = 0.9, 0.0
    scores = [
        *([speech] * seconds(5)),
        *([silence] * seconds(1.5)),  # longest, but it would leave a short chunk
        *([speech] * seconds(10)),
        *([silence] * seconds(1.0)),  # the cut: 16.5 to 17.5 s
        *([speech] * seconds(7)),
        *([silence] * seconds(0.4)),  # the last one that fits
        *([speech] * seconds(10)),
    ]
    first, second = plan_chunks(scores, len(scores) * FRAME)
    assert 16_500 <= first.span.end / 16 <= 17_000
    assert 17_000 <= second.span.start / 16 <= 17_500
    assert second.span.end == len(scores) * FRAME


def test_unbroken_speech_is_cut_where_speech_is_least_likely() -> None:
    """Without a silence the cut falls on the weakest frame of the second half; no sample is left out."""
    scores = [0.9] * 2000
    scores[400] = 0.4  # first half
    scores[600] = 0.5
    spans = [chunk.span for chunk in plan_chunks(scores, 2000 * FRAME)]
    assert [spans[0].start, spans[-1].end] == [0, 2000 * FRAME]
    assert abs(spans[0].end - 600 * FRAME) <= 2 * FRAME
    assert all(before.end == after.start for before, after in itertools.pairwise(spans))
