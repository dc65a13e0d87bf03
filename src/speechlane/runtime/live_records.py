"""What live sessions have written, for readers beside the socket: while a session runs, after its end, after a restart.

A session's event log is read as far as it goes and then only what is new. What is kept in memory are the settled
segments and their cues, of the sessions read last.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from speechlane.audio import position_to_ms
from speechlane.captions import CueTrack
from speechlane.captions.lines import MIN_MS
from speechlane.errors import NotFound, StorageFailed
from speechlane.live import Session
from speechlane.live.config import SessionHead
from speechlane.live.log import read_log
from speechlane.live.states import State
from speechlane.runtime.live_hub import LiveHub
from speechlane.runtime.session_files import SESSION_ID, SPOOL
from speechlane.runtime.session_log import NAME
from speechlane.transcript import Segment, Transcript, Word

MAX_WORDS = 400_000
"""Words kept in memory over all sessions, by estimate 100 MB; of one session more are kept while it is read."""

THREADS = 2
"""Logs read at a time, in threads of their own: live sessions decode and score in the others."""

_BLOCK = 1 << 20
_POSITION = re.compile(rb'\{"event":"AudioReceived","at":\d+,"position":(\d+)')
_TOLD = re.compile(
    rb'\{"message":"\{\\"type\\":\\"(?:caption\.final|route\.changed|speech\.(?:started|ended)|session\.(?:started|finished))\\"'
)
_PIECES = re.compile(r"\s*\S+\s*?")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a running session stood at one moment, told by the event loop that drives it."""

    state: str
    settled_ms: int
    lag_ms: int

    @classmethod
    def of(cls, core: Session) -> Standing:
        """Where ``core`` stands now."""
        state = _state(core.state, lost=core.lost_at is not None)
        return cls(state, position_to_ms(core.safe), position_to_ms(core.backlog))


class SessionRecord:
    """One session as its log tells it so far."""

    def __init__(self, path: Path) -> None:
        """Read the head of the log.

        Raises:
            OSError: there is none.
            InvalidInput: ``not_a_log``.
        """
        self._path, self._offset = path, 0
        with path.open(encoding="utf-8") as log:
            self.head = next(item for item in read_log([log.readline()]) if isinstance(item, SessionHead))
        self.segments: list[Segment] = []
        """Those with text, in the order in which they were settled."""
        self.cues = CueTrack()
        self.words = 0
        self.position = 0
        """Samples received."""
        self._ended_speech_ms = 0
        self.state = "open"
        """``open``, ``finishing``, ``resumable`` (the client is gone and may come back; whether or not it does, what it
        sent is still to be settled) or ``closed``."""
        self.settled_ms = 0
        """No caption that is still to come has words before this."""
        self.route: dict[str, Any] | None = None
        """The one in force, as `session.started` and `route.changed` tell it; None before the first."""
        self.lag_ms: int | None = None
        """Speech that no decode has seen yet; None of a session that does not run here."""
        self._speaking: dict[int, int] = {}
        self._finished = False
        self._at_rest: tuple[int, Session] | None = None

    @property
    def live(self) -> bool:
        """Whether more captions may come."""
        return self.state != "closed"

    @property
    def duration_ms(self) -> int:
        return position_to_ms(self.position)

    @property
    def speech_ms(self) -> int:
        """Speech so far; of a stretch that goes on all but its end, which may prove to be the pause behind it."""
        sure_ms = self.duration_ms - self.head.config.endpointing_ms
        return self._ended_speech_ms + sum(max(0, sure_ms - since) for since in self._speaking.values())

    @property
    def sure_ms(self) -> int | None:
        """Cues that begin before this stay as they are; None: all do.

        How long a cue is shown depends on a next one that begins within `MIN_MS` of it.
        """
        return max(0, self.settled_ms - MIN_MS) if self.live else None

    @property
    def version(self) -> str:
        """Changes whenever a caption is added, and when the session closes."""
        return f"{len(self.segments)}-{self.state == 'closed'}"

    @property
    def transcript(self) -> Transcript:
        """The settled segments in order of time, in the language of most of them."""
        segments = sorted(self.segments, key=lambda segment: (segment.start_ms, segment.channel))
        languages = Counter(segment.language for segment in segments if segment.language)
        language = languages.most_common(1)[0][0] if languages else None
        return Transcript(tuple(segments), self.duration_ms, language)

    def update(self, running: Standing | None) -> None:
        """Read what is new.

        Args:
            running: where the session stands if it runs in this process, taken before this call: then every final
                that its positions rest on is in the log.

        Raises:
            OSError: the log cannot be read.
        """
        left = (self._path.parent / SPOOL).is_dir()  # asked first: once it is gone nothing is added to the log
        for line in self._new_lines():
            self._take(line)
        if running is not None:
            self.state, self.settled_ms, self.lag_ms = running.state, running.settled_ms, running.lag_ms
            return
        self.lag_ms = None
        resting = self._resting() if left and not self._finished else None
        over = resting is None or resting.state is State.CLOSED
        self.state = "closed" if over else "resumable"
        self.settled_ms = self.duration_ms if over or resting is None else position_to_ms(resting.safe)

    def _new_lines(self) -> Iterator[bytes]:
        rest = b""
        with self._path.open("rb") as log:
            log.seek(self._offset)
            while block := log.read(_BLOCK):
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    self._offset += len(line) + 1
                    yield line

    def _take(self, line: bytes) -> None:
        if heard := _POSITION.match(line):
            self.position = int(heard[1])
            return
        if not _TOLD.match(line):
            return
        message = json.loads(json.loads(line)["message"])
        channel = message.get("channel", 0)
        match message["type"]:
            case "speech.started":
                self._speaking[channel] = message["at_ms"]
            case "speech.ended":
                self._ended_speech_ms += max(0, message["at_ms"] - self._speaking.pop(channel, message["at_ms"]))
            case "session.started":
                self.route = message["route"]
            case "route.changed":
                self.route = message["to"]
            case "session.finished":
                self._finished = True
            case "caption.final" if message["text"]:
                segment = _segment(message, self.head)
                self.segments.append(segment)
                self.cues.add(segment)
                self.words += len(segment.words)

    def _resting(self) -> Session:
        """The core as the log left it: its process is gone, and what it had settled follows from its events."""
        if self._at_rest is None or self._at_rest[0] != self._offset:
            core = Session(self.head)
            for item in read_log(self._whole_lines()):
                if not isinstance(item, str | SessionHead):
                    core.receive(item)
            self._at_rest = (self._offset, core)
        return self._at_rest[1]

    def _whole_lines(self) -> Iterator[str]:
        """The lines that were taken: what is behind them may be cut, or tell more than the captions taken so far."""
        read = 0
        with self._path.open("rb") as log:
            while read < self._offset:
                line = log.readline()
                read += len(line)
                yield line.decode("utf-8", errors="replace")


