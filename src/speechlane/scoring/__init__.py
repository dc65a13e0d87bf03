"""How good a transcript is: word and character error rates, diarization error rate, lag and stability of captions."""

from speechlane.scoring.diarization import DiarizationErrors, der
from speechlane.scoring.latency import LagFigures, ReferenceWord, View, lag_figures
from speechlane.scoring.normalize import normalize_text
from speechlane.scoring.text import TextErrors, cer, wer

__all__ = [
    "DiarizationErrors",
    "LagFigures",
    "ReferenceWord",
    "TextErrors",
    "View",
    "cer",
    "der",
    "lag_figures",
    "normalize_text",
    "wer",
]
