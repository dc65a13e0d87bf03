"""A transcript in the file format that is asked for."""

from __future__ import annotations

import json
from typing import NamedTuple

from speechlane.captions import document, plain, subrip, webvtt
from speechlane.captions.lines import cues_of
from speechlane.errors import InvalidInput
from speechlane.transcript import Transcript

FORMATS = ("json", "txt", "srt", "vtt")


class Rendered(NamedTuple):
    """A file: its bytes, UTF-8, and its media type."""

    body: bytes
    media_type: str


def render(transcript: Transcript, file_format: str) -> Rendered:
    """The transcript as ``json``, ``txt``, ``srt`` or ``vtt``.

    Raises:
        InvalidInput: ``unsupported_format``, field ``format``, with the formats offered.
    """
    match file_format:
        case "json":
            text = json.dumps(document.transcript_to_dict(transcript), ensure_ascii=False, indent=1) + "\n"
            # Half of a surrogate pair has no UTF-8 form; written with a backslash it is JSON's own escape.
            return Rendered(text.encode("utf-8", errors="backslashreplace"), document.MEDIA_TYPE)
        case "txt":
            text, media_type = plain.to_plain(transcript), plain.MEDIA_TYPE
        case "srt":
            text, media_type = subrip.to_subrip(cues_of(transcript)), subrip.MEDIA_TYPE
        case "vtt":
            text, media_type = webvtt.to_webvtt(cues_of(transcript)), webvtt.MEDIA_TYPE
        case _:
            raise InvalidInput(
                "unsupported_format",
                f"format {file_format!r} is not offered. Ask for one of: {', '.join(FORMATS)}.",
                field="format",
                limit=list(FORMATS),
            )
    return Rendered(text.encode("utf-8", errors="replace"), media_type)
