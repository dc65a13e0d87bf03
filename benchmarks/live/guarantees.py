"""Checks what one client received against what the protocol lets it rely on (docs/protocol.md, section 1).

Written against the contract alone: it knows nothing of how the server is made, nor of our client. A trace is what one
client saw of one session, over all its connections, in order of arrival; `check` returns every broken promise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
STEPS = {"slower_partials", "finals_only", "offload"}
CLOSE_CODES = {1000, 1008, 1009, 1011, 1012, 4400, 4401, 4404, 4408, 4409, 4413, 4429}


@dataclass
class Connection:
    """One connection of a session: how it began, what came, how it ended.

    ``after_seq``: asked for on resume, None on the first connection. ``kept_from``: the client's first byte that it
    still held when it asked. ``close_code`` None where the connection was cut without one.
    """

    after_seq: int | None
    kept_from: int = 0
    messages: list[Message] = field(default_factory=list)
    close_code: int | None = None


@dataclass
class Trace:
    """What one client saw, and what it did: the bytes it had sent at most, and whether all its audio was speech."""

    name: str
    connections: list[Connection] = field(default_factory=list)
    sent_bytes: int = 0
    silent: bool = False

    def messages(self) -> Iterator[Message]:
        for connection in self.connections:
            yield from connection.messages

    def durable(self) -> dict[int, Message]:
        """The durable messages by ``seq``, each as it came first."""
        first: dict[int, Message] = {}
        for message in self.messages():
            if "seq" in message:
                first.setdefault(message["seq"], message)
        return first

    def finals(self) -> list[Message]:
        return [message for _, message in sorted(self.durable().items()) if message["type"] == "caption.final"]

    @property
    def text(self) -> str:
        """All that was settled."""
        return " ".join(final["text"].strip() for final in self.finals() if final["text"].strip())

    @property
    def finished(self) -> bool:
        return any(message["type"] == "session.finished" for message in self.messages())


def check(trace: Trace) -> list[str]:
    """Every promise that was broken, as a sentence with the guarantee's number; none when all were kept."""
    checks = (_stable, _one_final, _sequence, _audio, _lag_is_told, _provenance, _silence, _closes)
    return [f"{trace.name}: {broken}" for one in checks for broken in one(trace)]


def _stable(trace: Trace) -> Iterator[str]:
    """1: stable text only grows, word by word, and the final begins with it."""
    stable: dict[tuple[int, int], tuple[str, list[str]]] = {}
    finals: dict[tuple[int, int], str] = {}
    for message in trace.messages():
        if message["type"] not in {"caption.partial", "caption.final"}:
            continue
        key = (message["channel"], message["segment"])
        text, words = stable.get(key, ("", []))
        if message["type"] == "caption.final":
            finals[key] = message["text"]
            if not message["text"].startswith(text):
                yield f"1: final {key} {message['text']!r} does not begin with the stable {text!r}"
            continue
        now = [word["text"] for word in message.get("words", ()) if word["stable"]]
        if not message["stable_text"].startswith(text) or now[: len(words)] != words:
            yield f"1: stable text of {key} went from {text!r} to {message['stable_text']!r}"
        if "words" in message and "".join(now) != message["stable_text"]:
            yield f"1: the stable words of {key} do not make up its stable text"
        if key in finals:
            yield f"2: a partial of {key} came after its final"
        stable[key] = message["stable_text"], now


def _one_final(trace: Trace) -> Iterator[str]:
    """2: one final a segment, counted 1, 2, 3 ..., in order of time, never overlapping."""
    by_channel: dict[int, list[Message]] = {}
    for final in trace.finals():
        by_channel.setdefault(final["channel"], []).append(final)
    for channel, finals in by_channel.items():
        numbers = [final["segment"] for final in finals]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"2: finals of channel {channel} are of segments {numbers}"
        end = 0
        for final in finals:
            if not end <= final["start_ms"] <= final["end_ms"]:
                yield f"2: segment {final['segment']} begins at {final['start_ms']} ms, the one before ended at {end}"
            if "words" in final and "".join(word["text"] for word in final["words"]) != final["text"]:
                yield f"2: the words of segment {final['segment']} do not make up its text"
            end = final["end_ms"]
    shown = {(m["channel"], m["segment"]) for m in trace.messages() if m["type"] == "caption.partial"}
    settled = {(final["channel"], final["segment"]) for final in trace.finals()}
    if trace.finished and shown - settled:
        yield f"2: segments {sorted(shown - settled)} were shown and had no final"


