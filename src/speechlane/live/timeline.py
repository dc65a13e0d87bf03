"""One channel's way from speech scores to settled segments.

Segments stand in a queue, in order of time. Only the first is decoded, by one request at a time; so finals come in
order, and a slow engine delays captions but never mixes them.
"""

from __future__ import annotations

from collections import deque

from speechlane.audio import SAMPLE_RATE, position_to_ms
from speechlane.audio.gate import GateSettings, SpeechEnded, SpeechGate, SpeechStarted
from speechlane.engine import HypothesisWord, Priority
from speechlane.engine.checks import QUEUE_FULL
from speechlane.live import messages
from speechlane.live.actions import Decode, Release, Withdraw
from speechlane.live.answers import usable
from speechlane.live.captioner import Captioner
from speechlane.live.config import SessionHead
from speechlane.live.events import DecodeFailed, HypothesisReceived
from speechlane.live.languages import Languages, Verdict
from speechlane.live.outbox import Outbox, decoded
from speechlane.live.pacing import partial_is_due, too_long
from speechlane.live.retries import Retries
from speechlane.live.routes import Routes
from speechlane.live.segment import OpenSegment, soft_boundary
from speechlane.live.windows import context_before, how_to_decode, window_end
from speechlane.transcript.language import primary_subtag

REMEMBERED_WORDS = 200
"""Settled words kept: context for the next windows, and what another route may hear once more."""
_RELEASE_EVERY = 10 * SAMPLE_RATE  # how much settled sound or silence may gather before it is let go
_SHORTEST = 1_600  # samples (0.1 s): the least that is worth a decode


