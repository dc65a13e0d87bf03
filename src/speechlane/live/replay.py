"""Replay: feed a session's log to a fresh session and compare every message, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from speechlane.errors import InvalidInput
from speechlane.live.actions import Send
from speechlane.live.config import SessionHead
from speechlane.live.log import read_log
from speechlane.live.messages import encode
from speechlane.live.session import Session
from speechlane.live.states import State


@dataclass(frozen=True, slots=True)
class Difference:
    """The first message that came out otherwise; None where one side had no message left."""

    number: int
    logged: str | None
    replayed: str | None


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay gave: how many messages were compared, and the first difference, if any."""

    session: str
    messages: tuple[str, ...]
    difference: Difference | None
    finished: bool
    """Whether the log holds the session to its end: one that a crash cut, or that still runs, does not."""

    @property
    def identical(self) -> bool:
        return self.difference is None


def replay(lines: Iterable[str]) -> ReplayReport:
    """Run the log's events again.

    A log that a crash cut off between an event and its messages is compared as far as it goes.

    Raises:
        InvalidInput: the log cannot be read (see `read_log`).
    """
    session: Session | None = None
    logged: list[str] = []
    replayed: list[str] = []
    certain = 0  # messages that must be in the log: those of all events but the last, where a crash may have cut
    for item in read_log(lines):
        if isinstance(item, SessionHead):
            session = Session(item)
        elif isinstance(item, str):
            logged.append(item)
        elif session is None:
            raise InvalidInput("not_a_log", "The log does not begin with a head.", field="log")
        else:
            certain = len(replayed)
            replayed += [encode(action.message) for action in session.receive(item) if isinstance(action, Send)]
    if session is None:
        raise InvalidInput("not_a_log", "The log does not begin with a head.", field="log")
    difference = _first_difference(logged, replayed, certain)
    return ReplayReport(session.head.session, tuple(replayed), difference, session.state is State.CLOSED)


def _first_difference(logged: list[str], replayed: list[str], certain: int) -> Difference | None:
    for index, text in enumerate(logged):
        if index >= len(replayed):
            return Difference(index + 1, text, None)
        if text != replayed[index]:
            return Difference(index + 1, text, replayed[index])
    if len(logged) < certain:
        return Difference(len(logged) + 1, None, replayed[len(logged)])
    return None
