"""A client for tests that remembers what it has received, and takes its session up again when told to."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path

from live_server import START, read_all
from websockets.sync.client import connect

FINISH = json.dumps({"type": "session.finish"})


class Speaker:
    """A client that remembers what it has received, and takes its session up again."""

    def __init__(
        self, url: str, audio: bytes, stack: contextlib.ExitStack, *, frame: int = 6_400, start: dict = START
    ) -> None:
        self.url, self.audio, self._stack, self._frame = url, audio, stack, frame
        self.messages: list[dict] = []
        self.connection = stack.enter_context(connect(url))
        self.connection.send(json.dumps(start))
        self.started = self.receive()

    def receive(self) -> dict:
        self.messages.append(json.loads(self.connection.recv(timeout=10)))
        return self.messages[-1]

    def receive_until(self, kind: str) -> dict:
        while (message := self.receive())["type"] != kind:
            pass
        return message

    def say(self, start: int, end: int) -> None:
        for at in range(start, end, self._frame):
            self.connection.send(self.audio[at : min(at + self._frame, end)])

    def drop(self) -> None:
        """Break the connection without a word, unless it has been closed already."""
        with contextlib.suppress(OSError):
            self.connection.socket.shutdown(socket.SHUT_RDWR)

    def resume(self, **fields: object) -> dict:
        self.connection = self._stack.enter_context(connect(self.url))
        self.connection.send(json.dumps(self.ticket() | fields))
        return self.receive()

    def ticket(self) -> dict:
        return {
            "type": "session.resume",
            "session": self.started["session"],
            "resume_token": self.started["resume_token"],
            "after_seq": max(message.get("seq", 0) for message in self.messages),
        }

    def finish(self) -> int:
        """Say the last word; read to the end; return the close code."""
        self.connection.send(FINISH)
        return self.hear_out()

    def hear_out(self) -> int:
        self.messages += read_all(self.connection)
        return self.connection.close_code

    @property
    def text(self) -> str:
        return " ".join(message["text"] for message in self.messages if message["type"] == "caption.final")

    def check_sequence(self) -> None:
        """Durable messages came without gap or doubling over all connections."""
        numbers = [message["seq"] for message in self.messages if "seq" in message]
        assert numbers == list(range(1, len(numbers) + 1))


def log_of(folder: Path, session: str) -> list[str]:
    """The lines of a session's event log."""
    return (folder / session / "events.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
