"""The one door to CTranslate2: how its library is set up, and what it says of a device or of weights in our words."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from speechlane.errors import ConfigurationInvalid, EngineFailed, ModelUnavailable
from speechlane.local.program import command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DEVICES = ("cpu", "cuda", "auto")
WAIT_POLICY = "OMP_WAIT_POLICY"


def library() -> Any:
    """The module ``ctranslate2``.

    Its wheel brings GNU's OpenMP, whose threads spin while they wait for each other unless this is set before the first
    import. Where other programs want the cores, spinning keeps the very thread waited for from its core
    (benchmarks/reports/engine-threads.md). An operator's own value stays.
    """
    os.environ.setdefault(WAIT_POLICY, "PASSIVE")
    import ctranslate2  # noqa: PLC0415 - costs 0.1 s, which a command that only lists models should not pay

    return ctranslate2


def shares(device: str, threads: int, workers: int, cores: int | None = None) -> tuple[int, int]:
    """The threads of each worker, and the workers; 0 stands for what suits the device.

    On a CPU several workers of few threads do more than one of many: a small model's steps are too short to be shared
    out, and a thread that another program keeps waiting holds up only its own batch (measured on two cores:
    benchmarks/reports/engine-workers.md). ``cores``: those that this process may use, None to ask the system.
    """
    if device == "cuda":
        return threads, workers or 1
    cores = cores or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
    each = threads or (1 if cores <= 4 else 2 if cores <= 16 else 4)
    workers = workers or max(1, cores // each)
    return threads or max(1, cores // workers), workers


def open_whisper(folder: Path, *, model: str, device: str, compute_type: str, threads: int, workers: int = 1) -> Any:
    """A ``ctranslate2.models.Whisper``; ``auto`` takes a GPU where there is one.

    ``workers``: batches that it decodes at the same time, over the same weights (CTranslate2's ``inter_threads``).

    Raises:
        ConfigurationInvalid: ``unsupported_device`` or ``unsupported_compute_type``, not to be had on this machine.
        ModelUnavailable: ``model_unreadable``, the folder does not hold a model that CTranslate2 can load.
    """
    ctranslate2 = library()
    if device not in _DEVICES:
        raise ConfigurationInvalid(
            "unsupported_device",
            f"device: {device!r} is unknown. Use one of {', '.join(_DEVICES)}.",
            field="device",
            limit=list(_DEVICES),
        )
    if device == "cuda" and ctranslate2.get_cuda_device_count() == 0:
        raise ConfigurationInvalid(
            "unsupported_device",
            "device: cuda was asked for, and no NVIDIA GPU with a fitting driver is to be seen here. Use device cpu, "
            "or auto, which takes a GPU where there is one; inside a container start it with --gpus all.",
            field="device",
            limit=["cpu", "auto"],
        )
    try:
        return ctranslate2.models.Whisper(
            str(folder), device=device, compute_type=compute_type, intra_threads=threads, inter_threads=workers
        )
    except ValueError as error:
        raise ConfigurationInvalid(
            "unsupported_compute_type",
            f"compute_type: {compute_type!r} cannot be used on device {device!r} here: {error}. "
            "Use int8 on a CPU, float16 on a GPU, or auto.",
            field="compute_type",
        ) from error
    except RuntimeError as error:
        raise unreadable(folder, model, error) from error


def unreadable(folder: Path, model: str, error: Exception) -> ModelUnavailable:
    """The refusal of a folder whose files cannot be loaded."""
    return ModelUnavailable(
        "model_unreadable",
        f"{model}: the weights in {folder} cannot be loaded: {error}. "
        f"Run `{command(f'models verify {model}')}`, then `{command(f'models pull {model}')}`.",
    )


@contextmanager
def engine_errors() -> Iterator[None]:
    """The edge where what CTranslate2 raises while it works becomes EngineFailed ``engine_failed``."""
    try:
        yield
    except (RuntimeError, ValueError, MemoryError) as error:
        raise EngineFailed(
            "engine_failed", f"The speech model failed on this window: {error}. Try it again, or another engine."
        ) from error
