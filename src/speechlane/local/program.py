"""How this program is called, for errors that name the command to run next."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def command(arguments: str) -> str:
    """A command line of the program that can be copied: by the path it was called by where its name is not enough.

    ``speechlane`` stands in wherever another program uses this package.
    """
    called = sys.argv[0]
    by_path = Path(called).name == "speechlane" and shutil.which("speechlane") != called
    return f"{called if by_path else 'speechlane'} {arguments}"