class Timeline:
    """The segmenting and settling of one channel; speaks only through the outbox."""

    def __init__(self, head: SessionHead, channel: int, routes: Routes, outbox: Outbox) -> None:
        self._routes = routes
        self._head, self._config, self._policy, self._channel = head, head.config, head.policy, channel
        self._out = outbox
        self._gate = SpeechGate(
            GateSettings(endpointing_ms=head.config.endpointing_ms, frame_samples=head.frame_samples)
        )
        language = primary_subtag(head.config.language) if head.config.language else None
        self._languages = Languages(language, head.policy)
        self._settled_words: deque[HypothesisWord] = deque(maxlen=REMEMBERED_WORDS)
        self._released = 0
        self._captions = Captioner(head, channel, outbox)
        self._segments: deque[OpenSegment] = deque()
        self._asked: tuple[Decode, int] | None = None
        self._floor = 0
        self._speech_start = 0
        self.position = 0
        """Samples received."""
        self.speech = 0
        """Samples of speech so far, as the gate heard it."""

    @property
    def settled(self) -> bool:
        """Nothing waits to be settled."""
        return not self._segments

    @property
    def speaking(self) -> bool:
        return self._gate.speaking

    @property
    def numbered(self) -> int:
        """Segments that were shown or settled with text so far."""
        return self._captions.numbered

    @property
    def safe(self) -> int:
        """All before this position is settled or silence; nothing will be decoded from there again."""
        if self._segments:
            return self._segments[0].start
        margin = self._policy.pre_roll + self._gate.settings.start_window * self._gate.settings.frame_samples
        return max(self._floor, self._gate.position - margin, 0)

    @property
    def queued_to(self) -> int:
        """Where the last segment that a flush must wait for ends; asked when no speech goes on."""
        return (self._segments[-1].end or self.position) if self._segments else 0

    @property
    def backlog(self) -> int:
        """Samples of speech that no decode has seen yet."""
        return self.position - self._segments[0].decoded_to if self._segments else 0

    @property
    def asked_at(self) -> int | None:
        """When the outstanding decode was asked for, or None."""
        return self._asked[1] if self._asked else None

    @property
    def retry_at(self) -> int | None:
        """When a decode that failed is to be asked for again, or None."""
        return self._segments[0].retries.due if self._segments and self._asked is None else None

    @property
    def _follows(self) -> bool:
        """Whether windows begin with the words before: an engine that detects would take over their language."""
        engine = self._routes.current.capabilities
        return engine.prefix and (self._languages.fixed is not None or not engine.detects_language)

    # --- audio -------------------------------------------------------------------------------------------------

    def hear(self, at: int, position: int, scores: tuple[float, ...]) -> None:
        """Take new audio up to ``position`` and the scores of the frames it completed."""
        self.position = position
        for score in scores:
            transition = self._gate.feed(score)
            if isinstance(transition, SpeechStarted):
                self._open(transition)
            elif isinstance(transition, SpeechEnded):
                self._close(transition, min(transition.position + self._policy.post_roll, self._gate.position))
            self._advance(at)
        if self.safe - self._policy.context - self._released >= _RELEASE_EVERY:
            self._release()

    def end_speech(self, at: int) -> None:
        """Settle what was heard so far: a flush, the end of the audio, a stalled sender."""
        if self._gate.speaking:
            self._close(self._gate.end(), self.position)
        self._advance(at)

    def _open(self, started: SpeechStarted) -> None:
        start = max(started.position - self._policy.pre_roll, self._floor)
        self._speech_start = max(started.position, self._floor)
        self._segments.append(OpenSegment(start=start, policy=self._policy))
        self._out.send_durable(messages.speech_started(position_to_ms(self._speech_start), self._channel))

    def _close(self, ended: SpeechEnded, end: int) -> None:
        segment = self._segments[-1]
        segment.end = self._floor = max(end, segment.start)
        segment.speech_end = ended.position
        self.speech += max(0, ended.position - self._speech_start)
        if len(self._segments) == 1:
            self.withdraw()
        speech_end = max(ended.position, self._speech_start)
        self._out.send_durable(messages.speech_ended(position_to_ms(speech_end), self._channel))

    def ask_again(self, at: int) -> None:
        """Ask once more for the outstanding decode: the process that was asked is gone."""
        if self._asked is not None:
            self._asked = (self._asked[0], at)
            self._out.do(self._asked[0])

    # --- asking ------------------------------------------------------------------------------------------------

    def withdraw(self) -> None:
        """Take the outstanding request back; its answer, if it still comes, is ignored."""
        if self._asked is not None:
            self._out.do(Withdraw(self._asked[0].request))
            self._asked = None

    def _advance(self, at: int) -> None:
        while self._segments and self._asked is None:
            segment = self._segments[0]
            if segment.retries.waiting(at):
                return
            if segment.end is None:
                if partial_is_due(self._policy, self._gate, segment, self._routes.pace, interim=self._config.interim):
                    self._ask(at, segment, Priority.FIRST_PARTIAL if segment.last is None else Priority.PARTIAL)
                return
            if segment.last is not None and segment.heard_whole:  # the last partial is the final
                segment.partial_decodes = max(0, segment.partial_decodes - 1)
                self._settle(segment, *segment.last, segment.wavering)
            elif segment.end - max(segment.start, segment.stable_end) < _SHORTEST:
                self._settle_without_decode(segment)
            else:
                self._ask(at, segment, Priority.FINAL)

    def _ask(self, at: int, segment: OpenSegment, priority: Priority) -> None:
        if segment.last is None and not segment.stable:
            segment.follow(self._context(segment.start))
        end = window_end(segment, self._gate.position, self._policy)
        going_on = segment.end is None and end < self._gate.speech_end + self._policy.shown_margin
        padded, options = how_to_decode(segment, end - segment.window_start, self._policy, going_on=going_on)
        ask = Decode(
            request=self._out.next_request(),
            route=self._routes.index,
            channel=self._channel,
            start=segment.window_start,
            end=end,
            padded=padded,
            language=self._languages.to_ask(segment, end),
            prefix=segment.prefix,
            options=options,
            priority=priority,
            keyterms=self._config.keyterms if self._routes.current.capabilities.keyterms else (),
        )
        self._asked = (ask, at)
        self._out.do(ask)

    def _context(self, start: int) -> list[HypothesisWord]:
        return context_before(start, self._settled_words, self._policy) if self._follows else []

    # --- answers -----------------------------------------------------------------------------------------------

    def answered(self, event: HypothesisReceived) -> bool:
        """Take an answer; False when it is not the one waited for (withdrawn, or another channel's)."""
        if self._asked is None or self._asked[0].request != event.request:
            return False
        ask, self._asked = self._asked[0], None
        segment = self._segments[0]
        segment.decoded_to, segment.retries = ask.end, Retries()
        whole = segment.end is not None and ask.end >= segment.end
        long = too_long(self._policy, segment, ask.end, self._routes.pace, interim=self._config.interim)
        verdict = self._languages.heard(segment, ask, event.hypothesis, whole=whole)
        if verdict is Verdict.AGAIN:
            segment.attempts += 1
            self._ask(event.at, segment, ask.priority)
            return True
        take = verdict is Verdict.TAKE
        words = usable(segment, ask, event, self._config.endpointing_ms, whole=whole) if take else None
        if words is None:
            segment.partial_decodes += 1
            if whole or long:
                segment.attempts += 1
                self._ask(event.at, segment, Priority.FINAL)
        elif whole:
            self._settle(segment, ask, event, words)
        elif long:
            self._cut(segment, ask, event, words)
        else:
            self._partial(segment, ask, event, words)
        self._advance(event.at)
        return True

    def failed(self, event: DecodeFailed, patience: int) -> bool | None:
        """Take a failure; None when it is not the one waited for, True when it can be lived with.

        ``patience``: for how many ms the engine may do nothing but fail.
        """
        if self._asked is None or self._asked[0].request != event.request:
            return None
        ask, self._asked = self._asked[0], None
        segment = self._segments[0]
        segment.attempts += 1
        long = too_long(self._policy, segment, ask.end, self._routes.pace, interim=self._config.interim)
        owed = segment.end is not None or long
        refused = event.code == QUEUE_FULL
        if not event.retryable or not segment.retries.failed(event.at, patience, owed=owed, refused=refused):
            return False
        if not owed:
            segment.decoded_to = ask.end  # a partial: the next step asks again
        self._advance(event.at)
        return True

    def retry(self, at: int) -> None:
        """Ask again for a decode that failed, if its pause is over."""
        if self.retry_at is not None:
            self._advance(at)

    def _partial(
        self, segment: OpenSegment, ask: Decode, event: HypothesisReceived, words: tuple[HypothesisWord, ...]
    ) -> None:
        window = ask.end - ask.start
        count, agreed = segment.agreement.update(words, window)
        if count and segment.held is None:
            segment.language = segment.language or event.hypothesis.language
        if ask.end - segment.start >= self._policy.soft_cut:
            cut = soft_boundary(words, count, self._policy)
            if cut:
                behind = ask.start + (words[cut - 1].end + words[cut].start) // 2
                self._settle(segment, ask, event, words[:cut], behind=behind)
                self._carry(ask, event, words[cut:], self._shown(segment, ask, words, cut, agreed))
                return
        segment.settle(words[:count])
        segment.partial_decodes += 1
        segment.last, segment.wavering = (ask, event), words[count:]
        segment.attempts = 1
        self._captions.show(segment, self._shown(segment, ask, words, count, agreed), event.hypothesis.language)

    def _shown(
        self, segment: OpenSegment, ask: Decode, words: tuple[HypothesisWord, ...], settled: int, agreed: int
    ) -> tuple[HypothesisWord, ...]:
        """The unstable words to show of an answer whose first words are settled, or at least agreed on."""
        paused = ask.end >= self._gate.speech_end + self._policy.shown_margin
        behind = max(0, agreed - settled)
        return segment.display.update(words[:settled], words[settled:], behind, ask.end - ask.start, paused=paused)

    # --- settling ----------------------------------------------------------------------------------------------

    def _cut(
        self, segment: OpenSegment, ask: Decode, event: HypothesisReceived, words: tuple[HypothesisWord, ...]
    ) -> None:
        """Settle the front of a segment that has grown too long for one window; the rest goes on as the next."""
        count, behind = segment.hard_boundary(words, ask.start, ask.end)
        _, agreed = segment.agreement.update(words, ask.end - ask.start)
        self._settle(segment, ask, event, words[:count], behind=behind)
        self._carry(ask, event, words[count:], self._shown(segment, ask, words, count, agreed))

    def _settle(
        self,
        segment: OpenSegment,
        ask: Decode,
        event: HypothesisReceived,
        words: tuple[HypothesisWord, ...],
        *,
        behind: int | None = None,
    ) -> None:
        """Make a segment final; with ``behind`` its rest from there on becomes the next segment."""
        segment.settle(words)
        end = min(at for at in (ask.end, behind, segment.end) if at is not None)
        source = decoded(self._routes.all[ask.route], ask, event)
        self._captions.finish(segment, source, event.hypothesis.language, end)
        self._segments.popleft()
        if segment.stable:
            self._languages.settled(segment, event.hypothesis.language)
        self._settled_words.extend(segment.standing)
        if behind is not None:
            rest = OpenSegment(start=max(behind, segment.stable_end), policy=self._policy)
            rest.end = None if segment.end is None else max(segment.end, rest.start)
            rest.speech_end = segment.speech_end
            self._segments.appendleft(rest)
        self._floor = max(self._floor, segment.stable_end)
        if self._segments and self._segments[0].start < segment.stable_end:
            self._segments[0].begin(segment.stable_end)
        self._release()

    def _release(self) -> None:
        """Let go of the sound that no decode will hear again."""
        self._released = max(self._released, self.safe - self._policy.context)
        self._out.do(Release(self._channel, self._released))

    def _carry(
        self,
        ask: Decode,
        event: HypothesisReceived,
        words: tuple[HypothesisWord, ...],
        shown: tuple[HypothesisWord, ...],
    ) -> None:
        """What was heard behind a cut goes on, unstable, as the next segment, and stays on the screen."""
        rest = self._segments[0]
        rest.follow(self._context(rest.start))
        rest.carry((ask, event), words, shown)
        self._captions.show(rest, rest.display.words, event.hypothesis.language)

    def _settle_without_decode(self, segment: OpenSegment) -> None:
        """A remnant too short to decode: what stands is its text."""
        if segment.last is not None and (segment.stable or segment.number is not None):
            self._settle(segment, *segment.last, ())
            return
        self._segments.popleft()
        self._release()
