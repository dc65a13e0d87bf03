"""What a client may rely on over lost connections, under any order of what can happen, without a socket."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from speechlane.client import CaptionBoard
from speechlane.client.outbound import MAX_FRAME_BYTES, Outbound
from speechlane.client.session import ClientSession

pytestmark = pytest.mark.properties


class Network(RuleBasedStateMachine):
    """A client's session and a server that stores, captions, answers and loses connections at will.

    What is on its way in either direction is lost with the connection; what the server stored and said is not.
    """

    @initialize()
    def connect_first(self):
        self.client = ClientSession({"type": "session.start"}, server="here", max_unacknowledged=1 << 30)
        self.said, self.asked, self.seen = b"", [], []
        self.stored, self.durable, self.answered = b"", [], []
        self.finished = False
        self.up, self.down, self.connected = [self.client.hello()], [], True
        self.received = b""

    # the program

    @rule(data=st.binary(min_size=1, max_size=40))
    def speak(self, data):
        if not self.client.finish_asked:
            self.client.audio(data)
            self.said += data

    @precondition(lambda self: not self.client.finish_asked)
    @rule()
    def flush(self):
        self.asked.append((f"f{len(self.asked)}", len(self.said)))
        self.client.flush(self.asked[-1][0])

    @precondition(lambda self: len(self.said) > 60)
    @rule()
    def finish(self):
        if not self.client.finish_asked:
            self.client.finish()

    # the network

    @rule(count=st.integers(1, 5))
    def client_sends(self, count):
        for _ in range(count):
            if self.connected and (frame := self.client.next()):
                self.up.append(frame.data)

    @rule(count=st.integers(1, 5))
    def server_hears(self, count):
        for _ in range(min(count, len(self.up))):
            self.take(self.up.pop(0))

    @rule(count=st.integers(1, 5))
    def client_hears(self, count):
        for _ in range(min(count, len(self.down))):
            message = json.loads(self.down.pop(0))
            if self.client.receive(message):
                self.seen.append(message)

    @precondition(lambda self: self.client.id is not None)
    @rule()
    def lose(self):
        """The connection breaks; a new one says hello."""
        assert not self.client.judge(None)
        self.received, self.down, self.up = self.stored, [], [self.client.hello()]

    # the server

    @rule(count=st.integers(1, 50))
    def store(self, count):
        """Bytes become safe, and text."""
        self.stored = self.received[: max(len(self.stored), min(len(self.received), len(self.stored) + count))]
        self.tell({"type": "audio.ack", "replay_from_bytes": len(self.stored)})

    def take(self, data):
        if isinstance(data, bytes):
            self.received += data
            return
        message = json.loads(data)
        match message["type"]:
            case "session.start":
                self.say(type="session.started", session="s", resume_token="t", resume_window_s=60)
            case "session.resume":
                last = len(self.durable)
                self.tell({"type": "session.resumed", "replay_from_bytes": len(self.stored), "last_seq": last})
                # Some that the client has seen come again: it tells them by their seq.
                for missed in self.durable[max(0, message["after_seq"] - 2) :]:
                    self.tell(missed)
            case "audio.flush":
                self.stored = self.received
                self.answered.append((message["id"], len(self.stored)))
                self.say(type="audio.flushed", id=message["id"])
            case "session.finish":
                self.stored = self.received
                self.finished = True

    def say(self, **message):
        self.durable.append({"seq": len(self.durable) + 1, **message})
        self.tell(self.durable[-1])

    def tell(self, message):
        self.down.append(json.dumps(message))

    # what holds at any time

    @invariant()
    def no_byte_is_lost_doubled_or_moved(self):
        assert self.said.startswith(self.received)

    @invariant()
    def each_durable_message_comes_once_and_in_order(self):
        numbers = [message["seq"] for message in self.seen if "seq" in message]
        assert numbers == list(range(1, len(numbers) + 1))

    def teardown(self):
        """Left alone, everything arrives: all audio, every flush behind what was said before it, the last word."""
        self.finish_all()
        assert self.received == self.said
        assert len([m for m in self.seen if "seq" in m]) == len(self.durable)
        heard = dict(self.answered)
        assert len(heard) == len(self.answered), "a flush whose answer was on record was asked again"
        for name, position in self.asked:
            assert heard[name] >= position
        assert self.finished == self.client.finish_asked

    def finish_all(self):
        for _ in range(3):
            self.server_hears(len(self.up))
            self.client_hears(len(self.down))
            self.client_sends(10_000)
        self.server_hears(len(self.up))
        self.client_hears(len(self.down))


def test_any_order_of_events():
    """No byte and no message is lost, doubled or moved, whatever breaks when; left alone, everything arrives."""
    run_state_machine_as_test(Network, settings=settings(max_examples=120, stateful_step_count=40, deadline=None))


@given(st.lists(st.integers(1, 3 * MAX_FRAME_BYTES), max_size=5), st.data())
@settings(max_examples=50, deadline=None)
def test_a_rewind_gives_the_rest_again(sizes, data):
    """From any byte that is kept, all bytes behind it come again, in frames within the limit, and none before it."""
    outbound = Outbound(1)
    said = b"".join(bytes([number % 251]) * size for number, size in enumerate(sizes))
    outbound.audio(said)
    for _ in range(data.draw(st.integers(0, 12))):
        outbound.next()
    outbound.acknowledge(data.draw(st.integers(0, len(said))))
    start = data.draw(st.integers(outbound.safe, len(said)))
    outbound.rewind(start)
    again = []
    while frame := outbound.next():
        again.append(frame.data)
    assert b"".join(again) == said[start:]
    assert all(0 < len(piece) <= MAX_FRAME_BYTES for piece in again)
    with pytest.raises(ValueError, match="is not kept"):
        outbound.rewind(len(said) + 1)


@st.composite
def segment_messages(draw):
    """Messages of one segment as the contract allows them: stable text grows, then one final."""
    channel, segment = draw(st.integers(0, 2)), draw(st.integers(1, 4))
    words = draw(st.lists(st.sampled_from([" a", " b", " c"]), max_size=5))
    key = {"channel": channel, "segment": segment, "start_ms": segment * 1_000, "end_ms": segment * 1_000 + 900}
    partials = [
        {
            "type": "caption.partial",
            **key,
            "revision": revision,
            "stable_text": "".join(words[:stable]),
            "unstable_text": draw(st.sampled_from(["", " x", " y z"])),
        }
        for revision, stable in enumerate(sorted(draw(st.lists(st.integers(0, len(words)), max_size=5))))
    ]
    return partials, {"type": "caption.final", **key, "text": "".join(words)}


@given(st.lists(segment_messages(), unique_by=lambda s: (s[1]["channel"], s[1]["segment"])), st.data())
@settings(max_examples=150, deadline=None)
def test_the_board_holds_what_was_said_last(segments, data):
    """Whatever comes late or twice: finals stay, stable text is never taken back, and the text is all finals."""
    board = CaptionBoard()
    stable = {}
    for partials, final in segments:
        story = [*partials, final]
        # Old messages come again among the new ones, as after a resume.
        for message in story:
            for again in [
                message,
                *data.draw(st.lists(st.sampled_from(story[: story.index(message) + 1]), max_size=3)),
            ]:
                board.take(again)
            for caption in [*board.open, *board.settled]:
                key = caption.channel, caption.segment
                assert caption.stable_text.startswith(stable.get(key, ""))
                stable[key] = caption.stable_text
    finals = sorted(
        (final for _, final in segments if final["text"]), key=lambda f: (f["start_ms"], f["channel"], f["segment"])
    )
    assert [caption.text for caption in board.settled] == [final["text"] for final in finals]
    assert board.open == []
    assert board.text == "\n".join(final["text"].strip() for final in finals)
