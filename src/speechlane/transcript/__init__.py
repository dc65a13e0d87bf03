"""What was said, by whom, when: frozen values shared by both lanes."""

from speechlane.transcript.language import normalize_language
from speechlane.transcript.values import Segment, Transcript, Word, text_of

__all__ = ["Segment", "Transcript", "Word", "normalize_language", "text_of"]
