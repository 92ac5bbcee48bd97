"""OpenVINO's IR in 8 bits, by NNCF's post-training quantisation."""

from __future__ import annotations

import tempfile
from pathlib import Path

from supernet.bundles.onnx_export import export_onnx
from supernet.formats.openvino_ir import MODEL_XML, opened_ir
from supernet.formats.protocol import AccuracyBound, ExportFormat, QuantisedAs, ToWrite
from supernet.quantising.choosing import calibration_inputs
from supernet.quiet import quietly


def write_ir_int8(material: ToWrite, folder: Path) -> QuantisedAs:
    """With NNCF's own defaults: signed weights by channel, activations by tensor, biases corrected."""
    import openvino as ov  # type: ignore[import-not-found, import-untyped, unused-ignore]

    assert material.data is not None
    images = calibration_inputs(material.data, material.resolution)
    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch, quietly():
        import nncf  # type: ignore[import-not-found, unused-ignore]

        path = Path(scratch) / "model.onnx"
        export_onnx(material.subnet, material.channels, material.resolution, path, material.batch)
        one_each = nncf.Dataset([image[None].repeat(material.batch or 1, axis=0) for image in images])
        made = nncf.quantize(ov.Core().read_model(str(path)), one_each, subset_size=len(images))
        ov.save_model(made, str(folder / MODEL_XML), compress_to_fp16=False)
    return QuantisedAs(
        method="nncf post-training, per channel",
        calibration_images=len(images),
        in_float={"what NNCF leaves out": "NNCF quantises what OpenVINO has kernels in 8 bits for"},
    )


FORMAT = ExportFormat(
    "openvino-int8", "OpenVINO's IR in 8 bits, for Intel's and other processors", MODEL_XML, ("openvino", "nncf"),
    write_ir_int8, opened_ir, runtime=("openvino",), extra="openvino-int8",
    bound=AccuracyBound(points=1, agreement=0.9), in_float="openvino",
)  # fmt: skip
