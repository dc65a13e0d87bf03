"""How good a transcript is: word and character error rates, diarization error rate."""

from speechlane.scoring.diarization import DiarizationErrors, der
from speechlane.scoring.normalize import normalize_text
from speechlane.scoring.text import TextErrors, cer, wer

__all__ = ["DiarizationErrors", "TextErrors", "cer", "der", "normalize_text", "wer"]
