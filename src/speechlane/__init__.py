"""Speechlane: streaming transcription and captioning with a local fallback."""

__version__ = "0.1.0"
