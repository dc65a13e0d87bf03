"""Stored audio: every byte once, in order, bounded on the disk, whole after a failure."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from speechlane.errors import StorageFailed
from speechlane.runtime.spool import AudioSpool

pytestmark = pytest.mark.unit

DATA = bytes(range(256)) * 8


def test_bytes_are_read_as_they_were_stored_however_they_were_cut(tmp_path):
    """Appends over piece ends, and a second process that goes on, change no byte."""
    spool = AudioSpool(tmp_path / "spool", 100)
    for start in range(0, 1_000, 37):
        spool.append(DATA[start : min(start + 37, 1_000)])
    spool.close()
    again = AudioSpool(tmp_path / "spool", 100)
    assert again.end == 1_000
    again.append(DATA[1_000:])
    assert b"".join(again.read()) == DATA
    assert {piece.stat().st_size for piece in (tmp_path / "spool").iterdir()} == {100, len(DATA) % 100}


def test_pieces_that_are_not_needed_are_deleted(tmp_path):
    """Only whole pieces before the position go; what follows begins at a piece, and counts as before."""
    spool = AudioSpool(tmp_path / "spool", 100)
    spool.append(DATA[:1_000])
    spool.release(555)
    assert (spool.start, spool.end) == (500, 1_000)
    assert b"".join(spool.read()) == DATA[500:1_000]
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0


def test_of_a_full_disk_nothing_half_written_remains(tmp_path, monkeypatch):
    """An append that fails amid its bytes counts none of them; the next one goes on where the last whole one ended."""
    spool = AudioSpool(tmp_path / "spool", 100)
    spool.append(DATA[:150])
    write, calls = os.write, []

    def full(file, data):
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageFailed, match="No space left"):
        spool.append(DATA[150:400])
    monkeypatch.setattr(os, "write", write)
    spool.append(DATA[150:400])
    assert b"".join(AudioSpool(tmp_path / "spool", 100).read()) == DATA[:400]


def test_a_gap_is_not_read_over(tmp_path):
    """A missing piece makes the stored audio unusable, told with the folder."""
    spool = AudioSpool(tmp_path / "spool", 100)
    spool.append(DATA[:300])
    (tmp_path / "spool" / f"{100:015d}.bytes").unlink()
    with pytest.raises(StorageFailed, match="gap before byte 200"):
        AudioSpool(tmp_path / "spool", 100)


def test_a_kill_while_the_audio_is_deleted_leaves_no_gap(tmp_path, monkeypatch):
    """Cut short after any piece, what is left of a session that is over still opens."""
    unlink = Path.unlink
    for most in range(10):
        spool = AudioSpool(tmp_path / str(most), 100)
        spool.append(DATA)
        left = most

        def until(path, **options):
            nonlocal left
            if not left:
                raise OSError(5, "killed")
            left -= 1
            unlink(path, **options)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", until)
            spool.discard()
        assert AudioSpool(tmp_path / str(most), 100).end == min(len(DATA), 2_100 - 100 * most)
