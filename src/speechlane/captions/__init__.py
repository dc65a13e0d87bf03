"""Transcripts as files: caption lines, and renderers for WebVTT, SubRip, plain text and JSON."""

from speechlane.captions.document import transcript_from_dict, transcript_to_dict
from speechlane.captions.lines import Cue, CueTrack, cues_of
from speechlane.captions.render import FORMATS, Rendered, render

__all__ = ["FORMATS", "Cue", "CueTrack", "Rendered", "cues_of", "render", "transcript_from_dict", "transcript_to_dict"]
