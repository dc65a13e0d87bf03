"""Captions of any transcript: no word lost or doubled, times in order, files that independent readers read back."""

import html
import io
import itertools
import json
import re

import av
import pytest
import webvtt
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from speechlane.captions import cues_of, render, transcript_from_dict, transcript_to_dict
from speechlane.captions.text import visible, width
from speechlane.transcript import Segment, Transcript, Word

pytestmark = pytest.mark.properties

# Nothing here is about speed, and the machine may be busy.
PATIENT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

HOSTILE = [
    " -->",
    " 00:00:01.000 --> 00:00:02.000",
    " 00:00:01,000 --> 00:00:02,000",
    " <b>bold</b>",
    " </v>",
    " <v Mallory>",
    " &amp;",
    " &lt;i&gt;",
    " {\\an8}",
    "\n\n2\n00:00:01,000 --> 00:00:02,000\nX\n\n",
    "\r\n\r\nNOTE",
    " WEBVTT",
    " STYLE",
    "",
    " ",
    "\x00",
    "\u2028",
    " שלום",
    " مرحبا،",
    " 👩‍👩‍👧",
    "今天",
    " e\u0301",
    " " + "x" * 100,
    " end.",
    " so,",
]
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12), st.from_regex(r" [a-z]{1,9}[.,]?", fullmatch=True))
SPEAKERS = st.one_of(st.none(), st.sampled_from(["S1", "S2", "A & B", "x>y", "a\nb", "<v>"]))


@st.composite
def transcripts(draw):
    """Segments of several channels, words in order of time within each, any text, times that may touch or overlap."""
    segments = []
    for channel in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, 3_000))
        for number in range(1, draw(st.integers(0, 4)) + 1):
            words = []
            for _ in range(draw(st.integers(0, 12))):
                start = at + draw(st.sampled_from([0, 0, 0, 40, 300, 900]))
                end = start + draw(st.sampled_from([0, 1, 80, 250, 600, 20_000]))
                confidence = draw(st.one_of(st.none(), st.floats(0, 1)))
                words.append(Word(draw(TEXTS), start, end, confidence, draw(SPEAKERS)))
                at = draw(st.sampled_from([start, end]))
            begin, last = (words[0].start_ms, max(w.end_ms for w in words)) if words else (at, at)
            segments.append(Segment(channel, number, begin, last, tuple(words), "en", draw(SPEAKERS)))
    segments.sort(key=lambda segment: (segment.start_ms, segment.channel))
    return Transcript(tuple(segments), 10**6, draw(st.sampled_from([None, "en"])))


def spoken(transcript):
    """All words with visible text, channel by channel."""
    return sorted(
        ((s.channel, w) for s in transcript.segments for w in s.words if visible(w.text)),
        key=lambda item: item[0],
    )


@PATIENT
@given(transcripts())
def test_every_word_is_in_exactly_one_cue(transcript):
    """Taken together the cues of a channel hold its words, each once and in order."""
    cues = cues_of(transcript)
    found = sorted(((cue.channel, w) for cue in cues for w in cue.words if visible(w.text)), key=lambda item: item[0])
    assert found == spoken(transcript)
    for cue in cues:
        assert visible("".join(word.text for word in cue.words)).replace(" ", "") == "".join(cue.lines).replace(" ", "")
        assert {word.speaker for word in cue.words if visible(word.text) and word.speaker} <= {cue.speaker}


@PATIENT
@given(transcripts())
def test_times_are_in_order_and_cues_of_a_channel_never_overlap(transcript):
    """Cues are sorted by start, last 1 to 7000 ms, and within a channel each ends before the next begins."""
    cues = cues_of(transcript)
    assert [cue.start_ms for cue in cues] == sorted(cue.start_ms for cue in cues)
    assert all(1 <= cue.end_ms - cue.start_ms <= 7_000 for cue in cues)
    for channel in (0, 1):
        own = [cue for cue in cues if cue.channel == channel]
        assert all(before.end_ms <= after.start_ms for before, after in itertools.pairwise(own))


@PATIENT
@given(transcripts())
def test_lines_keep_their_limits(transcript):
    """A cue has one or two lines without blank ones; a line is over 42 columns only when it is one word."""
    for cue in cues_of(transcript):
        assert 1 <= len(cue.lines) <= 2
        assert all(line and line == visible(line) for line in cue.lines)
        for line in cue.lines:
            single = [word for word in cue.words if visible(word.text) == line]
            assert width(line) <= 42 or single


