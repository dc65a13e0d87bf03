"""What an operator reads of live sessions: one line for each turn. Never a key, a token or a word said."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from speechlane.live import events
from speechlane.live.actions import Action, Close
from speechlane.runtime.session_meter import SessionObserver

_LOGGER = logging.getLogger(__name__)


class SessionJournal:
    """The `SessionObserver` that writes the turns of the session of this id to the log, and tells ``further`` all."""

    def __init__(self, session: str, further: SessionObserver) -> None:
        self._session, self._further = session, further

    def received(self, more_bytes: int, at: int) -> None:
        self._further.received(more_bytes, at)

    def coalesced(self) -> None:
        self._further.coalesced()

    def ended(self, code: int | None) -> None:
        self._further.ended(code)

    def happened(self, event: events.Event, actions: Sequence[Action], at: int) -> None:
        match event:
            case events.AudioReceived() | events.HypothesisReceived():
                pass  # nearly all events are one of these
            case events.SessionStarted():
                _LOGGER.info("session %s has begun", self._session)
            case events.ConnectionLost():
                _LOGGER.info("session %s has lost its connection", self._session)
            case events.ConnectionResumed():
                _LOGGER.info("session %s is resumed after message %d", self._session, event.after_seq)
            case events.ServerRestarted():
                _LOGGER.info("session %s, which another process began, is taken up", self._session)
        for action in actions:
            if isinstance(action, Close):
                turn = "waits for its client" if action.waits else "is closed"
                _LOGGER.info("session %s %s: %d, %s", self._session, turn, action.code, action.reason)
        self._further.happened(event, actions, at)
