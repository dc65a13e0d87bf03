"""Media files in: what they hold, and their sound as samples, by FFmpeg's libraries."""

from speechlane.media.decode import AudioFile, MediaWarning, open_audio, read_pcm16
from speechlane.media.probe import MediaInfo, probe

__all__ = ["AudioFile", "MediaInfo", "MediaWarning", "open_audio", "probe", "read_pcm16"]
