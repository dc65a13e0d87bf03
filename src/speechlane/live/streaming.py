"""One channel's way through a streaming engine: what was sent to it, what it settled, what of its text is shown.

The engine finds the utterances: each of its final results is a segment and a chunk. Its interim words are shown as
unstable. Where it takes over from another route it hears the last settled words once more, and what it makes of them
is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from speechlane.audio import position_to_ms
from speechlane.engine import HypothesisWord
from speechlane.live.actions import CloseStream, FlushStream, OpenStream, SendAudio
from speechlane.live.captioner import Captioner
from speechlane.live.config import SessionHead
from speechlane.live.events import StreamHeard
from speechlane.live.outbox import Outbox, Source
from speechlane.live.routes import Routes
from speechlane.live.segment import OpenSegment, behind_overlap
from speechlane.transcript.language import primary_subtag


class StreamListener:
    """A stream from ``start`` on; positions are the timeline's.

    ``overlap``: settled words before ``start`` that are heard once more.
    """

    def __init__(
        self,
        head: SessionHead,
        channel: int,
        routes: Routes,
        outbox: Outbox,
        captions: Captioner,
        *,
        start: int,
        overlap: Sequence[HypothesisWord] = (),
    ) -> None:
        self._head, self._channel, self._route, self._out, self._captions = (
            head,
            channel,
            routes.current,
            outbox,
            captions,
        )
        self._overlap = tuple(overlap)
        self.start = min([start, *(word.start for word in overlap)])
        self.covered = start
        """All before is settled by final results."""
        self.shown: OpenSegment | None = None
        """The segment whose words are shown and not settled."""
        self.waiting_since: int | None = None
        """Since when, in ms, speech or a flush has waited for a result; None when nothing waits."""
        self._sent = self.start
        self._flushed = start
        self._partials = 0
        language = head.config.language
        self.stream = outbox.next_request()
        outbox.do(
            OpenStream(
                stream=self.stream,
                route=routes.index,
                channel=channel,
                start=self.start,
                language=primary_subtag(language) if language else None,
                keyterms=head.config.keyterms if self._route.capabilities.keyterms else (),
            )
        )

    @property
    def pending(self) -> bool:
        """Whether something is still to come: a shown text to be settled, a flush to be answered."""
        return self.shown is not None or self._flushed > self.covered

    def take_over(self, segment: OpenSegment) -> None:
        """Go on with a segment that the route before has shown and not settled."""
        self.shown = self._segment()
        self.shown.take_over(segment)

    def send_to(self, at: int, position: int, *, speaking: bool) -> None:
        """Send all audio up to ``position``."""
        if position > self._sent:
            self._out.do(SendAudio(self.stream, self._sent, position))
            self._sent = position
        if speaking and self.waiting_since is None:
            self.waiting_since = at

    def flush(self, at: int) -> None:
        """Ask for a final result about all that was sent."""
        if self._sent > max(self.covered, self._flushed):
            self._flushed = self._sent
            self._out.do(FlushStream(self.stream))
            if self.waiting_since is None:
                self.waiting_since = at

    def close(self) -> None:
        """Give the stream up."""
        self._out.do(CloseStream(self.stream))

    def heard(self, event: StreamHeard) -> tuple[HypothesisWord, ...]:
        """Show an interim result, settle a final one; return the words settled, at their places in the timeline."""
        result = event.result
        end = self.start + result.end
        owed = self._flushed > (end if result.final else self.covered)
        self.waiting_since = event.at if owed else None
        words = result.words
        if self._overlap and self.start + result.start < self.covered:
            words = behind_overlap(words, self._overlap, self.start)
        if self.shown is None and not words:
            self._cover(end, final=result.final)
            return ()
        segment = self.shown or self._segment()
        if not result.final:
            self._partials += 1
            self._captions.show(segment, words, result.language)
            self.shown = segment if segment.number is not None else None
            return ()
        segment.settle(words)
        segment.partial_decodes, self._partials = self._partials, 0
        if result.language_probability is not None:
            segment.detected = (result.language, result.language_probability)
        begin = self.covered
        self._cover(end, final=True)
        source = Source(
            route=self._route,
            channel=self._channel,
            options={
                "language": self._head.config.language,
                "keyterms": list(self._head.config.keyterms) if self._route.capabilities.keyterms else [],
                "window_ms": [position_to_ms(begin), position_to_ms(end)],
            },
            audio_sha256=event.audio_sha256 or "",
            at=event.at,
            vendor_request_id=result.vendor_request_id,
        )
        self._captions.finish(segment, source, result.language, end)
        self.shown = None
        return tuple(segment.standing)

    def _segment(self) -> OpenSegment:
        segment = OpenSegment(start=self.covered, policy=self._head.policy)
        segment.window_start = self.start  # a result's times count from the stream's first sample
        return segment

    def _cover(self, end: int, *, final: bool) -> None:
        if final:
            self.covered = max(self.covered, end)
            self._overlap = ()