@dataclass(slots=True)
class _Reading:
    """One session's record, read by one at a time; None until it was read."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    record: SessionRecord | None = None


class LiveRecords:
    """The records of all sessions under ``logs``, each tenant's own alone."""

    def __init__(self, logs: Path | None, hub: LiveHub) -> None:
        self._logs, self._hub = logs, hub
        self._readings: OrderedDict[str, _Reading] = OrderedDict()
        self._threads = ThreadPoolExecutor(THREADS, "records")

    def close(self) -> None:
        """Nothing is read any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def read(self, tenant: str, session: str, make: Callable[[SessionRecord], T]) -> T:
        """What ``make`` makes of a session's newest record, in a thread.

        Raises:
            NotFound: ``no_event_log`` where the server keeps none, ``unknown_session`` when there is none of this
                tenant's.
            StorageFailed: ``log_unreadable``.
        """
        if self._logs is None:
            raise NotFound(
                "no_event_log",
                "This server keeps no event logs, so nothing of a session can be read beside its socket. Ask the"
                " operator to set event_log, or read the captions from the socket.",
                field="session",
            )
        if not SESSION_ID.fullmatch(session):  # it becomes part of a path
            raise _unknown(session)
        reading = self._readings.setdefault(session, _Reading())
        self._readings.move_to_end(session)
        # A reader that goes away leaves its turn to no other before the thread is done.
        return await asyncio.shield(self._read(self._logs / session / NAME, reading, tenant, session, make))

    async def apart(self, call: Callable[..., T], *args: object) -> T:
        """Call what a reader asks for in the threads of the readers."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)

    async def _read(
        self, path: Path, reading: _Reading, tenant: str, session: str, make: Callable[[SessionRecord], T]
    ) -> T:
        async with reading.lock:
            core = self._hub.running(session)
            standing = Standing.of(core) if core is not None else None
            try:
                return await self.apart(_made, path, reading, tenant, standing, make)
            except FileNotFoundError as error:
                self._readings.pop(session, None)
                raise _unknown(session) from error
            except OSError as error:
                raise StorageFailed(
                    "log_unreadable", f"The log of {session} cannot be read ({error.strerror}). Give the server access."
                ) from error
            finally:
                self._forget()

    def _forget(self) -> None:
        """Let go of the sessions that nobody has read for longest."""
        words = sum(_weight(reading) for reading in self._readings.values())
        while words > MAX_WORDS and len(self._readings) > 1:
            _, reading = self._readings.popitem(last=False)
            words -= _weight(reading)


def _made(
    path: Path, reading: _Reading, tenant: str, running: Standing | None, make: Callable[[SessionRecord], T]
) -> T:
    record = reading.record = reading.record or SessionRecord(path)
    if record.head.tenant != tenant:
        raise _unknown(record.head.session)
    record.update(running)
    return make(record)


def _weight(reading: _Reading) -> int:
    return 1 + (reading.record.words if reading.record is not None else 0)


def _state(state: State, *, lost: bool) -> str:
    match state:
        case State.CLOSED:
            return "closed"
        case State.SUSPENDED:
            return "resumable"
        case State.OPEN:
            return "resumable" if lost else "open"
        case State.FINISHING | State.DRAINING:
            return "finishing"


def _segment(final: dict[str, Any], head: SessionHead) -> Segment:
    """The segment of a ``caption.final``; where each channel is a speaker, with the channel's name."""
    speaker = final["speaker"]
    if speaker is None and head.config.diarize == "channel":
        speaker = f"channel {final['channel']}"
    if "words" in final:
        words = tuple(
            Word(word["text"], word["start_ms"], word["end_ms"], word["confidence"], word["speaker"] or speaker)
            for word in final["words"]
        )
    else:
        words = _spread(final, speaker)
    return Segment(
        channel=final["channel"],
        number=final["segment"],
        start_ms=final["start_ms"],
        end_ms=final["end_ms"],
        words=words,
        language=final["language"],
        speaker=speaker,
    )


def _spread(final: dict[str, Any], speaker: str | None) -> tuple[Word, ...]:
    """Words for captions of a session that was asked for none: times in proportion to their letters."""
    text, start, length = final["text"], final["start_ms"], final["end_ms"] - final["start_ms"]
    words = []
    for piece in _PIECES.finditer(text):
        begin, end = (start + length * at // len(text) for at in piece.span())
        words.append(Word(piece[0], begin, end, None, speaker))
    return tuple(words)


def _unknown(session: str) -> NotFound:
    return NotFound("unknown_session", f"There is no live session {session[:64]!r} of yours.", field="session")
