"""The file behind a session leaves nothing of a session that could not begin."""

from __future__ import annotations

import pytest
from live_simulation import head

from speechlane.errors import StorageFailed
from speechlane.runtime.session_log import SessionLog

pytestmark = pytest.mark.unit


def test_a_log_whose_head_cannot_be_written_is_not_left_behind(tmp_path, monkeypatch):
    """A full disk refuses the session with the file and the next step, and leaves neither file nor folder."""

    def full(self, lines):
        raise self._failed(OSError(28, "No space left on device"))

    monkeypatch.setattr(SessionLog, "_write", full)
    with pytest.raises(StorageFailed, match="No space left on device"):
        SessionLog(tmp_path, head())
    assert list(tmp_path.iterdir()) == []
