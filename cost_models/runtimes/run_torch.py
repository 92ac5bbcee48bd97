"""PyTorch as it is served without a compiler: eager, in evaluation mode, under ``inference_mode``.

A compiled model (``torch.compile``, AOTInductor) is faster, but needs a C++ compiler where it is made, and is
compiled anew for each of the subnets that are measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cost_models.measurements import Setup
from cost_models.runtimes.protocol import InputImages, Loaded, Runtime
from supernet.errors import InputError

if TYPE_CHECKING:
    from torch import nn

EXACT = "ieee"
"""Float32 in oneDNN's kernels without TF32 or bf16 inside."""


def load(subnet: nn.Module, images: InputImages, setup: Setup, folder: Path) -> Loaded:
    import torch

    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[setup.precision]
    net = deepcopy(subnet).eval().to(kind)
    given = torch.from_numpy(images).to(kind)

    def run() -> Any:
        with torch.inference_mode():
            return net(given)

    threads = torch.get_num_threads()
    if threads != setup.threads:
        raise InputError(f"torch was asked for {setup.threads} threads and takes {threads}")
    reported: dict[str, str | int | float] = {
        "mode": "eager, inference_mode", "dtype": str(kind), "intra_op_threads": threads,
        "fp32_precision": kernels()[0].fp32_precision,
    }  # fmt: skip
    return Loaded(run, lambda: run().float().numpy(), reported)


@contextmanager
def pinned(setup: Setup) -> Iterator[None]:
    """Threads and exact float32 while subnets are measured; both are of the process, and are put back."""
    import torch

    threads, before = torch.get_num_threads(), [kernel.fp32_precision for kernel in kernels()]
    torch.set_num_threads(setup.threads)
    try:
        for kernel in kernels():
            kernel.fp32_precision = EXACT
        yield
    finally:
        torch.set_num_threads(threads)
        for kernel, precision in zip(kernels(), before, strict=True):
            kernel.fp32_precision = precision


def kernels() -> tuple[Any, ...]:
    """Where torch keeps how exact oneDNN's float32 is."""
    import torch

    settings: Any = torch.backends.mkldnn
    return settings.conv, settings.matmul


RUNTIME = Runtime("torch", ("torch",), ("fp32", "bf16"), load, pinned=pinned)
"""No int8: eager quantisation is no longer a part of torch."""
