"""LiteRT's flatbuffer in 8 bits, by the quantizer that litert-torch brings; images and logits stay in float32."""

from __future__ import annotations

import tempfile
from pathlib import Path

from supernet.formats.litert_file import MODEL_TFLITE, convert_to_tflite, interpreter_of, opened_tflite
from supernet.formats.protocol import AccuracyBound, ExportFormat, QuantisedAs, ToWrite
from supernet.quantising.choosing import calibration_inputs
from supernet.quantising.onnx_quantising import CalibrationInputs
from supernet.quiet import quietly

OF_OWN_FLOAT = {"images and logits": "they are what the caller has and wants"}


def write_tflite_int8(material: ToWrite, folder: Path) -> QuantisedAs:
    assert material.data is not None
    images = calibration_inputs(material.data, material.resolution)
    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
        path = Path(scratch) / MODEL_TFLITE
        convert_to_tflite(material.subnet, material.example, path)
        quantise_tflite(path, folder / MODEL_TFLITE, images, material.batch or 1)
    return QuantisedAs("ai-edge-quantizer static, per channel", len(images), OF_OWN_FLOAT)


def quantise_tflite(source: Path, target: Path, images: CalibrationInputs, batch: int) -> None:
    """Weights by channel and activations by tensor in 8 bits, ranges from least to greatest values."""
    signatures = interpreter_of(source, 1).get_signature_list()
    (signature, ports), *_ = signatures.items()
    inputs = [{ports["inputs"][0]: image[None].repeat(batch, axis=0)} for image in images]
    with quietly():
        from ai_edge_quantizer import quantizer, recipe  # type: ignore[import-not-found, unused-ignore]
        from ai_edge_quantizer.algorithm_manager import (  # type: ignore[import-not-found, unused-ignore]
            AlgorithmName,
        )
        from ai_edge_quantizer.qtyping import TFLOperationName  # type: ignore[import-not-found, unused-ignore]

        made = quantizer.Quantizer(str(source))
        made.load_quantization_recipe(recipe.static_wi8_ai8())
        for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
            made.update_quantization_recipe(".*", end, algorithm_key=AlgorithmName.NO_QUANTIZE)
        found = made.quantize(made.calibrate({signature: inputs}, num_threads=1))
        target.write_bytes(found.quantized_model)


FORMAT = ExportFormat(
    "litert-int8", "LiteRT's flatbuffer in 8 bits, for phones and microcontrollers", MODEL_TFLITE,
    ("litert-torch", "ai-edge-litert", "ai-edge-quantizer"), write_tflite_int8, opened_tflite, batch=1, any_batch=False,
    runtime=("ai-edge-litert",), extra="litert", note=" (in an environment of its own)",
    bound=AccuracyBound(points=1, agreement=0.9), in_float="litert",
)  # fmt: skip
