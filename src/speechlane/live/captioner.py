"""What a client sees of one channel's segments: their numbers, partial captions, finals with their records."""

from __future__ import annotations

from collections.abc import Sequence

from speechlane.audio import position_to_ms
from speechlane.engine import HypothesisWord
from speechlane.live import messages
from speechlane.live.config import SessionHead
from speechlane.live.outbox import Outbox, Source
from speechlane.live.segment import OpenSegment
from speechlane.transcript import Segment, text_of


class Captioner:
    """Numbers a segment when it is first shown, tells each change once, and its final with what made it."""

    def __init__(self, head: SessionHead, channel: int, outbox: Outbox) -> None:
        self._config, self._channel, self._out = head.config, channel, outbox
        self.numbered = 0
        """Segments that have a number."""

    def show(self, segment: OpenSegment, wavering: Sequence[HypothesisWord], language: str | None) -> None:
        """Tell the segment's stable words and these unstable ones, if that is news."""
        if not self._config.interim:
            return
        unstable = segment.placed(wavering)
        shown = (text_of(segment.stable), text_of(unstable))
        if shown == segment.shown:
            return
        segment.shown = shown
        self._number(segment)
        segment.revision += 1
        first = next(iter([*segment.stable, *unstable]), None)
        self._out.send(
            messages.caption_partial(
                channel=self._channel,
                segment=segment.number or 0,
                revision=segment.revision,
                start_ms=first.start_ms if first else position_to_ms(segment.start),
                stable=segment.stable,
                unstable=unstable,
                language=self._config.language or language,
                with_words=self._config.words,
            )
        )

    def finish(self, segment: OpenSegment, source: Source, language: str | None, end: int) -> None:
        """Record and tell the final of a segment whose words all stand; nothing for one that was never seen.

        ``source``: what gave its last words; ``language``: what they were heard in; ``end``: the sample position
        where the segment's sound ends.
        """
        if not segment.stable and segment.number is None:
            return
        self._number(segment)
        words = tuple(segment.stable)
        settled = Segment(
            channel=self._channel,
            number=segment.number or 0,
            start_ms=words[0].start_ms if words else position_to_ms(segment.start),
            end_ms=words[-1].end_ms if words else position_to_ms(end),
            words=words,
            language=self._config.language or segment.language or language,
        )
        record = self._out.record(
            source,
            span=(segment.start, max(end, segment.stable_end)),
            detected=segment.detected,
            text=settled.text,
            partials=segment.partial_decodes,
            attempt=segment.attempts,
        )
        self._out.send_durable(messages.caption_final(settled, [record], with_words=self._config.words))

    def _number(self, segment: OpenSegment) -> None:
        if segment.number is None:
            self.numbered += 1
            segment.number = self.numbered
