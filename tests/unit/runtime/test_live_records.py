"""Reading logs beside the sessions that write them: torn lines, threads of their own, one reader of a log at a time."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from live_simulation import Script, Simulation, Spoken, head

from speechlane.errors import NotFound
from speechlane.live.log import head_line
from speechlane.runtime.live_records import LiveRecords, SessionRecord
from speechlane.runtime.session_files import SPOOL

pytestmark = pytest.mark.unit

WORDS = [Spoken(f" w{number}", at, at + 4_800) for number, at in enumerate(range(8_000, 300_000, 8_000))]


class NoneRunning:
    """A hub that holds no session."""

    def running(self, _session: str) -> None:
        return None


def session_id(number: int) -> str:
    return f"ses_{number:024x}"


def write(folder: Path, number: int, behind: bytes = b"") -> str:
    """The log of a session that was cut short, and what stands behind its last whole line; its id."""
    session = session_id(number)
    (folder / session / SPOOL).mkdir(parents=True)
    first = head_line(replace(head(), session=session))
    run = Simulation(Script(WORDS, 400_000))
    while run.position < 240_000:
        run.hear_block()
    log = "".join([first, *run.log[1:]]).encode()
    (folder / session / "events.jsonl").write_bytes(log + behind)
    return session


def texts(record: SessionRecord) -> tuple[str, int, list[str]]:
    return record.state, record.settled_ms, [segment.text for segment in record.segments]


@pytest.mark.parametrize(
    "behind", [b"", b'{"event":"AudioRec', b'{"message":"gr\xc3'], ids=["whole", "cut", "in a letter"]
)
def test_a_log_is_read_up_to_its_last_whole_line(tmp_path, behind):
    """A line that a full disk or a crash cut, were it inside a letter, changes nothing."""
    records = LiveRecords(tmp_path, NoneRunning())
    state, settled_ms, told = asyncio.run(records.read("default", write(tmp_path, 1, behind), texts))
    assert (state, settled_ms > 0) == ("resumable", True)
    assert told
    records.close()


def test_what_is_settled_follows_from_the_lines_that_were_taken(tmp_path, monkeypatch):
    """Finals written while a reader replays the log are not counted as settled before they are listed."""
    session = write(tmp_path, 1)
    path = tmp_path / session / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) // 2]))
    record, early = SessionRecord(path), SessionRecord(path)
    early.update(None)
    replay = record._resting

    def late() -> object:
        path.write_bytes(b"".join(lines))  # the writer goes on
        return replay()

    monkeypatch.setattr(record, "_resting", late)
    record.update(None)
    assert texts(record) == texts(early)


def test_readers_take_no_shared_thread(tmp_path):
    """With every thread of the loop's own pool held, as by sessions that decode, a log is still read."""
    session = write(tmp_path, 1)
    records = LiveRecords(tmp_path, NoneRunning())

    async def read() -> str:
        held = threading.Event()
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            loop.set_default_executor(pool)
            busy = asyncio.create_task(asyncio.to_thread(held.wait))
            try:
                return await asyncio.wait_for(records.read("default", session, lambda record: record.state), 30)
            finally:
                held.set()
                await busy

    assert asyncio.run(read()) == "resumable"
    records.close()


def test_many_readers_of_one_session_keep_no_other_waiting(tmp_path):
    """One log is read by one at a time, and those who wait hold no thread: another session's reader is answered."""
    slow, quick = write(tmp_path, 1), write(tmp_path, 2)
    records = LiveRecords(tmp_path, NoneRunning())
    held, inside = threading.Event(), []

    def hold(record: SessionRecord) -> str:
        inside.append(record.head.session)
        assert held.wait(30)
        return record.state

    async def read() -> int:
        waiting = [asyncio.create_task(records.read("default", slow, hold)) for _ in range(6)]
        await asyncio.wait_for(records.read("default", quick, texts), 30)
        waiting[0].cancel()  # who goes away lets nobody in while its thread still reads
        await asyncio.wait_for(records.read("default", quick, texts), 30)
        at_once = len(inside)
        held.set()
        await asyncio.gather(*waiting, return_exceptions=True)
        return at_once

    assert asyncio.run(read()) == 1
    assert len(inside) == 6
    records.close()


def test_sessions_that_are_not_there_take_no_memory(tmp_path):
    """Whoever asks for made-up sessions is refused, and nothing of it is kept."""
    records = LiveRecords(tmp_path, NoneRunning())

    async def ask() -> None:
        for number in range(20):
            with pytest.raises(NotFound):
                await records.read("default", session_id(number), texts)

    asyncio.run(ask())
    assert not records._readings
    records.close()
