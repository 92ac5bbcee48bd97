"""ONNX in 8 bits, as pairs of QuantizeLinear and DequantizeLinear (QDQ), by and for ONNX Runtime."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from supernet.bundles.onnx_export import export_onnx
from supernet.formats.onnx_file import MODEL_ONNX, opened_onnx
from supernet.formats.protocol import AccuracyBound, ExportFormat, QuantisedAs, ToWrite
from supernet.quantising.choosing import CALIBRATED_ON, best_quantised
from supernet.quantising.method import QUANTISING_METHODS, QuantisingMethod
from supernet.quantising.onnx_layers import layers_in_8_bits, nodes_of_first_two_convolutions


def write_onnx_int8(material: ToWrite, folder: Path) -> QuantisedAs:
    """By the method that is best on validation images, with the first two convolutions in float32 where that is better."""
    data, side = material.data, material.resolution
    assert data is not None
    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
        path, careful = Path(scratch) / MODEL_ONNX, Path(scratch) / "careful.onnx"
        export_onnx(material.subnet, material.channels, side, path, material.batch, material.opset)
        tried = best_quantised(path, folder / MODEL_ONNX, data, side, QUANTISING_METHODS)
        if first := nodes_of_first_two_convolutions(path):
            method = dataclasses.replace(tried[0].method, float_nodes=first)
            tried += best_quantised(path, careful, data, side, [method])
            if tried[-1].accuracy.top1 > tried[0].accuracy.top1:
                tried = (tried[-1], *tried[:-1])
                shutil.copyfile(careful, folder / MODEL_ONNX)
    best = tried[0]
    return QuantisedAs(
        method=f"onnxruntime QDQ, {best.method}",
        calibration_images=min(CALIBRATED_ON, len(data.calibration)),
        in_float=left_in_float(folder / MODEL_ONNX, best.method),
        tried={str(one.method): one.accuracy.top1 for one in tried},
        validation_images=best.accuracy.images,
    )


def left_in_float(path: Path, method: QuantisingMethod) -> dict[str, str]:
    """Names of layers, or types of nodes, and why they are in float32."""
    found = layers_in_8_bits(path)
    chosen = {name: "best so on validation images" for name in found.in_float if name in method.float_nodes}
    by_type = Counter(found.other_in_float)
    return chosen | {
        f"{kind} ({count})": "ONNX Runtime has no kernel of it in 8 bits" for kind, count in by_type.items()
    }


FORMAT = ExportFormat(
    "onnx-int8", "ONNX in 8 bits, for ONNX Runtime", MODEL_ONNX, ("onnx",), write_onnx_int8, opened_onnx,
    runtime=("onnxruntime",), bound=AccuracyBound(points=1, agreement=0.9), in_float="onnx",
)  # fmt: skip
