"""What a session is made of before its first sample: the client's wishes, the policy, the limits, the route."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from speechlane.router import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig:
    """The client's ``session.start``, checked.

    ``timelines``: channels kept apart (1 when mixed). ``sample_rate`` (Hz) and ``bytes_per_frame`` describe the
    client's own stream, for ``audio.ack``; 0 in a container, whose bytes tell no position. ``language``:
    canonical BCP-47 tag, None to detect.
    """

    encoding: str
    sample_rate: int
    bytes_per_frame: int
    timelines: int = 1
    language: str | None = None
    interim: bool = True
    words: bool = True
    endpointing_ms: int = 500
    diarize: Literal["none", "channel"] = "none"
    keyterms: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePolicy:
    """How lag is traded against error; positions in samples at 16 kHz. Recorded with every session.

    A word is settled when two successive hypotheses agree on it (LocalAgreement-2: Liu et al. 2020; Macháček et al.
    2023) and it ends some way before the window's end: ``sure_margin`` where both give it ``sure_probability`` or more;
    ``edge_margin`` where one gives it ``doubtful_probability`` or less, or none; between them in proportion. Unless it
    is sure, ``hold_words`` words must stand behind it.
    """

    step: int = 6_400
    """New audio between two partial decodes of a segment."""
    first_window: int = 8_000
    """Speech heard before a segment's first decode."""
    edge_margin: int = 12_800
    sure_margin: int = 1_600
    doubtful_probability: float = 0.5
    sure_probability: float = 0.95
    hold_words: int = 2
    shown_margin: int = 3_200
    """So much silence behind a word says that it is whole."""
    shown_probability: float = 0.65
    """An unstable word is shown from this probability on, or once two hypotheses agree on it, or once it ends
    twice `edge_margin` before the window's end (`shown_margin` where the engine gives no probabilities)."""
    pre_roll: int = 4_800
    """Audio before the gate's start that a segment takes in: onsets are soft."""
    post_roll: int = 3_200
    """Audio behind the gate's end that a segment takes in."""
    context: int = 3 * 16_000
    """Sound before a segment whose settled words its windows begin with, when the language is known."""
    soft_cut: int = 5 * 16_000
    """From this length on a segment ends at the next agreed sentence end or pause between words."""
    hard_cut: int = 13 * 16_000
    """At this length a window is cut at the best word boundary."""
    finals_cut: int = 6 * 16_000
    """The same of a segment of which few partials are made, or none: nothing else bounds its lag."""
    max_window: int = 14 * 16_000
    """No decode sees more than this."""
    cut_pause: int = 4_000
    """A gap between words that counts as a pause for a soft cut."""
    cut_margin: int = 12_800
    """A cut keeps this far from the window's end, where times and words are unsure."""
    padding: tuple[int, ...] = (15 * 16_000, 20 * 16_000, 30 * 16_000)
    """Lengths that windows are padded to: the first that leaves `padding_margin`."""
    partial_padding: tuple[int, ...] = (10 * 16_000, 15 * 16_000, 20 * 16_000, 30 * 16_000)
    """The same of windows that end amid speech: they only have to agree with each other, and are most of the work."""
    padding_margin: int = 3 * 16_000
    """Silence behind a window: less makes the decoder loop (benchmarks/reports/engine-padding.md)."""
    overlap: int = 2 * 16_000
    """Settled sound that a route hears once more when it takes over."""
    unheard: int = 12_800
    """Speech at a segment's end that an answer may leave without a word before it is decoded again: without context,
    then with the longest padding."""
    language_probability: float = 0.85
    """From this probability on a detected language is believed at once."""
    language_window: int = 38_400
    """With so much of a segment heard, a detection is believed from `language_doubtful` on."""
    language_doubtful: float = 0.5
    context_tokens: int = 100
    """Tokens of settled words that a window may begin with."""
    stream_attempts: int = 3
    """Streams in a row that break before they tell anything until the engine counts as failed."""
    no_speech_probability: float = 0.6
    """Over this a window without settled words held no speech. Of tiny.en: real clips gave 0.32 at most, noise, hum,
    clicks, chords and silence 0.83 at least. Whisper's rule also wants a low log-probability, which " You" lacks."""
    words_per_second: int = 8
    """More, and one on top, nobody says: the fastest speakers reach 7."""
    tokens_per_second: int = 15
    """Bound of an answer's length, with a few tokens on top: fast speech has 6 to 8 tokens a second, a loop no end."""

    def padded(self, samples: int, *, going_on: bool) -> int:
        """The length a window of ``samples`` is padded to: a function of the window alone, so that it replays."""
        for length in self.partial_padding if going_on else self.padding:
            if samples + self.padding_margin <= length:
                return length
        return self.padding[-1]

    def max_tokens(self, samples: int) -> int:
        """The bound on an answer about ``samples``."""
        return 16 + self.tokens_per_second * samples // 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """Bounds told to the client in ``session.started``; times in ms."""

    max_session_ms: int = 14_400_000
    max_session_bytes: int = 1 << 32
    """What a session may hold on the disk: its log, and of its audio what is kept (a container as a whole)."""
    idle_timeout_ms: int = 60_000
    max_frame_bytes: int = 1_048_576
    stall_ms: int = 2_000
    """No audio for this long amid speech: what was heard is settled (a muted microphone sends nothing)."""
    ack_every_ms: int = 1_000
    resume_window_ms: int = 0
    """How long a session waits for a client whose connection was lost; 0: it is settled and closed at once."""
    engine_timeout_ms: int = 60_000
    """An engine that has not answered for this long has stalled; one that only failed for so long has failed."""
    failover_ms: int = 5_000
    """The same where another route stands by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHead:
    """All that a session's messages depend on besides its events; the first line of its log."""

    session: str
    tenant: str
    started_at: str
    """UTC, RFC 3339 with milliseconds."""
    software: str
    config: SessionConfig
    policy: LivePolicy
    limits: SessionLimits
    routes: tuple[Route, ...]
    """In order of preference, at least one: the next takes over when one fails."""
    frame_samples: int
    """Samples that one speech score covers."""
    preprocess_digest: str
    resume_token: str | None = None
    """What a client shows to resume the session; None where `SessionLimits.resume_window_ms` is 0."""
    fallback: Literal["never", "before_text", "anytime"] = "anytime"
    """When the next route may take over: never, until the first text was settled, or anytime."""
