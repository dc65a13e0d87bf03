"""ONNX Runtime is opened through one door, with its telemetry off."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from speechlane.local.onnx import TELEMETRY_SWITCH

pytestmark = pytest.mark.unit


def test_the_library_is_imported_with_its_telemetry_off():
    """A fresh process that opens the gate's model has the switch set before ONNX Runtime is loaded."""
    program = (
        "import os, sys\n"
        "from speechlane.local.silero import SileroGate\n"
        "class Watch:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name == 'onnxruntime': print('seen', os.environ.get('{TELEMETRY_SWITCH}'))\n"
        "sys.meta_path.insert(0, Watch())\n"
        "SileroGate()\n"
    )
    clean = {name: value for name, value in os.environ.items() if name != TELEMETRY_SWITCH}
    run = subprocess.run([sys.executable, "-c", program], env=clean, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[0] == "seen 1"


def test_no_other_module_imports_the_library(repository):
    """Who imports ONNX Runtime elsewhere would go around the switch."""
    importing = [
        path.name
        for path in (repository / "src").rglob("*.py")
        if re.search(r"^\s*(import|from) onnxruntime", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert importing == ["onnx.py"]
