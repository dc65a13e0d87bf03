"""When the next partial decode of a segment is due: the one place where captions are paced."""

from __future__ import annotations

from speechlane.audio.gate import SpeechGate
from speechlane.live.config import LivePolicy
from speechlane.live.pace import Pace
from speechlane.live.segment import OpenSegment


def too_long(policy: LivePolicy, segment: OpenSegment, end: int, pace: Pace, *, interim: bool) -> bool:
    """Whether a segment whose sound reaches to ``end`` is to be cut.

    Under load it is cut sooner: seldom decoded, it would hardly come to an agreed cut, and longer windows cost more.
    """
    window, length = end - segment.window_start, end - segment.start
    frequent = interim and pace.partials and pace.slowing == 1
    return window >= policy.hard_cut or (length >= policy.finals_cut and not frequent)


def partial_is_due(policy: LivePolicy, gate: SpeechGate, segment: OpenSegment, pace: Pace, *, interim: bool) -> bool:
    """Whether a segment whose speech goes on is to be decoded now; asked only while no answer is outstanding.

    Without ``interim`` captions, wished or under load, only a segment that grows too long is decoded before its end.
    """
    if not (interim and pace.partials):
        return too_long(policy, segment, gate.position, pace, interim=interim)
    heard_all = gate.speech_end + policy.shown_margin
    if gate.position >= heard_all:
        # A pause: one decode that has heard all the words so far; if the speech has ended, it is the final.
        return segment.decoded_to < heard_all
    enough = policy.step * pace.slowing if segment.last is not None else policy.first_window + policy.pre_roll
    return gate.position - segment.decoded_to >= enough
