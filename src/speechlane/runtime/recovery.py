"""Taking up a session that another process left: its log is replayed, its audio heard again from where it is needed.

The core is deterministic, so a replay of the log is the session itself: its state, its numbers, its chain of records.
What a crash kept from being done is done now: messages that did not reach the log, records that did not reach the
registry, audio that was stored and not heard.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from speechlane.audio import SAMPLE_RATE
from speechlane.audio.format import BYTES_PER_SAMPLE, AudioFormat, ContainerFormat
from speechlane.engine import SpeechGateModel
from speechlane.errors import Conflict, InvalidAudio, InvalidInput, SpeechlaneError
from speechlane.live import Session, events
from speechlane.live.actions import RecordChunk, Release, Send
from speechlane.live.config import SessionHead
from speechlane.live.log import read_log
from speechlane.live.messages import encode
from speechlane.live.states import State
from speechlane.media.streaming import open_decoder
from speechlane.provenance import ChunkRecord, Registry
from speechlane.router import Route
from speechlane.runtime.intake import Intake, Standing
from speechlane.runtime.session_files import SessionFiles

_DURABLE = re.compile(r'\{"type":"[^"]*","seq":')


@dataclass(frozen=True, slots=True)
class Restored:
    """When a session began that is taken up again, ``age_s`` seconds ago, and its last event's time in ms.

    ``unreadable``: what stopped the decoder in the stored audio, if anything did. ``event``: what the
    core is told first, at a time of its own.
    """

    age_s: float
    last_at: int
    unreadable: SpeechlaneError | None
    event: events.ServerRestarted


@dataclass(slots=True)
class _History:
    """What a log tells: the session as it stood, and what the last event may have left undone."""

    session: Session
    released: list[int]
    records: list[ChunkRecord] = field(default_factory=list)
    unwritten: list[str] = field(default_factory=list)
    position: int = 0
    received_bytes: int = 0
    frames: int = 0
    last_at: int = 0


async def take_up(
    folder: Path,
    head: SessionHead,
    routes: tuple[Route, ...],
    *,
    gate: SpeechGateModel,
    registry: Registry,
    keep_audio: bool,
    now: datetime,
    replays: Executor,
) -> tuple[Session, Intake, SessionFiles, Restored]:
    """The parts of a driver for a session that was left, ready to go on.

    ``routes``: the session's, by the engines at hand. ``replays``: whose threads replay its log.

    Raises:
        InvalidInput: ``broken_log``.
        Conflict: ``log_diverges``: this version of the core decides otherwise than the one that wrote the log, or the
            registry holds other records; ``spool_incomplete``: the stored audio ends before what was heard.
        StorageFailed: the log or the stored audio cannot be used now.
    """
    files = SessionFiles(folder, head, keep_audio=keep_audio, fresh=False)
    try:
        history = await asyncio.get_running_loop().run_in_executor(replays, _replayed, files.log.path)
        files.log.write_missing(history.unwritten)
        stored = {record.chunk_id for record in await registry.chain(head.tenant, session=head.session)}
        for record in history.records:
            if record.chunk_id not in stored:
                await registry.append(head.tenant, record)
        intake = _intake(head, history, files, gate)
        unreadable = None if history.session.state is State.CLOSED else await _hear_again(intake, history, files)
    except BaseException:
        files.close()
        raise
    identities = [route.identity for route in routes]
    renewed = identities != [route.identity for route in history.session.routes]
    age = now - datetime.fromisoformat(head.started_at)
    return (
        history.session,
        intake,
        files,
        Restored(
            age.total_seconds(), history.last_at, unreadable, events.ServerRestarted(0, routes if renewed else ())
        ),
    )


def _replayed(path: Path) -> _History:
    with path.open(encoding="utf-8", newline="\n") as lines:
        items = read_log(lines)
        head = next(items)
        assert isinstance(head, SessionHead)
        history = _History(Session(head), [0] * head.config.timelines)
        expected: deque[str] = deque()  # durable messages that the log must hold next
        for item in items:
            if isinstance(item, SessionHead):
                raise InvalidInput("broken_log", f"{path} holds a second head. Restore it from a copy.", field="log")
            if isinstance(item, str):
                _check(item, expected, path)
                del history.unwritten[:1]
            else:
                _receive(item, history, expected)
    if len(expected) > sum(_DURABLE.match(text) is not None for text in history.unwritten):
        raise _diverges(path, expected[0])
    return history


def _check(logged: str, expected: deque[str], path: Path) -> None:
    """Durable messages were promised to the client: they must come out as they were sent."""
    if _DURABLE.match(logged) and (not expected or expected.popleft() != logged):
        raise _diverges(path, logged)


def _receive(event: events.Event, history: _History, expected: deque[str]) -> None:
    history.last_at = event.at
    history.unwritten = []
    if isinstance(event, events.AudioReceived) and history.session.listening:
        history.position, history.received_bytes = event.position, event.received_bytes
        history.frames += len(event.scores[0])
    for action in history.session.receive(event):
        match action:
            case Send():
                text = encode(action.message)
                history.unwritten.append(text)
                if action.durable:
                    expected.append(text)
            case RecordChunk():
                history.records.append(action.record)
            case Release():
                history.released[action.channel] = action.before
            case _:
                pass  # what engines were asked, `ServerRestarted` asks again


def _diverges(path: Path, message: str) -> Conflict:
    return Conflict(
        "log_diverges",
        f"Replaying {path} gives other messages than were sent, from {message[:80]!r} on. Finish the session with the"
        " version of the program that began it.",
        field="log",
    )


def _intake(head: SessionHead, history: _History, files: SessionFiles, gate: SpeechGateModel) -> Intake:
    """Where the stored audio begins: of raw samples at a whole second, of a container at its headers."""
    config, spool = head.config, files.spool
    assert spool is not None, "a session is left only where its audio is stored"
    if spool.end < history.received_bytes and history.session.state is not State.CLOSED:
        raise Conflict(
            "spool_incomplete",
            f"{spool.end} bytes of the session's audio are stored, and {history.received_bytes} were heard. Its log"
            " stands as it is.",
        )
    start = spool.start // (config.sample_rate * config.bytes_per_frame) * SAMPLE_RATE if config.bytes_per_frame else 0
    standing = Standing(start, spool.start, history.position, history.frames)
    return Intake(open_decoder(format_of(head), config.timelines), gate, head.frame_samples, standing)


async def _hear_again(intake: Intake, history: _History, files: SessionFiles) -> InvalidAudio | None:
    """Hear all that is stored: what the core still needs, and what it has not heard; return what stopped it."""
    assert files.spool is not None
    try:
        for data in files.spool.read():
            intake.take(data)
            while intake.pending:
                await intake.hear_more()
                for buffer, before in zip(intake.buffers, history.released, strict=True):
                    buffer.release(min(before, buffer.end))
        await intake.catch_up()
    except InvalidAudio as problem:
        return problem
    return None


def format_of(head: SessionHead) -> AudioFormat | ContainerFormat:
    """The format of the bytes that the client of a session sends."""
    config = head.config
    if config.encoding not in BYTES_PER_SAMPLE:
        return ContainerFormat(config.encoding)
    channels = config.bytes_per_frame // BYTES_PER_SAMPLE[config.encoding]
    return AudioFormat(config.encoding, config.sample_rate, channels)
