"""Decodes kept between runs: a sweep asks for the same windows again and again, and the machine is shared.

Keyed by a digest of the samples, the padded length, language, prefix, options, the model's pin and the libraries'
versions. Lies outside the repository; whoever changes how the decoder reads its answers deletes it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import asdict
from pathlib import Path

import numpy as np

from speechlane.audio import Samples
from speechlane.engine import DecodeRequest, Hypothesis, HypothesisWord
from speechlane.local.silero import SileroGate
from speechlane.local.weights import open_model
from speechlane.local.whisper import WhisperDecoder
from speechlane.settings import load_settings

DEFAULT = Path.home() / ".cache" / "speechlane" / "benchmarks" / "decodes.sqlite"


class CachedEngine:
    """A decoder and a speech gate that answer from the cache where they can.

    ``decoded`` counts the decodes that the model had to make.
    """

    def __init__(self, model: str, path: Path = DEFAULT) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._rows = sqlite3.connect(path, isolation_level=None, timeout=60)
        self._rows.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value TEXT)")
        folder = open_model(model, load_settings().models)
        self.decoder = WhisperDecoder(folder.path, model=model, revision=folder.pin.revision, digest=None)
        self.gate = SileroGate()
        self.decoded = 0
        self._engine = str(self.decoder.identity)

    def decode(self, request: DecodeRequest) -> Hypothesis:
        options = (request.padded_samples, request.language, request.prefix, request.options)
        key = self._key(request.samples, f"{self._engine} {options}")
        kept = self._get(key)
        if kept is None:
            self.decoded += 1
            (hypothesis,) = self.decoder.decode_batch([request])
            self._put(key, asdict(hypothesis))
            return hypothesis
        kept["words"] = tuple(HypothesisWord(**{**word, "tokens": tuple(word["tokens"])}) for word in kept["words"])
        del kept["figures"]
        return Hypothesis(**kept)

    def scores(self, samples: Samples) -> tuple[float, ...]:
        """The speech probability of each whole frame."""
        key = self._key(samples, self.gate.version)
        kept = self._get(key)
        if kept is None:
            kept = [float(score) for score in self.gate.scorer().score(samples)]
            self._put(key, kept)
        return tuple(kept)

    def _key(self, samples: Samples, about: str) -> str:
        return hashlib.sha256(np.ascontiguousarray(samples).tobytes() + about.encode()).hexdigest()

    def _get(self, key: str):  # noqa: ANN202 - whatever JSON holds
        row = self._rows.execute("SELECT value FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def _put(self, key: str, value: object) -> None:
        self._rows.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, json.dumps(value)))
