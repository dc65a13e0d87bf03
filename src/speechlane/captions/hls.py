"""HLS subtitles: a media playlist of WebVTT segments (RFC 8216, sections 3.5 and 4.3).

The playlist is of type EVENT: segments are only added, so a reader that joins late can go back to the beginning. Each
segment lasts `SEGMENT_MS` of audio, the last one what is left; a cue stands, whole, in every segment in which it is
shown. A segment that was listed never changes.
"""

from __future__ import annotations

from datetime import datetime

from speechlane.captions.lines import CueTrack
from speechlane.captions.webvtt import HEADER, cue_block

MEDIA_TYPE = "application/vnd.apple.mpegurl"
SEGMENT_MS = 6_000
"""Apple's HLS Authoring Specification (7.5) wants segments of 6 s."""

_TIMESTAMP_MAP = "X-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000"


def segments_listed(sure_ms: int | None, duration_ms: int) -> int:
    """How many segments there are, when cues that begin before ``sure_ms`` stay as they are; None: the audio ended."""
    return -(-duration_ms // SEGMENT_MS) if sure_ms is None else sure_ms // SEGMENT_MS


def media_playlist(count: int, duration_ms: int, began: datetime, *, folder: str, ended: bool) -> str:
    """The playlist of the first ``count`` segments, which lie in ``folder``; ``began`` is the moment of audio time 0.

    ``duration_ms``: the length of all the audio, for the last segment of what has ``ended``.
    """
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:3",
        f"#EXT-X-TARGETDURATION:{SEGMENT_MS // 1000}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:EVENT",
    ]
    for number in range(count):
        start, length = number * SEGMENT_MS, SEGMENT_MS
        if ended:
            length = min(length, duration_ms - start)
        if not number:
            moment = began.isoformat(timespec="milliseconds")
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{moment}")  # of the others it follows
        lines += [f"#EXTINF:{length / 1000:.3f},", f"{folder}/{number}.vtt"]
    if ended:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def media_segment(track: CueTrack, number: int) -> str:
    """The WebVTT file of a listed segment; times are those of the session.

    It ends with an empty line: FFmpeg's reader joins the files end to end, and would take a header for a cue's text.
    """
    cues = track.between(number * SEGMENT_MS, (number + 1) * SEGMENT_MS)
    return "".join(f"{block}\n\n" for block in (f"{HEADER}\n{_TIMESTAMP_MAP}", *map(cue_block, cues)))
