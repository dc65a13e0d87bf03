"""What the benchmarks play: real clips joined to streams, and what an offline run of the same model hears in them."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.audio.gate import GateSettings
from speechlane.batch.chunking import ChunkRules, plan_chunks
from speechlane.engine import DecodeRequest
from speechlane.local.silero import SileroGate
from speechlane.local.weights import open_model
from speechlane.local.whisper import WhisperDecoder
from speechlane.media import read_pcm16
from speechlane.scoring import ReferenceWord
from speechlane.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES = REPOSITORY / "src" / "speechlane" / "samples"
KINDS = ("read", "spontaneous", "talk")
LEAD_S, TAIL_S = 0.5, 1.0
PAUSES_S = (1.0, 2.0)
WINDOW = 30 * SAMPLE_RATE


@dataclass(frozen=True)
class Clip:
    """A recording of one utterance or a few; ``text`` None where nobody wrote down what is said."""

    name: str
    kind: str
    text: str | None
    samples: Samples


@dataclass(frozen=True)
class Stream:
    """Clips with pauses between them, as one session plays them.

    ``reference``: the words of the offline run, at their times in the stream; ``said``: the written text.
    """

    pcm: bytes
    reference: tuple[ReferenceWord, ...]
    said: str | None
    clips: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / SAMPLE_RATE

    @property
    def offline(self) -> str:
        return " ".join(word.text for word in self.reference)


class OfflineRun:
    """The model that is measured live, run over whole clips: greedy, speech gate on, windows of 30 s."""

    def __init__(self, settings: Settings) -> None:
        self.folder = open_model(settings.model, settings.models)
        self._decoder = WhisperDecoder(
            self.folder.path,
            model=self.folder.pin.name,
            revision=self.folder.pin.revision,
            digest=self.folder.pin.digest,
            device=settings.device,
            compute_type=settings.compute_type,
        )
        self._gate = SileroGate()
        self._rules = ChunkRules(gate=GateSettings(endpointing_ms=160, frame_samples=self._gate.frame_samples))

    def words(self, samples: Samples) -> list[ReferenceWord]:
        """The words of a recording in English, times in seconds from its start."""
        found = []
        for chunk in plan_chunks(self._gate.score_all(samples), len(samples), self._rules):
            window = samples[chunk.span.start : chunk.span.end]
            (heard,) = self._decoder.decode_batch([DecodeRequest(window, WINDOW, "en")])
            found += [
                ReferenceWord(
                    word.text.strip(),
                    (chunk.span.start + word.start) / SAMPLE_RATE,
                    (chunk.span.start + word.end) / SAMPLE_RATE,
                )
                for word in heard.words
            ]
        return found

    def close(self) -> None:
        """Free the model, so that what is measured has the machine to itself."""
        self._decoder.close()


def corpus_folder(given: Path | None) -> Path:
    """Where the recordings lie: as given, else SPEECHLANE_CORPUS."""
    folder = given or Path(os.environ.get("SPEECHLANE_CORPUS", ""))
    if not (folder / "manifest.jsonl").is_file():
        raise SystemExit(f"no manifest.jsonl in {folder}: give --corpus FOLDER or set SPEECHLANE_CORPUS")
    return folder


def read_clips(corpus: Path, *, learners: bool) -> list[Clip]:
    """English clips with a plain text, those of learners or all others, in an order that a seed fixes.

    The few spontaneous ones are spread evenly, so that any stretch of the order holds its share.
    """
    rows = [json.loads(line) for line in (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["language"] == "en" and row["kind"] in KINDS and row["text"]]
    rows = [row for row in rows if bool(row.get("accent")) == learners and not set("[<") & set(row["text"])]
    random.Random(7).shuffle(rows)
    rare = [row for row in rows if row["kind"] == "spontaneous"]
    order = [row for row in rows if row["kind"] != "spontaneous"]
    for number, row in enumerate(rare):
        order.insert(3 + number * 12, row)
    return [Clip(row["id"], row["kind"], row["text"], read_samples(corpus / row["audio"])) for row in order]


def bundled_clips() -> list[Clip]:
    """Speech that ships with the program."""
    jfk = (SAMPLES / "jfk.txt").read_text(encoding="utf-8").strip()
    return [
        Clip("jfk", "talk", jfk, read_samples(SAMPLES / "jfk.wav")),
        Clip("two_speakers", "conversation", None, read_samples(SAMPLES / "two_speakers.wav")),
    ]


def read_samples(path: Path) -> Samples:
    """A file as mono float32 at 16 kHz."""
    pcm = np.frombuffer(b"".join(read_pcm16(path)), "<i2")
    return (pcm / np.float32(32_768)).astype(np.float32)


def make_streams(clips: Iterable[Clip], offline: OfflineRun, count: int, seconds: float) -> list[Stream]:
    """Streams of at least so many seconds, each of clips of its own; fewer streams when the clips run out."""
    waiting = list(clips)
    streams = []
    for number in range(count):
        chosen: list[Clip] = []
        while waiting and _length(chosen) < seconds:
            chosen.append(waiting.pop(0))
        if _length(chosen) < seconds and streams:
            break
        streams.append(join(chosen, offline, seed=number))
    return streams


def rotated(clips: Sequence[Clip], by: int) -> list[Clip]:
    """The same clips, begun with another one."""
    by %= len(clips)
    return [*clips[by:], *clips[:by]]


def take(clips: Iterable[Clip], seconds: float) -> list[Clip]:
    """The first clips that together make a stream of so many seconds."""
    chosen: list[Clip] = []
    for clip in clips:
        if _length(chosen) >= seconds:
            break
        chosen.append(clip)
    return chosen


def join(clips: Sequence[Clip], offline: OfflineRun, *, seed: int) -> Stream:
    """The clips as one stream: half a second of silence before, one behind, 1 to 2 s between."""
    chance = random.Random(seed)
    pieces: list[Samples] = [_silence(LEAD_S)]
    reference: list[ReferenceWord] = []
    for number, clip in enumerate(clips):
        if number:
            pieces.append(_silence(chance.uniform(*PAUSES_S)))
        start = sum(map(len, pieces)) / SAMPLE_RATE
        reference += [
            ReferenceWord(word.text, start + word.start, start + word.end) for word in offline.words(clip.samples)
        ]
        pieces.append(clip.samples)
    pieces.append(_silence(TAIL_S))
    samples = np.concatenate(pieces)
    said = None if any(clip.text is None for clip in clips) else " ".join(clip.text or "" for clip in clips)
    return Stream(
        (samples * 32_768).round().astype("<i2").tobytes(),
        tuple(reference),
        said,
        tuple(clip.name for clip in clips),
    )


def _length(clips: Sequence[Clip]) -> float:
    """About how many seconds the clips make as a stream."""
    return sum(len(clip.samples) / SAMPLE_RATE + sum(PAUSES_S) / 2 for clip in clips)


def _silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)
