"""What `doctor` looks at: each check says what it found and, where something is missing, the command that mends it."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import socket
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from speechlane.errors import ConfigurationInvalid, DigestMismatch, ModelUnavailable, NotFound, StorageFailed
from speechlane.settings import Settings, load_settings

Status = Literal["ok", "missing", "optional"]

LIBRARIES = {
    "ctranslate2": "ctranslate2",
    "faster-whisper": "faster_whisper",
    "onnxruntime": "onnxruntime",
    "kaldi-native-fbank": "kaldi_native_fbank",
    "av": "av",
    "soxr": "soxr",
    "dbos": "dbos",
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
}
"""Distributions that serving needs, with the module of each."""

FREE_BYTES = 1 << 30
"""Below this a data folder is called full: an hour of audio with its working copies takes about 350 MB."""

RESTORE_MODELS = "git checkout -- models/diarization, or install speechlane again"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. ``missing`` stands in the way; ``optional`` is missing for some uses only. ``mend`` is a command."""

    name: str
    status: Status
    found: str
    mend: str | None = None


def run_checks(config: Path | None, environ: Mapping[str, str] = os.environ) -> Iterator[Check]:
    """Every check in the order in which a newcomer would mend what fails."""
    yield Check("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    try:
        settings = load_settings(config=config, environ=environ)
        yield Check("configuration", "ok", "valid")
    except ConfigurationInvalid as error:
        settings = Settings()
        yield Check("configuration", "missing", f"{error.message} The checks below use the defaults.")
    yield from (library(*names) for names in LIBRARIES.items())
    yield weights(settings)
    yield diarization_models()
    yield data_folder(settings.data)
    yield port(settings.host, settings.port)
    yield gpu(needed=settings.device == "cuda")
    yield microphone()


def library(distribution: str, module: str) -> Check:
    """Whether a library can be imported, not only found: a binary for another machine shows only then."""
    from speechlane.local.onnx import TELEMETRY_SWITCH

    os.environ.setdefault(TELEMETRY_SWITCH, "1")
    try:
        importlib.import_module(module)
        return Check(distribution, "ok", importlib.metadata.version(distribution))
    except (ImportError, OSError) as error:
        return Check(distribution, "missing", str(error), "make setup")


def weights(settings: Settings) -> Check:
    """Whether the model that the settings name lies in the store with its pinned digests."""
    from speechlane.local.program import command
    from speechlane.local.weights import open_model

    mend = command(f"models pull {settings.model}")
    try:
        folder = open_model(settings.model, settings.models)
    except (DigestMismatch, ModelUnavailable, StorageFailed) as error:
        return Check("weights", "missing", error.message, mend)
    except NotFound as error:
        return Check("weights", "missing", error.message, command("models list"))
    return Check("weights", "ok", f"{settings.model}@{folder.pin.revision[:7]}, digests right, in {folder.path}")


def diarization_models() -> Check:
    """Whether the diarizer's two small models came with the installation, unchanged."""
    from speechlane.local.resources import models_folder
    from speechlane.local.weights import sha256_of

    try:
        folder = models_folder() / "diarization"
        manifest = tomllib.loads((folder / "manifest.toml").read_text(encoding="utf-8"))
        pins = [(model["file"], model["sha256"]) for model in manifest.values()]
        wrong = [name for name, digest in pins if sha256_of(folder / name) != digest]
    except (OSError, KeyError, ValueError, ModelUnavailable) as error:
        return Check("diarization", "missing", f"no manifest of its models: {error}", RESTORE_MODELS)
    if wrong:
        return Check("diarization", "missing", f"not as pinned: {', '.join(wrong)} in {folder}", RESTORE_MODELS)
    return Check("diarization", "ok", f"{len(pins)} models, digests right")


def data_folder(folder: Path) -> Check:
    """Whether the folder, or the nearest one above that exists, can be written and has room."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Check("data", "missing", f"{folder} cannot be written", "speechlane serve --data DIR")
    free = shutil.disk_usage(there).free
    found = f"{folder}, {free / 1e9:.1f} GB free"
    if free < FREE_BYTES:
        return Check("data", "missing", f"{found}, less than {FREE_BYTES / 1e9:.1f}", "speechlane serve --data DIR")
    return Check("data", "ok", found)


def port(host: str, number: int) -> Check:
    """Whether `serve` could listen; a port that is taken may be a server that runs already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), number))
        except OSError as error:
            found = f"{host}:{number}: {error.strerror or error}; perhaps a server runs there already"
            return Check("port", "optional", found, "speechlane serve --port 0")
    return Check("port", "ok", f"{host}:{number} is free")


def gpu(*, needed: bool) -> Check:
    """Whether CTranslate2 sees a CUDA device, which the settings may ask for."""
    try:
        count = int(importlib.import_module("ctranslate2").get_cuda_device_count())
    except (ImportError, OSError):
        count = 0
    if count:
        return Check("gpu", "ok", f"{count} CUDA device{'s' if count > 1 else ''}")
    if needed:
        return Check("gpu", "missing", "device is cuda and none is visible", "SPEECHLANE_DEVICE=cpu speechlane serve")
    return Check("gpu", "optional", "none visible; speech runs on the CPU")


def microphone() -> Check:
    """Whether `live --mic` could work."""
    try:
        importlib.import_module("sounddevice")
    except (ImportError, OSError) as error:
        return Check("microphone", "optional", f"sounddevice: {error}", f"{sys.executable} -m pip install sounddevice")
    return Check("microphone", "ok", f"sounddevice {importlib.metadata.version('sounddevice')}")
