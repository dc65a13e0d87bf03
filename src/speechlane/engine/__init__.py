"""The seam between lanes and recognisers: what a lane asks, what an engine answers, what it can do."""

from speechlane.engine.seam import (
    Capabilities,
    DecodeFigures,
    DecodeOptions,
    DecodeRequest,
    Diarizer,
    DiarizerIdentity,
    Engine,
    EngineIdentity,
    Hypothesis,
    HypothesisWord,
    Priority,
    SpeechGateModel,
    SpeechScorer,
)
from speechlane.engine.streaming import EngineStream, StreamingEngine, StreamOptions, StreamResult

__all__ = [
    "Capabilities",
    "DecodeFigures",
    "DecodeOptions",
    "DecodeRequest",
    "Diarizer",
    "DiarizerIdentity",
    "Engine",
    "EngineIdentity",
    "EngineStream",
    "Hypothesis",
    "HypothesisWord",
    "Priority",
    "SpeechGateModel",
    "SpeechScorer",
    "StreamOptions",
    "StreamResult",
    "StreamingEngine",
]
