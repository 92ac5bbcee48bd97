"""What TensorRT builds an engine from: ONNX, and the optimisation profile of its batch in JSON.

An engine is of one GPU and one version of TensorRT, so it is built where it runs: ``profile.json`` has the command.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path

from supernet import documents
from supernet.bundles.ports import INPUT
from supernet.formats.onnx_file import MODEL_ONNX, opened_onnx, write_onnx
from supernet.formats.protocol import ExportFormat, Opened, Reading, ToWrite

PROFILE = "profile.json"
BATCHES = {"min": 1, "opt": 8, "max": 32}
"""Of a model that takes any number of images."""


def write_for_tensorrt(material: ToWrite, folder: Path) -> None:
    write_onnx(material, folder)
    sizes = BATCHES if material.batch is None else dict.fromkeys(BATCHES, material.batch)
    image = (material.channels, material.resolution, material.resolution)
    shapes = {end: [batch, *image] for end, batch in sizes.items()}
    command = f"trtexec --onnx={MODEL_ONNX} --saveEngine=model.plan"
    if material.batch is None:
        command += "".join(
            f" --{end}Shapes={INPUT}:{'x'.join(map(str, shape))}" for end, shape in shapes.items()
        )
    profile = {"input": INPUT, "shapes": shapes, "precision": "fp32", "command": command}
    documents.write_text(folder / PROFILE, json.dumps(profile, indent=2) + "\n")


def opened_for_tensorrt(reading: Reading) -> AbstractContextManager[Opened]:
    """The ONNX file in ONNX Runtime: that much can be checked without a GPU."""
    return opened_onnx(reading)


FORMAT = ExportFormat(
    "tensorrt", "ONNX and an optimisation profile, for NVIDIA's TensorRT", MODEL_ONNX, ("onnx",), write_for_tensorrt,
    opened_for_tensorrt, runtime=("onnxruntime",), takes_opset=True,
    not_run="TensorRT was not run, which needs an NVIDIA GPU; its ONNX was compared in ONNX Runtime",
)  # fmt: skip
