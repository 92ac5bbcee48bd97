"""LiteRT (TensorFlow Lite): one flatbuffer for a fixed number of images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet.errors import InputError
from supernet.formats.protocol import (
    ExportFormat,
    Logits,
    NetworkInputs,
    Opened,
    Reading,
    ToWrite,
    in_fixed_batches,
)
from supernet.quiet import quietly

if TYPE_CHECKING:
    from torch import Tensor, nn

MODEL_TFLITE = "model.tflite"


def write_tflite(material: ToWrite, folder: Path) -> None:
    convert_to_tflite(material.subnet, material.example, folder / MODEL_TFLITE)


def convert_to_tflite(subnet: nn.Module, images: Tensor, path: Path) -> None:
    """Write a subnet for images of the shape of ``images``."""
    with quietly():
        import litert_torch  # type: ignore[import-not-found, unused-ignore]

        litert_torch.convert(subnet, (images,)).export(str(path))


def interpreter_of(path: Path, threads: int) -> Any:
    """With its XNNPACK delegate, ready to run. Raises InputError for a file that is no model."""
    from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-not-found, unused-ignore]

    try:
        with quietly():
            made = Interpreter(model_content=path.read_bytes(), num_threads=threads)
            made.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"LiteRT cannot load {path}: {error}") from error
    return made


@contextmanager
def opened_tflite(reading: Reading) -> Iterator[Opened]:
    assert reading.batch is not None
    made = interpreter_of(reading.folder / MODEL_TFLITE, reading.threads)
    given, answer = made.get_input_details()[0]["index"], made.get_output_details()[0]["index"]

    def run(images: NetworkInputs) -> Logits:
        made.set_tensor(given, images)
        made.invoke()
        found: Logits = made.get_tensor(answer)
        return found

    def bound(images: NetworkInputs) -> Any:
        made.set_tensor(given, images)
        return made.invoke

    yield Opened(in_fixed_batches(run, reading.batch), bound)


FORMAT = ExportFormat(
    "litert", "LiteRT's flatbuffer, for phones and microcontrollers", MODEL_TFLITE,
    ("litert-torch", "ai-edge-litert"), write_tflite, opened_tflite, batch=1, any_batch=False,
    runtime=("ai-edge-litert",), extra="litert", note=" (in an environment of its own)",
    needs_room=True,
)  # fmt: skip
