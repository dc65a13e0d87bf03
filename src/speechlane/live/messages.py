"""Server-to-client messages of the live lane, under their wire names (docs/protocol.md, section 1)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from speechlane.captions.document import segment_to_dict
from speechlane.errors import SpeechlaneError
from speechlane.live.config import SessionHead
from speechlane.provenance import ChunkRecord
from speechlane.router import Route
from speechlane.transcript import Segment, Word, text_of

Message = dict[str, Any]


def encode(message: Message) -> str:
    """The one text form in which a message is sent, logged and compared."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def session_started(head: SessionHead) -> Message:
    limits = asdict(head.limits)
    window = limits.pop("resume_window_ms")  # told in seconds, beside the token that it is good for
    return {
        "type": "session.started",
        "session": head.session,
        "resume_token": head.resume_token,
        "resume_window_s": window // 1_000 if window % 1_000 == 0 else window / 1_000,
        "route": _route(head.routes[0], head.config.language),
        "limits": limits,
    }


def session_resumed(replay_from_bytes: int, replay_from_ms: int, last_seq: int) -> Message:
    return {
        "type": "session.resumed",
        "replay_from_bytes": replay_from_bytes,
        "replay_from_ms": replay_from_ms,
        "last_seq": last_seq,
    }


def route_changed(before: Route, after: Route, at_ms: int, reason: str, locale: str | None) -> Message:
    return {
        "type": "route.changed",
        "from": _route(before, locale),
        "to": _route(after, locale),
        "at_ms": at_ms,
        "reason": reason,
    }


def _route(route: Route, locale: str | None) -> Message:
    engine = route.identity
    return {"engine": engine.engine, "model": engine.model, "revision": engine.model_revision, "locale": locale}


def lane_degraded(step: str, lag_ms: int) -> Message:
    return {"type": "lane.degraded", "step": step, "lag_ms": lag_ms}


def lane_restored(step: str, lag_ms: int) -> Message:
    return {"type": "lane.restored", "step": step, "lag_ms": lag_ms}


def speech_started(at_ms: int, channel: int) -> Message:
    return {"type": "speech.started", "at_ms": at_ms, "channel": channel}


def speech_ended(at_ms: int, channel: int) -> Message:
    return {"type": "speech.ended", "at_ms": at_ms, "channel": channel}


def caption_partial(
    *,
    channel: int,
    segment: int,
    revision: int,
    start_ms: int,
    stable: Sequence[Word],
    unstable: Sequence[Word],
    language: str | None,
    with_words: bool,
) -> Message:
    words = [*stable, *unstable]
    message: Message = {
        "type": "caption.partial",
        "channel": channel,
        "segment": segment,
        "revision": revision,
        "speaker": None,
        "start_ms": start_ms,
        "end_ms": words[-1].end_ms if words else start_ms,
        "stable_text": text_of(stable),
        "unstable_text": text_of(unstable),
        "language": language,
    }
    if with_words:
        message["words"] = [
            {**_word(word), "stable": index < len(stable), "speaker": word.speaker} for index, word in enumerate(words)
        ]
    return message


def caption_final(segment: Segment, records: Iterable[ChunkRecord], *, with_words: bool) -> Message:
    fields = segment_to_dict(segment)
    words = fields.pop("words")
    message: Message = {"type": "caption.final", **fields, "provenance": [record.as_fields() for record in records]}
    if with_words:
        message["words"] = words
    return message


def _word(word: Word) -> Message:
    return {"text": word.text, "start_ms": word.start_ms, "end_ms": word.end_ms, "confidence": word.confidence}


def audio_ack(received_bytes: int, replay_from_bytes: int, replay_from_ms: int) -> Message:
    return {
        "type": "audio.ack",
        "received_bytes": received_bytes,
        "replay_from_bytes": replay_from_bytes,
        "replay_from_ms": replay_from_ms,
    }


def audio_flushed(flush_id: str | None) -> Message:
    return {"type": "audio.flushed", "id": flush_id}


def pong(ping_id: str | None) -> Message:
    return {"type": "pong", "id": ping_id}


def error(problem: SpeechlaneError) -> Message:
    return {"type": "error", **problem.as_fields()}


def warning(problem: SpeechlaneError) -> Message:
    return {"type": "warning", **problem.as_fields()}


def session_finished(
    *, duration_ms: int, speech_ms: int, segments: int, engines: Sequence[str], cost: float | None
) -> Message:
    return {
        "type": "session.finished",
        "duration_ms": duration_ms,
        "speech_ms": speech_ms,
        "segments": segments,
        "engines": list(engines),
        "cost": cost,
        "recording": None,
    }
