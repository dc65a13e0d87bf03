"""Where cues and lines break."""

import pytest

from speechlane.captions import cues_of
from speechlane.captions.text import ends_clause, ends_sentence, visible, width
from speechlane.transcript import Segment, Transcript, Word

pytestmark = pytest.mark.unit


def spoken(text, *, start=0, each=300, pauses=None, speakers=None):
    """Words of a sentence one after another; ``pauses`` maps a word's index to the silence before it."""
    words, at = [], start
    for index, item in enumerate(text.split()):
        at += (pauses or {}).get(index, 0)
        words.append(Word(f" {item}", at, at + each, None, (speakers or {}).get(index)))
        at += each
    return words


def transcript(*groups, channel=0):
    segments = tuple(
        Segment(channel, number, words[0].start_ms, words[-1].end_ms, tuple(words))
        for number, words in enumerate(groups, 1)
    )
    return Transcript(segments, max(segment.end_ms for segment in segments))


def lines(*groups):
    return [cue.lines for cue in cues_of(transcript(*groups))]


def test_a_short_sentence_is_one_line():
    """What fits on one line is not broken."""
    assert lines(spoken("Ask what you can do for your country.")) == [("Ask what you can do for your country.",)]


def test_two_lines_are_balanced():
    """A cue over one line breaks into two of nearly one length."""
    assert lines(spoken("I never thought that anybody would ever call me from Chicago.", each=100)) == [
        ("I never thought that anybody", "would ever call me from Chicago.")
    ]


def test_lines_break_at_punctuation_where_they_can():
    """A comma near the middle is a better place for a break than the middle itself."""
    assert lines(spoken("I came from New Jersey now, and my brother lives in Texas too.", each=100)) == [
        ("I came from New Jersey now,", "and my brother lives in Texas too.")
    ]


def test_a_sentence_ends_a_cue():
    """Two sentences that can be read apart are two cues."""
    assert lines(spoken("This is Diane in New Jersey. I am Sheila in Texas.")) == [
        ("This is Diane in New Jersey.",),
        ("I am Sheila in Texas.",),
    ]


def test_a_word_alone_does_not_flicker():
    """Sentences too short to be read apart share a cue."""
    assert lines(spoken("Yes. No. I do not think so.", each=150)) == [("Yes. No. I do not think so.",)]


def test_titles_end_no_sentence():
    """The full stop of a title or an initial does not split a name, even after seconds of speech."""
    assert lines(spoken("I spoke with Mr. J. Smith today.", each=700)) == [("I spoke with Mr. J. Smith today.",)]
    assert lines(spoken("I spoke with Tom. Smith is here.", each=700)) == [("I spoke with Tom.",), ("Smith is here.",)]


def test_a_speaker_change_ends_a_cue():
    """No cue holds words of two speakers; a word without one has its segment's."""
    words = spoken("where are you from Texas", speakers={4: "S2"})
    segment = Segment(0, 1, 0, 1500, tuple(words), speaker="S1")
    cues = cues_of(Transcript((segment,), 1500))
    assert [(cue.speaker, cue.lines) for cue in cues] == [("S1", ("where are you from",)), ("S2", ("Texas",))]


def test_a_pause_ends_a_cue():
    """A silence of 800 ms clears the screen; a shorter one does not."""
    assert lines(spoken("and so my fellow Americans", pauses={3: 800})) == [("and so my",), ("fellow Americans",)]
    assert lines(spoken("and so my fellow Americans", pauses={3: 799})) == [("and so my fellow Americans",)]


def test_a_segment_ends_a_cue():
    """Cues do not cross segments, so a final that comes later never changes an earlier cue."""
    first, second = spoken("and so"), spoken("my fellow", start=600)
    assert lines(first, second) == [("and so",), ("my fellow",)]


def test_a_cue_is_shown_long_enough_but_not_over_the_next():
    """A cue stays for a second where the next one leaves room, and gives way to it where not."""
    cues = cues_of(transcript(spoken("one", each=200), spoken("two", start=500, each=200)))
    assert [(cue.start_ms, cue.end_ms) for cue in cues] == [(0, 500), (500, 1500)]


def test_a_cue_does_not_stay_for_ever():
    """A single word with an absurd duration is shown for seven seconds at most."""
    (cue,) = cues_of(transcript([Word(" well", 0, 60_000)]))
    assert (cue.start_ms, cue.end_ms) == (0, 7_000)


def test_a_long_pause_within_the_sentence_is_where_it_breaks():
    """Between equal places the one with a silence is chosen."""
    text = "the quick brown fox jumps over the lazy dog and then it runs away into the deep dark wood to sleep"
    found = lines(spoken(text, each=200, pauses={9: 600}))
    assert " ".join(found[0]) == "the quick brown fox jumps over the lazy dog"


def test_languages_without_spaces_break_between_words():
    """Wide characters count two columns and no space is invented."""
    words = [
        Word(character, index * 100, index * 100 + 100)
        for index, character in enumerate("今天我们来谈一谈语音识别" * 4)
    ]
    found = cues_of(transcript(words))
    assert "".join(line for cue in found for line in cue.lines) == "今天我们来谈一谈语音识别" * 4
    assert all(width(line) <= 42 for cue in found for line in cue.lines)


def test_an_overlong_word_has_a_line_of_its_own():
    """A word that no line holds is not torn apart."""
    url = "https://example.org/" + "x" * 60
    found = lines(spoken(f"see {url} for more"))
    assert [line for cue in found for line in cue if url in line] == [url]


def test_channels_have_cues_of_their_own():
    """People who talk at the same time on two channels are both captioned, in order of time."""
    one, two = spoken("hello there"), spoken("good morning", start=100)
    both = Transcript((transcript(one).segments[0], transcript(two, channel=1).segments[0]), 1000)
    assert [(cue.channel, cue.lines) for cue in cues_of(both)] == [(0, ("hello there",)), (1, ("good morning",))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  a \n\n b ", "a b"),
        ("a\u2028b\u2029c\x85d", "a b c d"),
        ("a\x00b\x1bc", "abc"),
        ("\x1c\x1d", ""),
        ("שלום עולם", "שלום עולם"),
        ("👩‍👩‍👧 ok", "👩‍👩‍👧 ok"),
    ],
)
def test_visible_text_is_one_line(text, expected):
    """White space of any kind is one space, control characters vanish, everything else stays."""
    assert visible(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("", 0)])
def test_width_counts_columns(text, expected):
    """Wide characters are two columns, combining marks none."""
    assert width(text) == expected


@pytest.mark.parametrize(
    ("word", "sentence", "clause"),
    [
        (" end.", True, False),
        (' end."', True, False),
        ("吗？", True, False),  # noqa: RUF001 - the mark under test
        (" Dr.", False, False),
        (" A.", False, False),
        (" so,", False, True),
        (" so", False, False),
        ("", False, False),
    ],
)
def test_ends_are_recognised(word, sentence, clause):
    """Sentences and clauses end at their marks, closing quotes included, in several scripts."""
    assert (ends_sentence(word), ends_clause(word)) == (sentence, clause)
