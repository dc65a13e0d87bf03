"""Do keyterms help on names, and what do they harm? Names recovered, WER, and what is heard in silence and noise.

    python benchmarks/engine/keyterms.py --model FOLDER [--corpus FOLDER] > report

Each clip of English read and spontaneous speech is decoded greedily, as the live lane does it: without keyterms, with
the names of its own book or talk (what a session's owner would send), with those of all books at once, and with names
that nobody says. A name counts as heard when its words stand in the text, in order, whatever their case.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import jiwer
import numpy as np
import soundfile
import soxr

from speechlane.audio import SAMPLE_RATE, Samples
from speechlane.engine import DecodeOptions, DecodeRequest, Hypothesis
from speechlane.live.config import LivePolicy
from speechlane.local.whisper import WhisperDecoder

REPOSITORY = Path(__file__).resolve().parents[2]

BOOKS = {
    "fleurs_en": ("Sintra", "Lord Byron"),
    "lj_": ("Gutenberg",),
    "ls_to_1688": ("Margaret", "Mr. Hale", "Thornton", "Helstone"),
    "ls_to_1998": ("apomorphine", "emetic", "rigor mortis", "minims"),
    "ls_to_2033": ("Zau al Makan", "Nuzhat al Zaman", "Allah", "eunuch", "distichs"),
    "ls_to_2414": ("Zarathustra", "kine"),
    "ls_to_2609": ("Moses", "Lincoln", "Merneptah", "Joseph", "Ephraim", "Manasseh", "Benjamin", "Judah", "Hebrews"),
    "ps_": ("John Dashwood",),
}
"""The names and rare words of each book or talk, by how its clips' ids begin; read off the references."""
EVERY_NAME = tuple(name for names in BOOKS.values() for name in names)
NOT_SAID = (
    "Speechlane",
    "Kowalczyk",
    "Ouagadougou",
    "Brunhilde",
    "Xiaomei",
    "Tegucigalpa",
    "Fitzwilliam",
    "Popocatepetl",
)

NORMAL = jiwer.Compose(
    [
        jiwer.ToLowerCase(),
        jiwer.SubstituteRegexes({r"\bmr\b\.?": "mister", "[-\u2013\u2014]": " ", r"[^\w\s']": ""}),
        jiwer.RemoveMultipleSpaces(),
        jiwer.Strip(),
        jiwer.ReduceToListOfListOfWords(),
    ]
)


@dataclass
class Tally:
    """What one list of keyterms did over all clips."""

    references: list[str] = field(default_factory=list)
    hypotheses: list[str] = field(default_factory=list)
    plain_references: list[str] = field(default_factory=list)
    plain_hypotheses: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    said: int = 0
    wrong_names: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def row(self, name: str) -> str:
        """One line of the report's table."""
        return (
            f"| {name} | {len(self.heard)} of {self.said} | {len(self.wrong_names)} "
            f"| {wer(self.references, self.hypotheses):.1f} | {wer(self.plain_references, self.plain_hypotheses):.1f} "
            f"| {1000 * np.mean(self.seconds):.0f} |"
        )


def wer(references: list[str], hypotheses: list[str]) -> float:
    """Word error rate in percent."""
    return 100 * jiwer.wer(references, hypotheses, reference_transform=NORMAL, hypothesis_transform=NORMAL)


def folded(text: str) -> str:
    """A text as words between single spaces, with a space at both ends."""
    (words,) = NORMAL([text])
    return f" {' '.join(words)} "


def decode(decoder: WhisperDecoder, samples: Samples, keyterms: tuple[str, ...]) -> tuple[Hypothesis, float]:
    """One window's hypothesis and the seconds it took; a loop is decoded again as the live lane does it."""
    policy = LivePolicy()
    began = time.perf_counter()
    for loops in range(3):
        request = DecodeRequest(
            samples,
            policy.padding[-1] if loops else policy.padded(len(samples), going_on=False),
            "en",
            options=DecodeOptions(repetition_guard=loops == 2, max_tokens=policy.max_tokens(len(samples))),
            keyterms=keyterms,
        )
        (heard,) = decoder.decode_batch([request])
        if not (heard.repetitive or heard.truncated):
            break
    return heard, time.perf_counter() - began


