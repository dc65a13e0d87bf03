"""Golden event logs replay to the messages that were sent when they were written, byte for byte.

A log changes only when the core is meant to decide otherwise: then `python tests/replay/write_logs.py` writes them
anew, and the difference is reviewed like code.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from speechlane.errors import InvalidInput
from speechlane.live.replay import replay

pytestmark = pytest.mark.replay

LOGS = sorted((Path(__file__).parent / "logs").glob("*.jsonl"))


def lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8").splitlines(keepends=True)


def test_there_are_golden_logs():
    """The folder holds a log of real speech and logs of scripted trouble."""
    assert {log.stem for log in LOGS} >= {"jfk", "long_speech", "two_channels", "engine_trouble", "flushes"}


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_a_golden_log_replays_exactly(log):
    """Every message comes out as it was sent, and there are captions among them."""
    report = replay(lines(log))
    assert report.identical, report.difference
    assert report.finished
    assert any(json.loads(text)["type"] == "caption.final" for text in report.messages)


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_a_changed_word_is_noticed(log):
    """Engine answers that read otherwise give other messages, and replay does not call them identical."""
    changed = []
    for line in lines(log):
        fields = json.loads(line)
        for word in fields.get("hypothesis", {}).get("words", []):
            word["text"] = word["text"].replace("y", "i").replace("1", "7")
        changed.append(json.dumps(fields) + "\n")
    assert not replay(changed).identical


def test_a_log_cut_off_by_a_crash_is_read_up_to_there():
    """Half a last line is left out; what stands before it still replays."""
    text = lines(LOGS[0])
    report = replay([*text[:-1], text[-1][: len(text[-1]) // 2]])
    assert report.identical
    assert replay(text).finished


def test_a_log_cut_amid_its_session_is_told_as_unfinished():
    """What is there is compared; that it is not all is said."""
    text = lines(LOGS[0])
    report = replay(text[: len(text) // 2])
    assert report.identical
    assert not report.finished


def test_messages_missing_from_a_log_are_noticed():
    """A log that lost a message in its middle does not pass for identical."""
    text = lines(LOGS[0])
    first = next(index for index, line in enumerate(text) if line.startswith('{"message"'))
    assert not replay(text[:first] + text[first + 1 :]).identical


@pytest.mark.parametrize(
    ("text", "code"),
    [([], "not_a_log"), (["{}\n"], "not_a_log"), (["no json\n", "x\n"], "broken_log"), (["[]\n"], "broken_log")],
)
def test_what_is_no_log_is_refused(text, code):
    """A file that is no event log is an error that says so."""
    with pytest.raises(InvalidInput) as refusal:
        replay(text)
    assert refusal.value.code == code
