"""Where the files of ``models/`` lie: beside the package when installed, at the root of a checkout otherwise."""

from __future__ import annotations

from pathlib import Path

import speechlane
from speechlane.errors import ModelUnavailable


def models_folder() -> Path:
    """The folder of model pins (``NAME.toml``) and of ``diarization/``; only read.

    Raises:
        ModelUnavailable: ``resources_missing`` when the installation lacks it.
    """
    package = Path(speechlane.__file__).resolve().parent
    for folder in (package / "_models", package.parents[1] / "models"):
        if folder.is_dir():
            return folder
    raise ModelUnavailable(
        "resources_missing",
        f"The installation in {package} holds no model pins (_models). Install speechlane again.",
    )
