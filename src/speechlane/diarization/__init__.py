"""Who spoke when: turns, and words x turns -> speakers."""

from speechlane.diarization.turns import SpeakerBounds, Turn

__all__ = ["SpeakerBounds", "Turn"]
