"""Formats by name."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping

from supernet.errors import InputError, unknown
from supernet.formats.protocol import ExportFormat

EXPORT_FORMATS: Mapping[str, str] = {
    "onnx": "supernet.formats.onnx_file",
    "torch-export": "supernet.formats.torch_export",
    "openvino": "supernet.formats.openvino_ir",
    "litert": "supernet.formats.litert_file",
    "executorch": "supernet.formats.executorch_file",
    "tensorrt": "supernet.formats.tensorrt_onnx",
    "ncnn": "supernet.formats.ncnn_files",
    "coreml": "supernet.formats.coreml_package",
    "onnx-int8": "supernet.formats.onnx_int8_file",
    "openvino-int8": "supernet.formats.openvino_int8",
    "litert-int8": "supernet.formats.litert_int8",
    "hf": "supernet.formats.hugging_face",
}
"""Modules with a ``FORMAT`` each; they import what they need when they are asked to write or read."""


def export_format(name: str) -> ExportFormat:
    """The format of a name, installed or not. Raises InputError for an unknown name."""
    if name not in EXPORT_FORMATS:
        raise unknown("format", name, EXPORT_FORMATS)
    found = importlib.import_module(EXPORT_FORMATS[name]).FORMAT
    assert isinstance(found, ExportFormat)
    return found


def export_formats(names: str | Iterable[str]) -> tuple[ExportFormat, ...]:
    """Formats by names, as ``onnx,openvino`` or a list, each once. Raises InputError for an unknown one, or for none."""
    given = names.split(",") if isinstance(names, str) else list(names)
    wanted = dict.fromkeys(name.strip() for name in given)
    if not [name for name in wanted if name]:
        raise InputError(
            f"--format: got {names!r}; give one or more of {', '.join(EXPORT_FORMATS)}, with commas"
        )
    return tuple(map(export_format, wanted))
