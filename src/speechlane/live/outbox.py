"""Collects the actions that one event causes, and numbers what must be numbered: messages, requests, chunks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from speechlane.audio import position_to_ms
from speechlane.engine import DecodeFigures, EngineIdentity
from speechlane.live.actions import Action, Decode, RecordChunk, Send
from speechlane.live.config import SessionHead
from speechlane.live.events import HypothesisReceived
from speechlane.live.messages import Message
from speechlane.provenance import GENESIS, ChunkRecord, digest_of
from speechlane.provenance.digest import text_sha256
from speechlane.router import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What made a chunk's text, in whichever way its engine was asked: the part of its record that a route tells.

    ``at``: when the answer came, ms since the session began.
    """

    route: Route
    channel: int
    options: dict[str, Any]
    audio_sha256: str
    at: int
    prefix: tuple[int, ...] = ()
    figures: DecodeFigures = field(default_factory=DecodeFigures)
    vendor_request_id: str | None = None


def decoded(route: Route, ask: Decode, answer: HypothesisReceived) -> Source:
    """The source of a text that one decode gave.

    What the engine was handed is the decode's window, which may begin earlier and end later than the final: it stands
    in the record's options, and the audio's digest is of it.
    """
    return Source(
        route=route,
        channel=ask.channel,
        options={
            **asdict(ask.options),
            "padded_samples": ask.padded,
            "language": ask.language,
            "keyterms": list(ask.keyterms),
            "window_ms": [position_to_ms(ask.start), position_to_ms(ask.end)],
        },
        audio_sha256=answer.audio_sha256,
        at=answer.at,
        prefix=ask.prefix,
        figures=answer.hypothesis.figures,
        vendor_request_id=answer.hypothesis.vendor_request_id,
    )


class Outbox:
    """One session's counters and the actions gathered since the last `take`."""

    def __init__(self, head: SessionHead) -> None:
        self._head = head
        self._actions: list[Action] = []
        self._seq = 0
        self._requests = 0
        self._chunks = 0
        self._previous = GENESIS
        self.partials: dict[int, Message] = {}
        """The newest partial of each channel whose segment has no final yet."""
        self._postprocess_digest = digest_of({"policy": asdict(head.policy), "software": head.software})
        self.engines: dict[str, None] = {}
        """Pins of the engines whose text was settled, in order of first use."""

    def take(self) -> list[Action]:
        """The actions gathered so far, in order; the outbox is empty afterwards."""
        actions, self._actions = self._actions, []
        return actions

    def do(self, action: Action) -> None:
        self._actions.append(action)

    @property
    def seq(self) -> int:
        """Of the last durable message."""
        return self._seq

    def next_request(self) -> int:
        """A number for a decode, never used before in this session."""
        self._requests += 1
        return self._requests

    def send(self, message: Message) -> None:
        """Send a message of which only the newest matters."""
        if message["type"] == "caption.partial":
            self.partials[message["channel"]] = message
        self.do(Send(message, durable=False))

    def send_durable(self, message: Message) -> None:
        """Send a message under the next ``seq``."""
        self._seq += 1
        kind = message.pop("type")
        if kind == "caption.final":
            self.partials.pop(message["channel"], None)
        self.do(Send({"type": kind, "seq": self._seq, **message}, durable=True))

    def record(
        self,
        source: Source,
        *,
        span: tuple[int, int],
        detected: tuple[str | None, float] | None,
        text: str,
        partials: int,
        attempt: int,
    ) -> ChunkRecord:
        """Seal the record of the chunk behind a final and wish it stored.

        ``span``: the final's stretch of samples.
        """
        head, engine = self._head, source.route.identity
        locale, probability = detected or (None, None)
        record = ChunkRecord(
            chunk_id=f"{head.session}:{self._chunks}",
            lane="live",
            session=head.session,
            job=None,
            index=self._chunks,
            channel=source.channel,
            start_ms=position_to_ms(span[0]),
            end_ms=position_to_ms(span[1]),
            audio_sha256=source.audio_sha256,
            **asdict(engine),
            **asdict(source.figures),
            locale_requested=head.config.language or "auto",
            locale_detected=locale,
            locale_probability=probability,
            options=source.options,
            options_digest=digest_of(source.options),
            prefix_tokens_sha256=digest_of(list(source.prefix)) if source.prefix else None,
            partial_decodes=partials,
            preprocess_digest=head.preprocess_digest,
            postprocess_digest=self._postprocess_digest,
            vendor_request_id=source.vendor_request_id,
            attempt=attempt,
            route_reason=source.route.reason,
            billed_ms=None,
            cost=None,
            text_sha256=text_sha256(text),
            at=_utc(head.started_at, source.at),
        ).sealed(self._previous)
        self._chunks += 1
        self._previous = record.hash
        self.engines[_pin(engine)] = None
        self.do(RecordChunk(record))
        return record


def _pin(engine: EngineIdentity) -> str:
    return f"{engine.engine}/{engine.pin}"


def _utc(started_at: str, at: int) -> str:
    moment = datetime.fromisoformat(started_at) + timedelta(milliseconds=at)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
