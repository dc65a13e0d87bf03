"""HLS subtitle playlists and their segments."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import m3u8
import pytest
import webvtt

from speechlane.captions import CueTrack, hls
from speechlane.transcript import Segment, Word

pytestmark = pytest.mark.unit

BEGAN = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


def track(*spans: tuple[int, int]) -> CueTrack:
    cues = CueTrack()
    for number, (start, end) in enumerate(spans, start=1):
        cues.add(Segment(0, number, start, end, (Word(f" word{number}", start, end),)))
    return cues


def test_a_live_playlist_is_open_and_an_ended_one_whole():
    """Live: whole segments up to the sure moment. Ended: all the audio, the last segment shorter, and the end mark."""
    live = m3u8.loads(hls.media_playlist(hls.segments_listed(17_999, 20_000), 20_000, BEGAN, folder="c", ended=False))
    assert [segment.duration for segment in live.segments] == [6.0, 6.0]
    assert not live.is_endlist
    ended = m3u8.loads(hls.media_playlist(hls.segments_listed(None, 20_000), 20_000, BEGAN, folder="c", ended=True))
    assert [(segment.uri, segment.duration) for segment in ended.segments] == [
        ("c/0.vtt", 6.0),
        ("c/1.vtt", 6.0),
        ("c/2.vtt", 6.0),
        ("c/3.vtt", 2.0),
    ]
    assert ended.is_endlist
    assert ended.segments[0].program_date_time == BEGAN


def test_nothing_heard_is_a_playlist_without_segments():
    """A session that ended without audio has an empty, ended playlist."""
    playlist = m3u8.loads(hls.media_playlist(hls.segments_listed(None, 0), 0, BEGAN, folder="c", ended=True))
    assert playlist.is_endlist
    assert not playlist.segments


def test_a_cue_across_a_border_stands_in_both_segments():
    """RFC 8216, section 3.5: each segment holds every cue that is shown in it, with its own times."""
    cues = track((1_000, 2_500), (5_000, 7_000), (12_000, 13_500))
    found = [
        [(cue.start, cue.end, cue.text) for cue in webvtt.from_buffer(io.StringIO(hls.media_segment(cues, number)))]
        for number in range(3)
    ]
    shared = ("00:00:05.000", "00:00:07.000", "word2")
    assert found == [
        [("00:00:01.000", "00:00:02.500", "word1"), shared],
        [shared],
        [("00:00:12.000", "00:00:13.500", "word3")],
    ]
