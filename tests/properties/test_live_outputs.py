"""Captions for players: what a reader was once given never changes, whatever the engine answers."""

from __future__ import annotations

import itertools
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_checks import scripts
from live_simulation import Simulation, revising

from speechlane.captions import cues_of, hls
from speechlane.captions.webvtt import cue_block
from speechlane.runtime.live_records import SessionRecord, Standing

pytestmark = pytest.mark.properties


class Reader:
    """Reads a simulated session's log as it grows, as a player and a follower would."""

    def __init__(self, folder: Path, simulation: Simulation) -> None:
        self._simulation, self._path, self._written = simulation, folder / "events.jsonl", 0
        self._write()
        self.record = SessionRecord(self._path)
        self.segments: list[str] = []
        self.followed: list[str] = []
        self._sure = 0

    def _write(self) -> None:
        with self._path.open("a", encoding="utf-8") as log:
            log.writelines(self._simulation.log[self._written :])
        self._written = len(self._simulation.log)

    def read(self) -> None:
        self._write()
        self.record.update(Standing.of(self._simulation.session))
        sure = self.record.sure_ms
        count = hls.segments_listed(sure, self.record.duration_ms)
        now = [hls.media_segment(self.record.cues, number) for number in range(count)]
        assert now[: len(self.segments)] == self.segments
        self.segments = now
        end = 10**9 if sure is None else max(sure, self._sure)
        self.followed += map(cue_block, self.record.cues.starting(self._sure, end))
        self._sure = end


@settings(max_examples=25, deadline=None)
@given(
    script=scripts(longest=60),
    seed=st.integers(0, 2**32),
    rate=st.sampled_from([0.0, 0.3, 0.9]),
    slowest=st.sampled_from([0, 40, 400]),
    timelines=st.sampled_from([1, 2]),
    words=st.booleans(),
)
def test_listed_segments_never_change_and_miss_no_cue(script, seed, rate, slowest, timelines, words):
    """However late and unsure the answers are: segments once listed stay, none goes, and every cue is in them."""
    chance = random.Random(seed)
    simulation = Simulation(
        script,
        answer=revising(seed, rate),
        latency=lambda: chance.randint(0, slowest),
        config={"timelines": timelines, "diarize": "channel" if timelines > 1 else "none", "words": words},
    )
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(Path(folder), simulation)
        for number in itertools.count():
            if simulation.position >= script.duration:
                break
            simulation.hear_block()
            if number % 16 == 0:
                reader.read()
        simulation.finish()
        reader.read()
    cues = cues_of(reader.record.transcript)
    assert reader.record.cues.all() == cues
    assert reader.followed == [cue_block(cue) for cue in cues]
    shown = "\n".join(reader.segments)
    assert all(cue_block(cue) in shown for cue in cues if cue.start_ms < reader.record.duration_ms)
    finals = [final["text"] for final in simulation.of("caption.final") if final["text"]]
    assert [segment.text for segment in reader.record.segments] == finals