def lists(clip_id: str) -> dict[str, tuple[str, ...]]:
    """The lists of keyterms that are tried on a clip."""
    own = next((names for start, names in BOOKS.items() if clip_id.startswith(start)), ())
    return {"none": (), "of its own book": own, "of all books": EVERY_NAME, "that nobody says": NOT_SAID}


def measure_speech(decoder: WhisperDecoder, corpus: Path) -> dict[str, Tally]:
    """Tallies by list of keyterms."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    manifest = [json.loads(line) for line in (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    for clip in manifest:
        if clip["language"] != "en" or clip["kind"] not in {"read", "spontaneous"} or "speechocean" in clip["source"]:
            continue
        samples, rate = soundfile.read(corpus / clip["audio"], dtype="float32", always_2d=True)
        samples = soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE).astype(np.float32)
        reference = folded(clip["text"])
        said = [name for name in EVERY_NAME if folded(name) in reference]
        for name, keyterms in lists(clip["id"]).items():
            heard, seconds = decode(decoder, samples, keyterms)
            tally, text = tallies[name], folded(heard.text)
            tally.seconds.append(seconds)
            tally.references.append(clip["text"])
            tally.hypotheses.append(heard.text)
            if not said:
                tally.plain_references.append(clip["text"])
                tally.plain_hypotheses.append(heard.text)
            tally.said += len(said)
            tally.heard += [term for term in said if folded(term) in text]
            tally.wrong_names += [
                f"{clip['id']}: {term}" for term in EVERY_NAME + NOT_SAID if term not in said and folded(term) in text
            ]
    return tallies


def sounds() -> dict[str, Samples]:
    """Five seconds each of what holds no speech."""
    count = 5 * SAMPLE_RATE
    noise = np.random.default_rng(3)
    seconds = np.arange(count) / SAMPLE_RATE
    clicks = np.zeros(count)
    clicks[:: SAMPLE_RATE // 2] = 0.8
    kinds = {
        "silence": np.zeros(count),
        "faint noise": 0.001 * noise.standard_normal(count),
        "loud noise": 0.1 * noise.standard_normal(count),
        "hum": 0.1 * np.sin(2 * np.pi * 50 * seconds),
        "chord": 0.1 * sum(np.sin(2 * np.pi * pitch * seconds) for pitch in (262, 330, 392)),
        "clicks": clicks,
    }
    return {name: sound.astype(np.float32) for name, sound in kinds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="folder with a CTranslate2 Whisper model")
    parser.add_argument(
        "--corpus", type=Path, default=os.environ.get("SPEECHLANE_CORPUS", REPOSITORY.parent / "shared" / "corpus")
    )
    arguments = parser.parse_args()
    decoder = WhisperDecoder(arguments.model, model=arguments.model.parent.name, revision=None, digest=None)
    tallies = measure_speech(decoder, Path(arguments.corpus))
    print(f"{decoder.identity.model}, {decoder.identity.engine_version}, {decoder.identity.compute_type}.\n")
    print("## Speech\n")
    print("| keyterms | names heard | names heard that were not said | WER % | WER % of clips without names | ms |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, tally in tallies.items():
        print(tally.row(name))
    print()
    for name, tally in tallies.items():
        print(f"- {name}: heard {', '.join(tally.heard)}; not said {', '.join(tally.wrong_names) or 'none'}")
    print("\n## No speech\n\n| sound | without keyterms | with those of all books |\n| --- | --- | --- |")
    for name, samples in sounds().items():
        answers = [decode(decoder, samples, keyterms)[0] for keyterms in ((), EVERY_NAME)]
        cells = [f"{heard.text.strip()[:60]!r}, no speech {heard.no_speech_probability:.2f}" for heard in answers]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