def _sequence(trace: Trace) -> Iterator[str]:
    """3: durable messages without gaps; sent again unchanged; a resume brings all behind what it asked for."""
    first = trace.durable()
    numbers = sorted(first)
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"3: durable messages {numbers} have gaps"
    for connection in trace.connections:
        expected = 1 if connection.after_seq is None else connection.after_seq + 1
        for message in connection.messages:
            if "seq" not in message:
                continue
            if message["seq"] != expected:
                yield f"3: message {message['seq']} came where {expected} was due"
            expected = message["seq"] + 1
            if message != first[message["seq"]]:
                yield f"3: message {message['seq']} changed when it was sent again"


def _audio(trace: Trace) -> Iterator[str]:
    """3: what was called safe stays safe, and no byte is claimed that was not sent."""
    safe = 0
    for connection in trace.connections:
        resumed = connection.after_seq is not None
        for number, message in enumerate(connection.messages):
            if message["type"] not in {"audio.ack", "session.resumed"}:
                continue
            if message["type"] == "session.resumed" and not (resumed and number == 0):
                yield "3: session.resumed was not the first answer to session.resume"
            if message["replay_from_bytes"] < safe:
                yield f"3: replay_from_bytes went back from {safe} to {message['replay_from_bytes']}"
            if message["replay_from_bytes"] > trace.sent_bytes or message.get("received_bytes", 0) > trace.sent_bytes:
                yield f"3: {message} claims more than the {trace.sent_bytes} bytes that were sent"
            safe = max(safe, message["replay_from_bytes"])


def _lag_is_told(trace: Trace) -> Iterator[str]:
    """4: steps of the ladder by name, with their lag; a refusal for load says when to come back."""
    for message in trace.messages():
        told = message["type"] in {"lane.degraded", "lane.restored"}
        if told and (message["step"] not in STEPS or message["lag_ms"] < 0):
            yield f"4: {message} is no step of the ladder"
    for connection in trace.connections:
        if connection.close_code == 4429:
            last = connection.messages[-1] if connection.messages else {}
            if last.get("type") != "error" or not last.get("retry_after_ms"):
                yield f"4: a refusal for load did not say when to come back: {last}"


def _provenance(trace: Trace) -> Iterator[str]:
    """5: every final says what made it, and its records are links of one chain."""
    previous: Mapping[str, Any] | None = None
    for final in trace.finals():
        if not final["provenance"]:
            yield f"5: final {final['segment']} says nothing of what made it"
        for record in final["provenance"]:
            if not all(record.get(name) for name in ("engine", "model", "audio_sha256", "text_sha256", "hash")):
                yield f"5: the record {record.get('chunk_id')} is not whole"
            if previous is not None:
                if record["index"] <= previous["index"]:
                    yield f"5: record {record['index']} came behind {previous['index']}"
                elif record["index"] == previous["index"] + 1 and record["previous"] != previous["hash"]:
                    yield f"5: record {record['index']} is not linked to the one before"
            previous = record


def _silence(trace: Trace) -> Iterator[str]:
    """6: audio without speech gives no text."""
    if trace.silent:
        said = [message for message in trace.messages() if message["type"].startswith(("caption.", "speech."))]
        if said:
            yield f"6: silence gave {said[0]}"


def _closes(trace: Trace) -> Iterator[str]:
    """Close codes are those of the contract; before one other than 1000 and 1009 there is an error."""
    for connection in trace.connections:
        code = connection.close_code
        if code is None:
            continue
        if code not in CLOSE_CODES:
            yield f"closed with {code}, which the protocol does not know"
        elif code not in {1000, 1009} and not any(message["type"] == "error" for message in connection.messages):
            yield f"closed with {code} without an error before"
