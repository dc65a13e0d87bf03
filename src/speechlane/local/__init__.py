"""What runs on this machine: weights by digest, Whisper behind one dispatcher, the speech gate, the diarizer."""

import os

# ONNX Runtime's wheels carry a telemetry client that is on by default; what runs here stays here. It reads the variable
# when it is first imported, which only this room does.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
