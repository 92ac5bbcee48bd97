"""OpenVINO's IR in 8 bits, by NNCF's post-training quantisation."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from supernet.bundles.onnx_export import export_onnx
from supernet.formats.checking import validation_top1
from supernet.formats.openvino_ir import MODEL_XML, opened_ir
from supernet.formats.protocol import AccuracyBound, ExportFormat, QuantisedAs, ToWrite
from supernet.quantising.choosing import CHOSEN_ON, calibration_inputs
from supernet.quantising.onnx_quantising import CalibrationInputs
from supernet.quiet import quietly

NNCF_METHODS: Mapping[str, tuple[str, str | None]] = {
    "least and greatest values, asymmetric": ("MIXED", "MINMAX"),
    "histograms, asymmetric": ("MIXED", "HISTOGRAM"),
    "NNCF's defaults": ("PERFORMANCE", None),
}
"""NNCF's preset, and what the range of an activation is made of; of equally good ones the first is kept."""


def write_ir_int8(material: ToWrite, folder: Path) -> QuantisedAs:
    """By the method that is best on validation images; each has signed weights by channel, and corrects biases."""
    assert material.data is not None
    images = calibration_inputs(material.data, material.resolution)
    tried: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
        path = Path(scratch) / "model.onnx"
        export_onnx(material.subnet, material.channels, material.resolution, path, material.batch)
        for name, (preset, ranges) in NNCF_METHODS.items():
            quantise_ir(path, Path(scratch) / MODEL_XML, images, material.batch or 1, preset, ranges)
            top1 = validation_top1(opened_ir, Path(scratch), material)
            if not tried or top1 > max(tried.values()):
                best = name
                for file in (MODEL_XML, "model.bin"):
                    shutil.copyfile(Path(scratch) / file, folder / file)
            tried[name] = top1
    return QuantisedAs(
        method=f"nncf post-training, per channel, {best}",
        calibration_images=len(images),
        in_float={"what NNCF leaves out": "OpenVINO has no kernels of it in 8 bits"},
        tried=tried,
        validation_images=min(CHOSEN_ON, len(material.data.validation)),
    )


def quantise_ir(
    source: Path, target: Path, images: CalibrationInputs, batch: int, preset: str, ranges: str | None
) -> None:
    with quietly(), quiet_nncf() as nncf:
        import openvino as ov  # type: ignore[import-not-found, import-untyped, unused-ignore]
        from nncf.quantization.range_estimator import (  # type: ignore[import-not-found, unused-ignore]
            RangeEstimatorParametersSet,
        )

        advanced = nncf.AdvancedQuantizationParameters(
            **{"activations_range_estimator_params": getattr(RangeEstimatorParametersSet, ranges)}
            if ranges
            else {}
        )
        made = nncf.quantize(
            ov.Core().read_model(str(source)),
            nncf.Dataset([image[None].repeat(batch, axis=0) for image in images]),
            preset=nncf.QuantizationPreset[preset],
            subset_size=len(images),
            advanced_parameters=advanced,
        )
        ov.save_model(made, str(target), compress_to_fp16=False)


@contextmanager
def quiet_nncf() -> Iterator[Any]:
    """NNCF, whose log says which ranges it measures otherwise."""
    import nncf  # type: ignore[import-not-found, unused-ignore]

    log = logging.getLogger("nncf")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield nncf
    finally:
        log.setLevel(before)


FORMAT = ExportFormat(
    "openvino-int8", "OpenVINO's IR in 8 bits, for Intel's and other processors", MODEL_XML, ("openvino", "nncf"),
    write_ir_int8, opened_ir, runtime=("openvino",), extra="openvino-int8",
    bound=AccuracyBound(points=1, agreement=0.9), in_float="openvino",
)  # fmt: skip
