"""Files as players and readers see them: exact text for one small transcript, and clear errors."""

import json

import pytest

from speechlane.captions import render, transcript_from_dict, transcript_to_dict
from speechlane.errors import InvalidInput
from speechlane.transcript import Segment, Transcript, Word

pytestmark = pytest.mark.unit


def word(text, start, end, speaker, confidence=None):
    return Word(text, start, end, confidence, speaker)


TALK = Transcript(
    (
        Segment(0, 1, 6_690, 7_420, (word(" Hello.", 6_690, 7_420, "S1", 0.5),), "en", "S1"),
        Segment(
            0,
            2,
            7_600,
            9_500,
            (
                word(" Oh,", 7_600, 7_900, "S2", 0.25),
                word(" hello.", 7_900, 8_400, "S2", 0.75),
                word(" Tom", 8_400, 8_700, "S1"),
                word(" &", 8_700, 8_900, "S1"),
                word(" I", 8_900, 9_500, "S1"),
            ),
            "en",
            None,
        ),
        Segment(0, 3, 3_700_000, 3_700_400, (word(" Bye.", 3_700_000, 3_700_400, None),), None, None),
        Segment(0, 4, 3_701_000, 3_701_400, (), None, None),
    ),
    3_702_000,
    "en",
)


def test_webvtt():
    """Cues with escaped text, and the speaker as the voice."""
    body, media_type = render(TALK, "vtt")
    assert media_type == "text/vtt"
    assert body.decode() == (
        "WEBVTT\n\n"
        "00:00:06.690 --> 00:00:07.600\n<v S1>Hello.\n\n"
        "00:00:07.600 --> 00:00:08.400\n<v S2>Oh, hello.\n\n"
        "00:00:08.400 --> 00:00:09.500\n<v S1>Tom &amp; I\n\n"
        "01:01:40.000 --> 01:01:41.000\nBye.\n"
    )


def test_subrip():
    """Numbered cues; the speaker is named where it changes."""
    body, media_type = render(TALK, "srt")
    assert media_type == "application/x-subrip"
    assert body.decode() == (
        "1\n00:00:06,690 --> 00:00:07,600\nS1: Hello.\n\n"
        "2\n00:00:07,600 --> 00:00:08,400\nS2: Oh, hello.\n\n"
        "3\n00:00:08,400 --> 00:00:09,500\nS1: Tom & I\n\n"
        "4\n01:01:40,000 --> 01:01:41,000\nBye.\n"
    )


def test_the_speaker_is_named_once_in_subrip():
    """While one speaker goes on the name is not repeated."""
    words = (word(" One two three four.", 0, 2_000, "S1"), word(" Five six seven eight.", 2_000, 4_000, "S1"))
    body = render(Transcript((Segment(0, 1, 0, 4_000, words),), 4_000), "srt").body.decode()
    assert body.count("S1: ") == 1


def test_plain_text():
    """One line a segment and speaker, with its time and name."""
    body, media_type = render(TALK, "txt")
    assert media_type == "text/plain; charset=utf-8"
    assert body.decode() == (
        "[00:00:06.6] S1: Hello.\n[00:00:07.6] S2: Oh, hello.\n[00:00:08.4] S1: Tom & I\n[01:01:40.0] Bye.\n"
    )


def test_json():
    """The documented schema, with unknown as null."""
    body, media_type = render(TALK, "json")
    assert media_type == "application/json"
    document = json.loads(body)
    assert list(document) == ["schema", "duration_ms", "language", "speakers", "segments"]
    assert document["schema"] == "speechlane.transcript/1"
    assert document["speakers"] == ["S1", "S2"]
    assert document["segments"][1] == {
        "channel": 0,
        "segment": 2,
        "speaker": None,
        "start_ms": 7_600,
        "end_ms": 9_500,
        "text": " Oh, hello. Tom & I",
        "language": "en",
        "confidence": 0.5,
        "words": [
            {"text": " Oh,", "start_ms": 7_600, "end_ms": 7_900, "confidence": 0.25, "speaker": "S2"},
            {"text": " hello.", "start_ms": 7_900, "end_ms": 8_400, "confidence": 0.75, "speaker": "S2"},
            {"text": " Tom", "start_ms": 8_400, "end_ms": 8_700, "confidence": None, "speaker": "S1"},
            {"text": " &", "start_ms": 8_700, "end_ms": 8_900, "confidence": None, "speaker": "S1"},
            {"text": " I", "start_ms": 8_900, "end_ms": 9_500, "confidence": None, "speaker": "S1"},
        ],
    }


@pytest.mark.parametrize(("file_format", "expected"), [("vtt", b"WEBVTT\n"), ("srt", b""), ("txt", b"")])
def test_nothing_said_is_a_valid_file(file_format, expected):
    """A transcript without words gives an empty file of its format."""
    assert render(Transcript((), 1_000), file_format).body == expected


@pytest.mark.parametrize("file_format", ["docx", "", "SRT", "webvtt"])
def test_other_formats_are_refused_with_those_offered(file_format):
    """An unknown format names the field and what there is."""
    with pytest.raises(InvalidInput) as caught:
        render(TALK, file_format)
    error = caught.value
    assert (error.code, error.field, error.limit) == ("unsupported_format", "format", ["json", "txt", "srt", "vtt"])
    assert "srt" in error.message


def changed(path, value):
    """The document with one value set, or deleted when None is given as Ellipsis."""
    document = transcript_to_dict(TALK)
    *parents, last = path
    place = document
    for step in parents:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (["schema"], "speechlane.transcript/2", "schema"),
        (["schema"], ..., "schema"),
        (["title"], "talk", "title"),
        (["duration_ms"], -1, "duration_ms"),
        (["duration_ms"], 1.5, "duration_ms"),
        (["duration_ms"], True, "duration_ms"),
        (["language"], 7, "language"),
        (["segments"], {}, "segments"),
        (["segments", 1], [], "segments[1]"),
        (["segments", 1, "text"], " Oh, goodbye.", "segments[1].text"),
        (["segments", 1, "end_ms"], 0, "segments[1].end_ms"),
        (["segments", 1, "words", 0, "confidence"], 1.5, "segments[1].words[0].confidence"),
        (["segments", 1, "words", 0, "confidence"], float("nan"), "segments[1].words[0].confidence"),
        (["segments", 1, "words", 0, "text"], None, "segments[1].words[0].text"),
        (["segments", 1, "words", 0, "start_ms"], ..., "segments[1].words[0].start_ms"),
        (["segments", 1, "words", 0, "stable"], True, "segments[1].words[0].stable"),
    ],
)
def test_a_document_is_read_strictly(path, value, field):
    """What is wrong, missing or not known is refused by its path."""
    with pytest.raises(InvalidInput) as caught:
        transcript_from_dict(changed(path, value))
    error = caught.value
    assert (error.code, error.field) == ("invalid_transcript", field)
    assert error.message.startswith(field)


@pytest.mark.parametrize("document", [None, [], "text", 3])
def test_a_document_is_an_object(document):
    """Any other JSON value is refused."""
    with pytest.raises(InvalidInput, match="object"):
        transcript_from_dict(document)
