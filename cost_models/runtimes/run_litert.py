"""LiteRT (TensorFlow Lite) with its XNNPACK delegate; litert-torch converts, which takes long for each subnet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cost_models.measurements import Setup
from cost_models.runtimes.protocol import InputImages, Loaded, Runtime, check_input

if TYPE_CHECKING:
    from torch import nn


def load(subnet: nn.Module, images: InputImages, setup: Setup, folder: Path) -> Loaded:
    import litert_torch  # type: ignore[import-not-found, unused-ignore]
    import torch
    from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-not-found, unused-ignore]

    path = folder / "model.tflite"
    litert_torch.convert(subnet, (torch.from_numpy(images),)).export(str(path))
    interpreter = Interpreter(model_content=path.read_bytes(), num_threads=setup.threads)
    interpreter.allocate_tensors()
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
