"""Who spoke when: turns, and words x turns -> speakers."""

from speechlane.diarization.assign import assign_speakers
from speechlane.diarization.rttm import format_rttm, parse_rttm
from speechlane.diarization.turns import SpeakerBounds, Turn

__all__ = ["SpeakerBounds", "Turn", "assign_speakers", "format_rttm", "parse_rttm"]
