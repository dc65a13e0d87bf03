"""What the client is told of its own stream: how much is here, and from where it would have to send again."""

from __future__ import annotations

from speechlane.audio import SAMPLE_RATE, position_to_ms
from speechlane.live import messages
from speechlane.live.config import SessionConfig
from speechlane.live.events import AudioReceived, ConnectionResumed
from speechlane.live.outbox import Outbox


class Receipts:
    """Counts the client's bytes, and writes ``audio.ack`` and ``session.resumed``.

    Where the driver stores every byte, all that is stored is safe. Where it does not, the client keeps what is not
    settled yet; that is known of raw samples alone, so of a container everything is to be kept.
    """

    def __init__(self, config: SessionConfig, outbox: Outbox) -> None:
        self._config, self._out = config, outbox
        self._received = 0
        self._stored: int | None = None
        self._told = (0, 0)

    def take(self, event: AudioReceived) -> None:
        """Count audio that was received."""
        self._received = max(self._received, event.received_bytes)
        if event.stored_bytes is not None:
            self._store(event.stored_bytes)

    def _store(self, stored: int) -> None:
        self._stored = max(stored, self._stored or 0)
        self._received = max(self._received, self._stored)

    def acknowledge(self, position: int, settled: int) -> None:
        """Tell the client, if there is news.

        ``position``: samples heard; ``settled``: all before this one is settled or silence.
        """
        replay_from = self._stored
        if replay_from is None:
            frames = settled * self._config.sample_rate // SAMPLE_RATE
            replay_from = min(frames * self._config.bytes_per_frame, self._received)
        if (self._received, replay_from) != self._told:
            self._told = (self._received, replay_from)
            if self._stored is not None:
                ms = self._ms(replay_from, position)
            else:
                ms = position_to_ms(settled) if self._config.bytes_per_frame else 0
            self._out.send(messages.audio_ack(self._received, replay_from, ms))

    def resume(self, event: ConnectionResumed, position: int) -> None:
        """Tell a new connection where the client's stream goes on."""
        self._store(event.stored_bytes)
        stored = self._received
        self._told = (stored, stored)
        self._out.send(messages.session_resumed(stored, self._ms(stored, position), self._out.seq))

    def _ms(self, stored: int, position: int) -> int:
        """Audio time of a byte of the stream: of raw samples exactly, of a container as far as it was heard."""
        if not self._config.bytes_per_frame:
            return position_to_ms(position)
        return stored // self._config.bytes_per_frame * 1_000 // self._config.sample_rate
