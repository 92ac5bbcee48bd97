"""ExecuTorch with its XNNPACK delegate; lowering takes long for each subnet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cost_models.measurements import Setup
from cost_models.runtimes.protocol import InputImages, Loaded, Runtime
from supernet.errors import InputError

if TYPE_CHECKING:
    from torch import nn


def load(subnet: nn.Module, images: InputImages, setup: Setup, folder: Path) -> Loaded:
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import (  # type: ignore[import-not-found, unused-ignore]
        XnnpackPartitioner,
    )
    from executorch.exir import to_edge_transform_and_lower  # type: ignore[import-not-found, unused-ignore]
    from executorch.runtime import Runtime as Engine  # type: ignore[import-not-found, unused-ignore]

    given = torch.from_numpy(images)
    exported = torch.export.export(subnet, (given,))
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
    call = MethodCall.of(lowered.buffer, given, Engine.get())
    reported: dict[str, str | int | float] = {
        "delegate": "XNNPACK", "dtype": "float32", "pool_threads": threads_in_use(),
    }  # fmt: skip
    return Loaded(call, lambda: call().numpy().copy(), reported)


@dataclass(frozen=True)
class MethodCall:
    """A method on its images, with what it reads where that lies: a buffer that is freed makes it fail."""

    method: Any
    images: Any
    program: Any
    buffer: bytes

    @classmethod
    def of(cls, buffer: bytes, images: Any, engine: Any) -> MethodCall:
        program = engine.load_program(buffer)
        return cls(program.load_method("forward"), images, program, buffer)

    def __call__(self) -> Any:
        return self.method.execute([self.images])[0]


def threads_in_use() -> int:
    from executorch.extension.pybindings import portable_lib  # type: ignore[import-not-found, unused-ignore]

    return int(portable_lib._threadpool_get_thread_count())


@contextmanager
def pinned(setup: Setup) -> Iterator[None]:
    """Threads of the process's pool, put back afterwards. Raises InputError where they are not what was asked for."""
    from executorch.extension.pybindings import portable_lib

    before = threads_in_use()
    portable_lib._unsafe_reset_threadpool(setup.threads)
    try:
        if threads_in_use() != setup.threads:
            raise InputError(f"executorch was asked for {setup.threads} threads and takes {threads_in_use()}")
        yield
    finally:
        portable_lib._unsafe_reset_threadpool(before)


RUNTIME = Runtime("executorch", ("executorch",), ("fp32",), load, extra="executorch", pinned=pinned)
