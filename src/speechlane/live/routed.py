"""One channel's way from speech scores to settled segments on whichever route is in force.

A route whose engine decodes windows is served by the `Timeline` itself; for one that listens to a stream, the speech
gate's segments only say what is still to be settled. When a route gives up, the next hears the sound again from the
last settled word on, and two seconds before, so that the words of both can be told apart.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from speechlane.audio.gate import SpeechEnded
from speechlane.live.config import SessionHead
from speechlane.live.events import DecodeFailed, StreamFailed, StreamHeard
from speechlane.live.outbox import Outbox
from speechlane.live.routes import Routes
from speechlane.live.segment import OpenSegment
from speechlane.live.streaming import StreamListener
from speechlane.live.timeline import REMEMBERED_WORDS, Timeline


class RoutedTimeline(Timeline):
    """A `Timeline` that can change its route, and that a stream can serve."""

    def __init__(self, head: SessionHead, channel: int, routes: Routes, outbox: Outbox) -> None:
        super().__init__(head, channel, routes, outbox)
        self._stream: StreamListener | None = None
        self._speech_ended = False  # since the stream was last flushed
        self._reopened = 0
        """Streams in a row that broke before they told anything."""

    @property
    def settled(self) -> bool:
        return super().settled and not (self._stream is not None and self._stream.pending)

    @property
    def safe(self) -> int:
        if self._stream is not None and self._stream.shown is not None:
            return self._stream.covered
        return super().safe

    @property
    def backlog(self) -> int:
        return 0 if self._stream is not None else super().backlog  # a stream takes all at once

    @property
    def asked_at(self) -> int | None:
        return self._stream.waiting_since if self._stream is not None else super().asked_at

    # --- audio -------------------------------------------------------------------------------------------------

    def hear(self, at: int, position: int, scores: tuple[float, ...]) -> None:
        super().hear(at, position, scores)
        if self._speech_ended:
            self._flush_stream(at)
        elif self._stream is not None:
            self._stream.send_to(at, position, speaking=self._gate.speaking)

    @property
    def queued_to(self) -> int:
        return super().queued_to if self._stream is None else self.position

    def end_speech(self, at: int) -> None:
        super().end_speech(at)
        self._flush_stream(at)

    def _close(self, ended: SpeechEnded, end: int) -> None:
        super()._close(ended, end)
        self._speech_ended = True

    def _advance(self, at: int) -> None:
        if self._stream is None:
            super()._advance(at)

    # --- changing routes ---------------------------------------------------------------------------------------

    def hand_over(self) -> None:
        """Let the route in force go: what it settled stands, what it has shown goes on under the next one."""
        self.withdraw()
        first = self._segments[0] if self._segments else None
        if self._stream is not None:
            self._stream.close()
            if self._stream.shown is not None:
                if first is None:
                    first = OpenSegment(start=self._stream.covered, policy=self._policy, end=self.position)
                    self._segments.append(first)
                first.take_over(self._stream.shown)
            self._stream = None
        elif first is not None and first.stable and first.last is not None:
            self._settle(first, *first.last, (), behind=first.stable_end)
        # The next engine does not know these tokens.
        self._settled_words = deque((replace(word, tokens=()) for word in self._settled_words), REMEMBERED_WORDS)

    def listen(self, at: int) -> None:
        """Begin on the route now in force; one that takes over hears all that is not settled, and a little before."""
        first = self._segments[0] if self._segments else None
        start = first.start if first else self.safe
        overlap = [word for word in self._settled_words if first and word.start >= start - self._policy.overlap]
        if first is not None:
            first.restart(overlap)
        if self._routes.current.capabilities.streaming:
            self._stream = StreamListener(
                self._head, self._channel, self._routes, self._out, self._captions, start=start, overlap=overlap
            )
            if first is not None and first.number is not None:
                self._stream.take_over(first)
            self._stream.send_to(at, self.position, speaking=self._gate.speaking)
            if first is not None and first.end is not None:
                self._stream.flush(at)
        self._advance(at)

    def ask_again(self, at: int) -> None:
        if self._stream is not None:
            self.hand_over()
            self.listen(at)
        else:
            super().ask_again(at)

    # --- a stream's answers ------------------------------------------------------------------------------------

    def stream_heard(self, event: StreamHeard) -> bool:
        """Take a stream's result; False when it is another's."""
        if self._stream is None or self._stream.stream != event.stream:
            return False
        self._settled_words.extend(self._stream.heard(event))
        self._reopened = 0
        self._floor = max(self._floor, self._stream.covered)
        self._drop_covered(self._stream.covered)
        return True

    def failed(self, event: DecodeFailed | StreamFailed, patience: int) -> bool | None:
        """The same of a stream: True when another one was opened in its stead."""
        if isinstance(event, DecodeFailed):
            return super().failed(event, patience)
        if self._stream is None or self._stream.stream != event.stream:
            return None
        self._reopened += 1
        if not event.retryable or self._reopened >= self._policy.stream_attempts:
            return False
        self.hand_over()
        self.listen(event.at)
        return True

    def _flush_stream(self, at: int) -> None:
        self._speech_ended = False
        if self._stream is not None:
            self._stream.send_to(at, self.position, speaking=False)
            self._stream.flush(at)
            self._drop_covered(self._stream.covered)

    def _drop_covered(self, covered: int) -> None:
        """Speech that a stream's final results cover is settled."""
        while self._segments and (end := self._segments[0].end) is not None and end <= covered:
            self._segments.popleft()
        if self._segments and self._segments[0].start < covered:
            self._segments[0].begin(covered)
