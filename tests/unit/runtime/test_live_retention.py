"""Old sessions are deleted whole; what runs, may come back or is no session stays."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from speechlane.runtime.live_retention import LiveRetention

pytestmark = pytest.mark.unit

NOW = 2_000_000_000.0
DAY_S = 86_400


class Holding:
    """A hub that holds these sessions."""

    def __init__(self, *held: str) -> None:
        self.held = held

    def holds(self, session: str) -> bool:
        return session in self.held


def wrote(logs: Path, number: int, days_ago: float, *, name: str = "events.jsonl") -> str:
    """A session's folder whose log was last written so long ago, its audio long before; its id."""
    session = f"ses_{number:024x}"
    (logs / session / "audio").mkdir(parents=True)
    piece = logs / session / "audio" / f"{0:015d}.bytes"
    piece.write_bytes(b"sound")
    (logs / session / name).write_text("log\n", encoding="utf-8")
    for path, ago in ((piece, 99), (logs / session / name, days_ago), (logs / session, days_ago)):
        os.utime(path, (NOW - ago * DAY_S,) * 2)
    return session


def sweep(logs: Path, *held: str) -> list[str]:
    return asyncio.run(LiveRetention(logs, Holding(*held), 30, clock=lambda: NOW).sweep())


def test_what_ended_longer_ago_is_deleted_whole(tmp_path):
    """Days count from the last write to the log; the audio goes too; a younger session stays as it is."""
    old, young = wrote(tmp_path, 1, 30.1), wrote(tmp_path, 2, 29.9)
    assert sweep(tmp_path) == [old]
    assert [folder.name for folder in tmp_path.iterdir()] == [young]
    assert (tmp_path / young / "events.jsonl").read_text(encoding="utf-8") == "log\n"
    assert sweep(tmp_path) == []


def test_what_the_hub_holds_stays(tmp_path):
    """A session that runs or is to be taken up is never deleted, however old its log is."""
    held = wrote(tmp_path, 1, 400)
    assert sweep(tmp_path, held) == []
    assert sweep(tmp_path) == [held]


def test_a_deletion_that_was_cut_short_is_finished(tmp_path):
    """A folder without a log counts by its own time."""
    session = wrote(tmp_path, 1, 31, name="rest")
    assert sweep(tmp_path) == [session]


def test_a_folder_that_cannot_be_deleted_keeps_no_other(tmp_path, monkeypatch):
    """The others go; it is tried again at the next sweep."""
    stuck, other = wrote(tmp_path, 1, 31), wrote(tmp_path, 2, 31)
    delete = shutil.rmtree

    def refuse(folder: Path) -> None:
        if folder.name == stuck:
            raise PermissionError(13, "Permission denied")
        delete(folder)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    assert sweep(tmp_path) == [other]
    monkeypatch.undo()
    assert sweep(tmp_path) == [stuck]


def test_what_is_no_session_is_left_alone(tmp_path):
    """Only folders with a session's name are looked at; a folder of logs that was never made is no error."""
    (tmp_path / "notes").mkdir()
    os.utime(tmp_path / "notes", (0, 0))
    assert sweep(tmp_path) == []
    assert sweep(tmp_path / "missing") == []
    assert (tmp_path / "notes").is_dir()
