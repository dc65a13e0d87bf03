"""The diarizer's models are loaded only as pinned."""

from __future__ import annotations

import hashlib
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from speechlane.errors import DigestMismatch, ModelUnavailable
from speechlane.local.diarizer import LocalDiarizer
from speechlane.local.diarizer_models import WINDOW_FRAMES, SegmentationModel, of_mel_frames, read_manifest

pytestmark = pytest.mark.unit


@pytest.fixture
def folder(repository: Path, tmp_path: Path) -> Path:
    """A copy of the manifest and of the smaller model."""
    for name in ("manifest.toml", "segmentation-3.0.onnx"):
        shutil.copy(repository / "models" / "diarization" / name, tmp_path)
    return tmp_path


def test_the_manifest_tells_the_truth(repository: Path) -> None:
    """Size, digest, licence and source of each file in the repository are as the manifest says, and none is untold."""
    folder = repository / "models" / "diarization"
    manifest = tomllib.loads((folder / "manifest.toml").read_text(encoding="utf-8"))
    for entry in manifest.values():
        content = (folder / entry["file"]).read_bytes()
        assert len(content) == entry["bytes"]
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert entry["licence"] in {"MIT", "Apache-2.0"}
        assert entry["file"] in (folder / "THIRD_PARTY_LICENSES").read_text(encoding="utf-8")
    assert {entry["file"] for entry in manifest.values()} == {path.name for path in folder.glob("*.onnx")}


def test_a_changed_model_is_refused(folder: Path) -> None:
    """A model with one more byte than pinned is not loaded; the error names file, both digests and the way out."""
    path = folder / "segmentation-3.0.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DigestMismatch, match=r"segmentation-3.0.onnx .*119139b9f693.*Restore") as refused:
        SegmentationModel(read_manifest(folder)["segmentation"])
    assert refused.value.field == "segmentation-3.0.onnx"


def test_a_missing_model_is_told(folder: Path) -> None:
    """A model that is not there is an error with the next step, not a traceback from below."""
    (folder / "segmentation-3.0.onnx").unlink()
    with pytest.raises(ModelUnavailable, match="Restore models/diarization") as missing:
        SegmentationModel(read_manifest(folder)["segmentation"])
    assert missing.value.code == "diarizer_unavailable"


@pytest.mark.parametrize("content", [None, "", "segmentation = 3", "[segmentation]\nname = 'x'", "not toml ["])
def test_a_bad_manifest_is_told(tmp_path: Path, content: str | None) -> None:
    """Without a manifest that names both models there is no diarizer."""
    if content is not None:
        (tmp_path / "manifest.toml").write_text(content, encoding="utf-8")
    with pytest.raises(ModelUnavailable, match="manifest"):
        LocalDiarizer(tmp_path)


def test_frames_of_both_networks_meet_in_time() -> None:
    """Each log-mel frame takes the answer of the segmentation frame in which its middle lies."""
    frames = np.zeros(WINDOW_FRAMES, dtype=np.bool_)
    frames[100:200] = True
    taken = np.flatnonzero(of_mel_frames(frames))
    # Frame 100 of the segmentation begins at 360 + 100 x 270 samples; log-mel frame i is centred at 160 x i + 200.
    assert 160 * taken[0] + 200 >= 27_360 > 160 * (taken[0] - 1) + 200
    assert 160 * taken[-1] + 200 < 54_360 <= 160 * (taken[-1] + 1) + 200
    assert len(of_mel_frames(frames)) == 998
    assert of_mel_frames(np.ones(WINDOW_FRAMES, dtype=np.bool_)).all()
