"""The clips that live policies are compared on: English, with a text; learners of English apart."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.media.decode import read_pcm16

KINDS = ("read", "spontaneous", "talk")
LEARNERS = "so762"


@dataclass(frozen=True)
class Clip:
    """One recording, its samples (mono float32, 16 kHz) and what was said in it.

    ``parts``: the recordings that it was joined from, as positions of their starts and ends; none for one recording.
    """

    name: str
    samples: Samples
    text: str
    parts: tuple[tuple[int, int], ...] = ()

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE


def english(corpus: Path, *, learners: bool, count: int | None = None) -> list[Clip]:
    """The English read and spontaneous clips, or the learners', in an order that does not depend on the manifest's."""
    rows = [row for row in manifest(corpus) if row["language"] == "en" and row["text"] and row["kind"] in KINDS]
    rows = [row for row in rows if bool(row.get("accent")) == learners]
    random.Random(7).shuffle(rows)
    return [Clip(row["id"], read(corpus, row), spoken(row["text"])) for row in rows[:count]]


def joined(corpus: Path, name: str, *, seconds: float) -> Clip:
    """The recordings of a row of ``longform.json`` one behind the other, none pausing for the next."""
    rows = {row["id"]: row for row in manifest(corpus)}
    plans = json.loads((corpus / "longform.json").read_text(encoding="utf-8"))
    plan = next(plan for plan in plans if plan["id"] == name)
    samples = np.zeros(0, np.float32)
    texts, parts = [], []
    for clip in plan["clips"]:
        start = len(samples)
        if start >= seconds * SAMPLE_RATE:
            break
        samples = np.concatenate([samples, read(corpus, rows[clip])])
        texts.append(spoken(rows[clip]["text"]))
        parts.append((start, len(samples)))
    return Clip(name, samples, " ".join(texts), tuple(parts))


def manifest(corpus: Path) -> list[dict]:
    return [json.loads(line) for line in (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


def read(corpus: Path, row: dict) -> Samples:
    pcm = np.frombuffer(b"".join(read_pcm16(corpus / row["audio"])), "<i2")
    return (pcm / np.float32(32768)).astype(np.float32)


def spoken(text: str) -> str:
    """A reference without its marks for noises (``<VOCNOISE>``) and cut words (``[adif]``)."""
    return re.sub(r"<[^>]*>|\[[^\]]*\]", " ", text)
