"""When a word's audio came in: the other half of a lag."""

from __future__ import annotations

import pytest
from live_simulation import head

from speechlane.live import events
from speechlane.live.actions import Send
from speechlane.runtime.metrics import Metrics
from speechlane.runtime.session_meter import Arrivals, SessionMeter

pytestmark = pytest.mark.unit


def test_a_sample_came_with_the_bytes_that_hold_it():
    """Audio scored late still came when its bytes did; a frame's blocks share its arrival."""
    arrivals = Arrivals()
    arrivals.received(6_400, 100)
    arrivals.received(6_400, 900)
    for position, received in [(1_024, 6_400), (2_048, 6_400), (3_072, 12_800)]:
        arrivals.heard(position, received, 5_000)
    assert [arrivals.of(position) for position in (1, 1_024, 2_048)] == [100] * 3
    assert [arrivals.of(position) for position in (2_049, 3_072, 9_999)] == [900] * 3


def test_nothing_is_told_before_anything_came():
    """No arrival, no lag."""
    assert Arrivals().of(1) is None


def test_bytes_nobody_saw_come_count_from_when_they_were_heard():
    """A session taken up after a restart hears what was stored: its arrival is not known."""
    arrivals = Arrivals(6_400)
    arrivals.heard(1_600, 6_400, 250)
    assert arrivals.of(1_600) == 250


def test_hours_of_audio_keep_half_a_minute_of_arrivals():
    """The map is bounded; of what is forgotten the oldest that is kept stands in."""
    arrivals = Arrivals()
    for number in range(1, 100_000):
        arrivals.received(2_048, number * 64)
        arrivals.heard(number * 1_024, number * 2_048, number * 64)
    now = 99_999 * 64
    assert arrivals.of(99_999 * 1_024) == now
    assert now - 34_000 < arrivals.of(0) < now - 30_000


def test_what_another_process_heard_is_not_counted_again():
    """A session taken up after a restart, an hour into its audio and amid speech, adds what it hears from there on."""
    session = head()
    metrics = Metrics(session.routes[0].identity)
    hour = 3_600 * 16_000
    meter = SessionMeter(metrics, session, hour * 2, hour)
    ended = {"type": "speech.ended", "seq": 9, "at_ms": 3_600_064, "channel": 0}
    heard = events.AudioReceived(3_600_100, hour + 1_600, hour * 2 + 3_200, ((0.1,),))
    meter.happened(heard, [Send(ended, durable=True)], 3_600_100)
    counted = {
        sample.name: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name in {"speechlane_live_audio_seconds_total", "speechlane_live_speech_seconds_total"}
    }
    assert counted == {
        "speechlane_live_audio_seconds_total": pytest.approx(0.1),
        "speechlane_live_speech_seconds_total": pytest.approx(0.064),
    }
