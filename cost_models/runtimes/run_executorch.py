"""ExecuTorch with its XNNPACK delegate; lowering takes long for each subnet."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from cost_models.measurements import Setup
from cost_models.runtimes.protocol import InputImages, Loaded, Runtime
from supernet.formats.executorch_file import ProgramMethod, lowered_to_xnnpack, pool_threads, threads_of_pool

if TYPE_CHECKING:
    from torch import nn


def load(subnet: nn.Module, images: InputImages, setup: Setup, folder: Path) -> Loaded:
    import torch

    given = torch.from_numpy(images)
    method = ProgramMethod.of(lowered_to_xnnpack(subnet, given))
    reported: dict[str, str | int | float] = {
        "delegate": "XNNPACK", "dtype": "float32", "pool_threads": pool_threads(),
    }  # fmt: skip
    return Loaded(lambda: method(given), lambda: method(given).numpy().copy(), reported)


def pinned(setup: Setup) -> AbstractContextManager[None]:
    """Threads of the process's pool, put back afterwards. Raises InputError where they are not what was asked for."""
    return threads_of_pool(setup.threads)


RUNTIME = Runtime("executorch", ("executorch",), ("fp32",), load, extra="executorch", pinned=pinned)
