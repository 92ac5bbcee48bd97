"""What goes into every bundle beside the model: programs and source that need no oncefit, and what they are tested with."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from supernet import documents
from supernet.archs.arch import Arch
from supernet.evaluating.onnx_sessions import network_in
from supernet.families.catalog import PreprocessingKeys, Supernet
from supernet.images.image_folder import read_image
from supernet.images.images import Images, ready, stacked
from supernet.messages import Say
from supernet.networks.network_source import Untraceable, check_source, source_of

PREDICT, NETWORK = "predict.py", "network.py"
TEST_IMAGE, TEST_ANSWER = "selftest.png", "selftest.json"
PROGRAMS = (PREDICT, NETWORK, TEST_IMAGE, TEST_ANSWER)
TEST_SIZE = (160, 118)
"""Pixels of the test image, which is no square, so that resizing and cropping show."""
SELF_TEST_TOLERANCE = 1e-3
"""How far the test image's logits may be, of the distance between the best and the worst one."""
INT8_SELF_TEST_TOLERANCE = 0.1
"""The same in int8, where a value that rounds to another step on another processor moves all after it."""


def write_programs(
    folder: Path,
    subnet: nn.Module,
    supernet: Supernet,
    arch: Arch,
    how: PreprocessingKeys,
    say: Say,
    in_int8: Path | None = None,
) -> tuple[str, ...]:
    """Write them for a subnet in eval mode, or for its file in int8; returns the names of what was written.

    A network whose forward pass depends on its input has no ``network.py``, which is said.
    """
    channels = supernet.layers(arch)[0].in_channels
    (folder / PREDICT).write_bytes(files("supernet.bundles.standalone").joinpath(PREDICT).read_bytes())
    answers, tolerance = (
        (subnet, SELF_TEST_TOLERANCE) if in_int8 is None else (network_in(in_int8), INT8_SELF_TEST_TOLERANCE)
    )
    write_self_test(folder, answers, tolerance, channels, arch.resolution, how)
    example = torch.randn(
        1, channels, arch.resolution, arch.resolution, generator=torch.Generator().manual_seed(0)
    )
    try:
        source = source_of(subnet, f"Arch {arch.id} of {supernet.name}.", channels, arch.resolution)
        check_source(source, subnet, example)
    except Untraceable as error:
        say(f"the bundle has no {NETWORK}: {error}")
        return (PREDICT, TEST_IMAGE, TEST_ANSWER)
    documents.write_text(folder / NETWORK, source)
    return PROGRAMS


def write_self_test(
    folder: Path,
    answers: Callable[[Tensor], Tensor],
    tolerance: float,
    channels: int,
    resolution: int,
    how: PreprocessingKeys,
) -> None:
    """A drawn image, so that no bundle holds one of somebody's, and what the network makes of it."""
    from PIL import Image

    with_image = folder / TEST_IMAGE
    Image.fromarray(test_pattern()).save(with_image, optimize=True)
    image = stacked([read_image(with_image, channels)])
    inputs, _ = ready(Images(image, torch.zeros(1, dtype=torch.int64)), how).batch(
        slice(0, 1), resolution, how
    )
    with torch.no_grad():
        logits = answers(inputs)[0]
    answer: dict[str, Any] = {
        "image": TEST_IMAGE,
        **{f"input_{name}": found.tolist() for name, found in kept_of(inputs[0].double()).items()},
        "logits": logits.tolist(),
        "allowed": tolerance * max(float(logits.max() - logits.min()), SELF_TEST_TOLERANCE),
    }
    documents.write_text(folder / TEST_ANSWER, json.dumps(answer, indent=2) + "\n")


def kept_of(inputs: Tensor) -> dict[str, Tensor]:
    """What is kept of an input (channels, side, side): mean and deviation of each channel, a diagonal and a row.

    A transposed image has the same of all but the row.
    """
    return {
        "mean": inputs.mean((1, 2)),
        "std": inputs.std((1, 2), correction=0),
        "diagonal": inputs.diagonal(dim1=1, dim2=2),
        "row": inputs[:, inputs.shape[1] // 3],
    }


def test_pattern() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Pixels (height, width, 3): slopes, waves that get finer, and squares, so that any other resizing shows."""
    width, height = TEST_SIZE
    x, y = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    waves = 127.5 + 127.5 * np.sin(40 * x * x + 9 * y)
    squares = 255.0 * ((16 * x).astype(int) + (12 * y).astype(int) & 1)
    slope = 255 * (0.7 * x + 0.3 * y)
    return np.stack([slope, waves, squares], axis=-1).astype(np.uint8)
