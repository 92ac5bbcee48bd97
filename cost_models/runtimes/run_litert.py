"""LiteRT (TensorFlow Lite) with its XNNPACK delegate; litert-torch converts, which takes long for each subnet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cost_models.measurements import Setup
from cost_models.runtimes.protocol import InputImages, Loaded, Runtime, check_input
from supernet.formats.litert_file import convert_to_tflite, interpreter_of

if TYPE_CHECKING:
    from torch import nn


def load(subnet: nn.Module, images: InputImages, setup: Setup, folder: Path) -> Loaded:
    import torch

    path = folder / "model.tflite"
    convert_to_tflite(subnet, torch.from_numpy(images), path)
    interpreter = interpreter_of(path, setup.threads)
    given, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    check_input([int(side) for side in given["shape"]], images, "the model that was converted for litert")
    interpreter.set_tensor(given["index"], images)

    def logits() -> Any:
        interpreter.invoke()
        return interpreter.get_tensor(answer["index"])

    return Loaded(interpreter.invoke, logits, {"delegate": "XNNPACK", "dtype": given["dtype"].__name__})


RUNTIME = Runtime(
    "litert", ("ai-edge-litert", "litert-torch"), ("fp32",), load, extra="litert",
    note=" (in an environment of its own: litert-torch needs an older typing_extensions than the versions in "
    "constraints.txt)",
)  # fmt: skip
