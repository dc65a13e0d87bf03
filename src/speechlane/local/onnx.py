"""The one door to ONNX Runtime: small networks, one thread, this machine's processor, nothing told to anyone."""

from __future__ import annotations

import os
from typing import Any

TELEMETRY_SWITCH = "ORT_DISABLE_TELEMETRY"


def inference_session(model: bytes) -> Any:
    """An ``onnxruntime.InferenceSession`` of a serialized model.

    One thread: more do not help networks so small, and sessions and jobs share the machine. Without a memory arena:
    70 MB less that would be kept for good, for under 5 % of the time.

    Raises:
        Exception: what ONNX Runtime raises for bytes that are no model; its exceptions share no other base.
    """
    # Its wheels carry a telemetry client that is on unless this is set before the first import.
    os.environ.setdefault(TELEMETRY_SWITCH, "1")
    import onnxruntime  # noqa: PLC0415 - costs 0.1 s, which only a command that hears audio should pay

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
