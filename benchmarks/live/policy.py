"""Commit policies compared: what the live core settles, when, and how right, on real speech in scripted time.

The real engine and the real gate, but no clock: an answer comes a fixed audio time after its request, so that a run
measures the policy and not the machine, and can be repeated. Words are matched by edit distance to one offline greedy
decode of the same clip (speech gate on), whose word ends are the reference for lag.

    python benchmarks/live/policy.py CORPUS [--clips 12] [--latency-ms 250] [--set edge_margin=12800 ...]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import jiwer
import numpy as np

from speechlane.audio import Samples, position_to_ms
from speechlane.engine import DecodeRequest, Hypothesis
from speechlane.live import Session, events
from speechlane.live.actions import Close, Decode, Send, Withdraw
from speechlane.live.config import LivePolicy, SessionConfig, SessionHead, SessionLimits
from speechlane.local.silero import SileroGate
from speechlane.local.weights import open_model
from speechlane.local.whisper import WhisperDecoder
from speechlane.media.decode import read_pcm16
from speechlane.router import Route
from speechlane.settings import load_settings

BLOCK = 1024
KINDS = ("read", "spontaneous", "talk")
NORMAL = jiwer.Compose(
    [
        jiwer.ToLowerCase(),
        jiwer.RemovePunctuation(),
        jiwer.RemoveMultipleSpaces(),
        jiwer.Strip(),
        jiwer.ReduceToListOfListOfWords(),
    ]
)


def clips(corpus: Path, count: int) -> list[dict]:
    """English clips with a text, learners apart, in an order that does not depend on the corpus's."""
    rows = [json.loads(line) for line in (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [r for r in rows if r["language"] == "en" and r["text"] and r["kind"] in KINDS and not r.get("accent")]
    rows = [r for r in rows if "[" not in r["text"] and "<" not in r["text"]]
    random.Random(7).shuffle(rows)
    return rows[:count]


class Lane:
    """One clip through the core in scripted time."""

    def __init__(
        self, samples: Samples, decoder: WhisperDecoder, gate: SileroGate, policy: LivePolicy, latency: int
    ) -> None:
        self.samples, self.decoder, self.latency = samples, decoder, latency
        self.scorer = gate.scorer()
        config = SessionConfig(encoding="pcm_f32le", sample_rate=16_000, bytes_per_frame=4, language="en")
        head = SessionHead(
            session="bench",
            tenant="bench",
            started_at="2026-01-01T00:00:00.000Z",
            software="bench",
            config=config,
            policy=policy,
            limits=SessionLimits(),
            routes=(Route(decoder.identity, decoder.capabilities, "bench"),),
            frame_samples=gate.frame_samples,
            preprocess_digest="",
        )
        self.session = Session(head)
        self.waiting: list[tuple[int, Decode]] = []
        self.position, self.decodes, self.closed = 0, 0, False
        self.finals: list[dict] = []
        self.settled: list[tuple[int, str]] = []  # (ms when settled, word)
        self.first: list[tuple[int, list[str]]] = []
        self.stable: dict[int, int] = {}
        self.revised = self.shown_words = 0
        self.last_shown: dict[int, list[str]] = {}

    def run(self) -> Lane:
        self.feed(events.SessionStarted(0))
        tail = np.zeros(16_000, np.float32)
        audio = np.concatenate([self.samples, tail])
        for start in range(0, len(audio) - BLOCK, BLOCK):
            self.position = start + BLOCK
            scores = self.scorer.score(audio[start : start + BLOCK])
            self.audio = audio
            self.feed(events.AudioReceived(self.at, self.position, self.position * 4, (scores,)))
            while self.waiting and self.waiting[0][0] <= self.position:
                self.answer(self.waiting.pop(0)[1])
        self.feed(events.FinishRequested(self.at))
        while self.waiting:
            due, ask = self.waiting.pop(0)
            self.position = max(self.position, due)
            self.answer(ask)
        return self

    @property
    def at(self) -> int:
        return position_to_ms(self.position)

    def answer(self, ask: Decode) -> None:
        self.decodes += 1
        request = DecodeRequest(
            self.audio[ask.start : ask.end], ask.padded, ask.language, ask.prefix, ask.options, ask.priority
        )
        (hypothesis,) = self.decoder.decode_batch([request])
        self.feed(events.HypothesisReceived(self.at, ask.request, hypothesis, ""))

    def feed(self, event: events.Event) -> None:
        for action in self.session.receive(event):
            match action:
                case Decode():
                    self.waiting.append((self.position + self.latency, action))
                case Withdraw():
                    self.waiting = [item for item in self.waiting if item[1].request != action.request]
                case Send() if action.message["type"] == "caption.partial":
                    self.partial(action.message)
                case Send() if action.message["type"] == "caption.final":
                    self.final(action.message)
                case Close():
                    self.closed = True

    def partial(self, message: dict) -> None:
        segment = message["segment"]
        words = [word["text"] for word in message["words"]]
        stable = sum(word["stable"] for word in message["words"])
        self.settle(segment, words[:stable])
        self.revise(segment, words)

    def final(self, message: dict) -> None:
        words = [word["text"] for word in message["words"]]
        self.settle(message["segment"], words)
        self.revise(message["segment"], words)
        self.finals.append(message)

    def settle(self, segment: int, words: list[str]) -> None:
        for word in words[self.stable.get(segment, 0) :]:
            self.settled.append((self.at, word))
        self.stable[segment] = len(words)

    def revise(self, segment: int, words: list[str]) -> None:
        before = self.last_shown.get(segment, [])
        self.revised += sum(1 for i, word in enumerate(before) if i >= len(words) or words[i] != word)
        self.last_shown[segment] = words

    @property
    def text(self) -> str:
        return " ".join(final["text"] for final in self.finals)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--latency-ms", type=int, default=250)
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="fields of LivePolicy")
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    policy = replace(LivePolicy(), **{k: int(v) for k, v in (item.split("=") for item in options.set)})
    folder = open_model("tiny.en", load_settings().models)
    decoder = WhisperDecoder(folder.path, model="tiny.en", revision=None, digest=None)
    gate = SileroGate()
    reference, live, offline, lags, decodes, revised, words, seconds = [], [], [], [], 0, 0, 0, 0.0
    for row in clips(options.corpus, options.clips):
        samples = (
            np.frombuffer(b"".join(read_pcm16(options.corpus / row["audio"])), "<i2") / np.float32(32768)
        ).astype(np.float32)
        lane = Lane(samples, decoder, gate, policy, options.latency_ms * 16).run()
        (whole,) = decoder.decode_batch([DecodeRequest(samples[: 30 * 16_000], 480_000, "en")])
        reference.append(row["text"])
        live.append(lane.text)
        offline.append(whole.text)
        lags += lag(lane, whole)
        decodes += lane.decodes
        revised += lane.revised
        words += sum(len(final["words"]) for final in lane.finals)
        seconds += len(samples) / 16_000
        if options.show:
            print(f"{row['id']}\n  ref  {row['text']}\n  live {lane.text}\n  off  {whole.text}", file=sys.stderr)
    rate = {name: jiwer.wer(reference, hyp, NORMAL, NORMAL) for name, hyp in (("live", live), ("offline", offline))}
    lags.sort()
    print(
        f"{' '.join(options.set) or 'defaults'} | live WER {rate['live']:.3f} | offline WER {rate['offline']:.3f} | "
        f"settled p50 {statistics.median(lags):.2f} s p95 {lags[int(len(lags) * 0.95)]:.2f} s | "
        f"revised/word {revised / words:.2f} | decodes/s {decodes / seconds:.2f} | {seconds:.0f} s of audio"
    )


def lag(lane: Lane, whole: Hypothesis) -> list[float]:
    """Seconds from a word's end (offline) to the moment it was settled, for the words that match."""
    ours, theirs = [word for _, word in lane.settled], [word.text for word in whole.words]
    fold = [["".join(c for c in word.lower() if c.isalnum()) or "-" for word in words] for words in (theirs, ours)]
    if not fold[0] or not fold[1]:
        return []
    result = jiwer.process_words(" ".join(fold[0]), " ".join(fold[1]))
    lags = []
    for chunk in result.alignments[0]:
        if chunk.type == "equal":
            for offset in range(chunk.ref_end_idx - chunk.ref_start_idx):
                settled = lane.settled[chunk.hyp_start_idx + offset][0] / 1000
                lags.append(settled - whole.words[chunk.ref_start_idx + offset].end / 16_000)
    return lags


if __name__ == "__main__":
    main()
