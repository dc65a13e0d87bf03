"""The recordings with known turns: the two-speaker sample, meeting clips, and joins of several minutes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.diarization import Turn, parse_rttm

REPOSITORY = Path(__file__).resolve().parents[2]
REPORTS = REPOSITORY / "benchmarks" / "reports"
MEETINGS = ("EN2001a", "EN2001b", "EN2001d", "EN2001e", "EN2003a", "ES2003a", "ES2003b")


@dataclass(frozen=True)
class Clip:
    """One recording and who speaks when in it."""

    name: str
    samples: Samples
    turns: tuple[Turn, ...]

    @property
    def speakers(self) -> int:
        return len({turn.speaker for turn in self.turns})


def corpus_folder() -> Path:
    """Where the corpus lies: SPEECHLANE_CORPUS, or beside the checkout."""
    return Path(os.environ.get("SPEECHLANE_CORPUS", REPOSITORY.parent / "shared" / "corpus"))


def clips(corpus: Path) -> Iterator[Clip]:
    """The bundled conversation and the first 30 s of seven AMI meetings, turns where words are."""
    samples = REPOSITORY / "src" / "speechlane" / "samples"
    yield _clip("two speakers (bundled)", samples / "two_speakers.wav", samples / "two_speakers.rttm")
    for meeting in MEETINGS:
        name = f"ami_{meeting}_000_030"
        yield _clip(f"AMI {meeting}", corpus / "audio" / f"{name}.wav", corpus / "rttm" / f"{name}.rttm")


def joins(corpus: Path) -> Iterator[Clip]:
    """Recordings of several minutes, put together from clips as the corpus says; one turn a clip that is read."""
    lines = (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    entries = {entry["id"]: entry for entry in map(json.loads, lines)}
    for join in json.loads((corpus / "longform.json").read_text(encoding="utf-8")):
        pieces: list[Samples] = []
        turns: list[Turn] = []
        position = 0
        for name in join["clips"]:
            entry = entries[name]
            samples = read(corpus / entry["audio"])
            turns += _turns_of_piece(corpus, entry, samples, position)
            gap = np.zeros(round(join["gap_seconds"] * SAMPLE_RATE), dtype=np.float32)
            pieces += [samples, gap]
            position += len(samples) + len(gap)
        yield Clip(join["id"], np.concatenate(pieces), tuple(turns))


def _turns_of_piece(corpus: Path, entry: dict[str, str], samples: Samples, position: int) -> list[Turn]:
    if not entry.get("rttm"):
        return [Turn(position, position + len(samples), entry["speaker"])]
    (turns,) = parse_rttm((corpus / entry["rttm"]).read_text(encoding="utf-8")).values()
    # Speakers of two meetings are other people, whatever they are called.
    return [Turn(turn.start + position, turn.end + position, f"{entry['id']} {turn.speaker}") for turn in turns]


def _clip(name: str, audio: Path, rttm: Path) -> Clip:
    (turns,) = parse_rttm(rttm.read_text(encoding="utf-8")).values()
    return Clip(name, read(audio), turns)


def read(path: Path) -> Samples:
    samples, rate = soundfile.read(path, dtype="float32")
    if rate != SAMPLE_RATE or samples.ndim != 1:
        message = f"{path} is not mono at 16 kHz"
        raise SystemExit(message)
    return samples
