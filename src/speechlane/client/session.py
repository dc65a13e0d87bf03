"""The client's side of one live session, without a socket: what to say, what was heard, and how a close is meant.

It holds what has to outlive a connection (docs/protocol.md, section 1, guarantee 3). `LiveClient` gives it a socket.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from speechlane.client.address import refusal
from speechlane.client.outbound import MAX_FRAME_BYTES, Frame, Outbound
from speechlane.errors import SessionLost, SpeechlaneError

Message = dict[str, Any]
"""A message of the server, as section 1 of the protocol names its fields."""

# RFC 6455, section 7.4.1, and the registry of close codes that it begins; None is a close without a code.
NORMAL = 1000
SERVER_FAULT = 1011
BROKEN_OFF: frozenset[int | None] = frozenset({None, 1001, 1006, SERVER_FAULT, 1012, 1013, 1014})
UNKNOWN_SESSION = 4404
IDLE = 4408
OVER_CAPACITY = 4429


class ClientSession:
    """One session over as many connections as it takes.

    For each connection: take `hello` and send it, give every message to `receive`, send what `next` returns, and ask
    `judge` what its close means.
    """

    def __init__(self, start: Mapping[str, object], *, server: str, max_unacknowledged: int) -> None:
        """``server``: the address that errors name; ``max_unacknowledged``: bytes of audio kept at most."""
        self._start, self._server = start, server
        audio = start.get("audio")
        self._is_container = isinstance(audio, Mapping) and "sample_rate" not in audio
        self._outbound = Outbound(max_unacknowledged)
        self._finish_asked = False
        self._last_seq = 0
        self._behind: int | None = None
        self._error: Message = {}
        self._settled_ms: dict[int, int] = {}
        self._token: str | None = None
        self.id: str | None = None
        """The session's id, once the server has told it."""
        self.window_s: float = 0
        """How long a lost connection can be taken up again; 0: not at all."""

    # --- what the program says --------------------------------------------------------------------------------

    def audio(self, data: bytes) -> None:
        self._outbound.audio(data)

    def flush(self, flush_id: str) -> None:
        self._outbound.control(json.dumps({"type": "audio.flush", "id": flush_id}), ("audio.flushed", flush_id))

    def finish(self) -> None:
        self._finish_asked = True
        self._outbound.control(json.dumps({"type": "session.finish"}), ("session.finished", None))

    @property
    def finish_asked(self) -> bool:
        return self._finish_asked

    @property
    def has_room(self) -> bool:
        """More audio can be taken now."""
        return self._outbound.has_room

    # --- one connection -----------------------------------------------------------------------------------------

    def hello(self) -> str:
        """The first frame of a connection, to be asked for before any of its messages is received."""
        self._error, self._behind = {}, None
        if self.id is None:
            self._outbound.rewind(self._outbound.safe)
            return json.dumps(self._start)
        return json.dumps(
            {
                "type": "session.resume",
                "session": self.id,
                "resume_token": self._token,
                "after_seq": self._last_seq,
            }
        )

    @property
    def ready(self) -> bool:
        """What this client says may be sent.

        Not before the session is open, as its limits hold for what is sent; but a container at once, for the server may
        have to see its header before it can begin. After a resume only once all that it missed has come: answers among
        it need not be asked for again.
        """
        if self.id is None:
            return self._is_container
        return self._behind is not None and self._last_seq >= self._behind

    def next(self) -> Frame | None:
        """The next frame to send, if any."""
        return self._outbound.next() if self.ready else None

    def receive(self, message: Message) -> bool:
        """Take a message in; whether it is news to the program.

        Raises:
            SessionLost: the server asks for audio that it had acknowledged.
        """
        seq = message.get("seq")
        if seq is not None:
            if seq <= self._last_seq:
                return False
            self._last_seq = seq
        match message["type"]:
            case "session.started":
                self._started(message)
            case "session.resumed":
                self._resumed(message)
            case "audio.ack":
                self._outbound.acknowledge(message["replay_from_bytes"])
            case "audio.flushed":
                self._outbound.answered(("audio.flushed", message["id"]))
            case "caption.final":
                self._settled_ms[message["channel"]] = message["end_ms"]
            case "error":
                self._error = message
            case "pong":
                return False  # the program did not ask for it
        return True

    def _started(self, message: Message) -> None:
        self.id, self._token = message["session"], message.get("resume_token")
        self.window_s = message.get("resume_window_s") or 0
        self._behind = 0
        longest = (message.get("limits") or {}).get("max_frame_bytes", MAX_FRAME_BYTES)
        self._outbound.max_frame_bytes = min(longest, MAX_FRAME_BYTES)
        if not self.window_s:
            self._outbound.keep_nothing()

    def _resumed(self, message: Message) -> None:
        try:
            self._outbound.rewind(message["replay_from_bytes"])
        except ValueError as gone:
            raise self.lost(f"the server resumed where it cannot go on: {gone}") from None
        self._behind = message["last_seq"]

    # --- its end ------------------------------------------------------------------------------------------------

    def judge(self, code: int | None) -> bool:
        """What the close of a connection means: True when the session is over, False when it can go on on another.

        ``code``: the close code that the server sent, None when the connection broke without one.

        Raises:
            SpeechlaneError: the session cannot go on: what the server said, or `SessionLost`.
        """
        if code == NORMAL:
            return True
        if code == UNKNOWN_SESSION and self.id:
            raise self.lost("the server does not know the session any more")
        slept = code == IDLE and self.id is not None  # this client pings: it did not get through for a while
        passing = code in BROKEN_OFF or code == OVER_CAPACITY or slept
        if code == SERVER_FAULT and self._error.get("retryable") is False:
            passing = False
        if passing and (self.id is None or self.window_s):
            return False
        raise self.given_up(code)

    def given_up(self, code: int | None = None, reason: str | None = None) -> SpeechlaneError:
        """The end of a session that did not come to its end: what the server said, or that it is lost."""
        if self._error:
            return refusal(self._error, status=code)
        return self.lost(reason or self.reason(code))

    def reason(self, code: int | None) -> str:
        """Why a connection ended, in words for a log."""
        return str(self._error.get("code") or ("it broke off" if code is None else f"close code {code}"))

    @property
    def retry_after_s(self) -> float:
        """How long the server asked to wait before the next try."""
        return (self._error.get("retry_after_ms") or 0) / 1000

    def lost(self, reason: str) -> SessionLost:
        """The session cannot be taken up again: what has arrived, and what has not."""
        since = min(self._settled_ms.values(), default=0)
        return SessionLost(
            f"The connection to {self._server} was lost and the session cannot go on ({reason}). Captions from "
            f"{since} ms of the audio on did not arrive; those before stand. Start a new session with the audio "
            "from there.",
            session=self.id,
            lost_from_ms=since,
        )
