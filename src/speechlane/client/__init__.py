"""A Python client of both lanes: `LiveClient` streams audio and yields captions, `JobsClient` posts recordings.

It speaks docs/protocol.md and knows nothing of the server's inside.
"""

from speechlane.client.address import Address
from speechlane.client.captions import Caption, CaptionBoard
from speechlane.client.jobs import JobsClient
from speechlane.client.live import PCM16_MONO_16K, LiveClient, Patience
from speechlane.client.session import Message

__all__ = [
    "PCM16_MONO_16K",
    "Address",
    "Caption",
    "CaptionBoard",
    "JobsClient",
    "LiveClient",
    "Message",
    "Patience",
]
