"""Chunks to one transcript: times, sentences, pauses, speakers, languages; and what of a decode is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from speechlane.batch.chunking import Chunk, Span
from speechlane.batch.merge import ChunkText, HeardPart, SegmentRules, merge, parts_of, words_of
from speechlane.batch.quality import better_of, breaks_off_at, needs_second_try, without_noise
from speechlane.engine import Hypothesis, HypothesisWord
from speechlane.transcript import Transcript, Word

pytestmark = pytest.mark.unit


def said(text: str, *, start_ms: int = 0, gap_ms: int = 0, each_ms: int = 100) -> tuple[Word, ...]:
    words = []
    at = start_ms
    for token in text.split():
        words.append(Word(f" {token}", at, at + each_ms, 0.5))
        at += each_ms + gap_ms
    return tuple(words)


def part(words: tuple[Word, ...], language: str | None = "en") -> HeardPart:
    return HeardPart(words=words, language=language, record=None)


def merged(*parts: HeardPart) -> Transcript:
    return merge(parts, [word for one in parts for word in one.words], 60_000)


def texts(*parts: HeardPart) -> list[str]:
    return [segment.text for segment in merged(*parts).segments]


def test_words_stand_at_their_time_in_the_recording() -> None:
    """Offsets within a chunk become whole milliseconds of the recording."""
    heard = Hypothesis(words=(HypothesisWord(" Hi", 160, 1600, 0.9),), language="en")
    assert words_of(heard, Span(16_000, 32_000)) == (Word(" Hi", 1010, 1100, 0.9),)


def test_segments_end_with_sentences() -> None:
    """A full stop, question mark or their relatives in other scripts end a segment, closing quotes included."""
    assert texts(part(said('He said "no." Why? Well…'))) == [' He said "no."', " Why?", " Well…"]
    assert texts(part(said("你好。 再见。"))) == [" 你好。", " 再见。"]


def test_titles_and_initials_end_no_sentence() -> None:
    """Mr. and a single capital are followed by the name they belong to."""
    assert texts(part(said("Mr. Smith met J. Doe."))) == [" Mr. Smith met J. Doe."]


def test_segments_end_at_pauses_and_at_a_length() -> None:
    """A pause of 800 ms parts words, one under it does not; no segment is longer than 15 s."""
    assert texts(part(said("one two", gap_ms=800))) == [" one", " two"]
    assert texts(part(said("one two", gap_ms=799))) == [" one two"]
    long = merged(part(said("so " * 200, each_ms=400))).segments
    assert max(segment.end_ms - segment.start_ms for segment in long) <= SegmentRules().max_ms
    assert sum(len(segment.words) for segment in long) == 200


def test_segments_end_where_the_speaker_changes() -> None:
    """Each segment has one speaker, which its words bear too."""
    yes, no = said("yes no")
    transcript = merge([part((yes, no))], [yes.spoken_by("S1"), no.spoken_by("S2")], 1000)
    assert [(segment.speaker, segment.words[0].speaker) for segment in transcript.segments] == [
        ("S1", "S1"),
        ("S2", "S2"),
    ]
    assert transcript.speakers == ("S1", "S2")


def test_parts_join_within_a_sentence() -> None:
    """A seam between parts is no end of a segment by itself; numbers count through."""
    transcript = merged(part(said("ask not")), part(said("what. Next.", start_ms=200)))
    assert [(segment.number, segment.text) for segment in transcript.segments] == [(1, " ask not what."), (2, " Next.")]


def test_the_language_is_the_one_of_most_words() -> None:
    """A transcript's language follows its words, a segment's its own; none heard, none named."""
    transcript = merged(part(said("eins zwei."), "de"), part(said("one.", start_ms=900)))
    assert transcript.language == "de"
    assert [segment.language for segment in transcript.segments] == ["de", "en"]
    assert merged(part((), "en")).language is None


def test_no_word_is_left_out() -> None:
    """Words that are not those of the parts are a fault of the caller, not a shorter transcript."""
    with pytest.raises(ValueError, match=r"zip\(\)"):
        merge([part(said("one two"))], said("one"), 1000)


HEARD = Hypothesis(words=(HypothesisWord(" you", 0, 10, 0.1),), language="en")


def test_loops_are_tried_again_and_the_second_try_counts() -> None:
    """A repetitive text asks for a second try, which replaces it unless it is empty."""
    loop, second = replace(HEARD, repetitive=True), replace(HEARD, average_logprob=-2.0)
    assert needs_second_try(loop)
    assert not needs_second_try(HEARD)
    assert better_of(loop, second) is second
    assert better_of(loop, replace(second, words=())) is loop


@pytest.mark.parametrize(
    ("no_speech", "logprob", "kept"),
    [(0.7, -1.1, 0), (0.7, -0.9, 1), (0.5, -1.1, 1), (None, -1.1, 1), (0.7, None, 1)],
)
def test_words_heard_in_noise_are_dropped(no_speech, logprob, kept) -> None:
    """Only where the model itself hears nobody and doubts its words; unknown figures drop nothing."""
    heard = replace(HEARD, no_speech_probability=no_speech, average_logprob=logprob)
    assert len(without_noise(heard).words) == kept


@pytest.mark.parametrize(
    ("last_word_ends", "expected"),
    [(None, 100_000), (20_000, 120_000), (64_000, 164_000), (70_000, None), (96_000, None)],
    ids=["nothing heard", "early", "a sentence missing", "under a second missing", "all heard"],
)
def test_a_text_that_breaks_off_is_told(last_word_ends, expected) -> None:
    """More than a second of speech behind the last word makes a chunk suspect; silence behind it does not."""
    words = (HypothesisWord(" so", 0, last_word_ends, 0.9),) if last_word_ends else ()
    speech = (Span(100_000, 150_000), Span(160_000, 182_000))
    heard = Hypothesis(words=words, language="en")
    assert breaks_off_at(heard, Chunk(Span(100_000, 200_000), speech)) == expected


def test_parts_come_in_order_of_their_chunks() -> None:
    """A chunk that took two decodes gives both, in order."""
    one, two, three = (part(said(text)) for text in ("one", "two", "three"))
    assert parts_of([ChunkText(0, (one,)), ChunkText(1, (two, three)), ChunkText(2, ())]) == [one, two, three]