@PATIENT
@given(transcripts())
def test_webvtt_is_read_back(transcript):
    """webvtt-py reads, strictly, the same cues with the same times, and the text once it is unescaped."""
    cues = cues_of(transcript)
    captions = webvtt.from_string(render(transcript, "vtt").body.decode()).captions
    assert len(captions) == len(cues)
    for caption, cue in zip(captions, cues, strict=True):
        assert _ms(caption.start) == cue.start_ms
        assert _ms(caption.end) == cue.end_ms
        voice = re.match(r"<v ([^>]*)>", caption.raw_text)
        assert (html.unescape(voice[1]) if voice else None) == (visible(cue.speaker) if cue.speaker else None)
        payload = caption.raw_text[voice.end() :] if voice else caption.raw_text
        assert "<" not in payload
        assert ">" not in payload
        assert _unescape(payload) == _utf8("\n".join(cue.lines))


@PATIENT
@given(transcripts())
def test_subrip_is_read_back(transcript):
    """webvtt-py's SubRip reader finds the same cues; apart from names and word joiners the text is the same."""
    cues = cues_of(transcript)
    body = render(transcript, "srt").body.decode()
    captions = webvtt.from_buffer(io.StringIO(body), format="srt").captions if cues else []
    assert re.findall(r"^(\d+)\n\d\d:.* --> ", body, re.MULTILINE) == [str(n) for n in range(1, len(cues) + 1)]
    assert len(captions) == len(cues)
    previous = None
    for caption, cue in zip(captions, cues, strict=True):
        assert _ms(caption.start) == cue.start_ms
        assert _ms(caption.end) == cue.end_ms
        named = f"{visible(cue.speaker)}: " if cue.speaker and cue.speaker != previous else ""
        previous = cue.speaker
        expected = _utf8(named + "\n".join(cue.lines))
        assert caption.raw_text.replace("\u2060", "") == expected.replace("\u2060", "")
        assert "-->" not in caption.raw_text


@PATIENT
@given(transcripts())
def test_plain_text_has_one_line_for_each_stretch_of_a_speaker(transcript):
    """No text can begin a line of its own, and nothing said is left out."""
    lines = render(transcript, "txt").body.decode().split("\n")[:-1]
    assert all(re.match(r"\[\d{2,}:\d{2}:\d{2}\.\d\] ", line) for line in lines)
    said = "".join(visible(w.text) for s in transcript.segments for w in s.words).replace(" ", "")
    together = "".join(lines).replace(" ", "")
    assert len(together) >= len(said)


@PATIENT
@given(transcripts())
@example(Transcript((Segment(0, 1, 0, 1, (Word("\ud800 \x00", 0, 1, 0.0),)),), 1))
def test_json_round_trips(transcript):
    """Out and in again, through bytes, is the same transcript."""
    assert transcript_from_dict(transcript_to_dict(transcript)) == transcript
    assert transcript_from_dict(json.loads(render(transcript, "json").body)) == transcript


def test_hostile_text_is_shown_by_ffmpeg():
    """A third reader, FFmpeg's, shows every hostile word of a WebVTT and a SubRip file as text."""
    hostile = [text for text in HOSTILE if visible(text)]
    segments = tuple(
        Segment(0, number, number * 2_000, number * 2_000 + 900, (Word(text, number * 2_000, number * 2_000 + 900),))
        for number, text in enumerate(hostile, 1)
    )
    for file_format in ("vtt", "srt"):
        body = render(Transcript(segments, 10**6), file_format).body
        with av.open(io.BytesIO(body), format={"vtt": "webvtt", "srt": "srt"}[file_format]) as container:
            packets = [bytes(packet).decode() for packet in container.demux() if packet.size]
        shown = [_unescape(text) if file_format == "vtt" else text.replace("\u2060", "") for text in packets]
        assert [text.replace("\n", " ") for text in shown] == [visible(text) for text in hostile]


def _unescape(text):
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _utf8(text):
    """The text as it survives UTF-8: half a surrogate pair becomes a question mark."""
    return text.encode("utf-8", errors="replace").decode()


def _ms(timestamp):
    hours, minutes, seconds = timestamp.split(":")
    return round((int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * 1000)
