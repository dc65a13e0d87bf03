"""The live lane's core, without I/O: facts in (`events`), wishes out (`actions`).

`Session.receive(event)` returns the actions that a driver carries out; `Session.next_deadline()` tells when it wants
to be woken. It holds no clock, no chance and no sound: time and speech scores are arguments, so a log of its events
replays to the same messages, byte for byte.
"""

from speechlane.live.session import Session

__all__ = ["Session"]
