"""ExecuTorch: one program for a fixed number of images, lowered to XNNPACK."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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

MODEL_PTE = "model.pte"


def write_pte(material: ToWrite, folder: Path) -> None:
    (folder / MODEL_PTE).write_bytes(lowered_to_xnnpack(material.subnet, material.example))


def lowered_to_xnnpack(subnet: nn.Module, images: Tensor) -> bytes:
    """The program of a subnet for images of the shape of ``images``."""
    import torch

    with quietly():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import (  # type: ignore[import-not-found, unused-ignore]
            XnnpackPartitioner,
        )
        from executorch.exir import to_edge_transform_and_lower  # type: ignore[import-not-found, unused-ignore]

        exported = torch.export.export(subnet, (images,))
        lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
    return bytes(lowered.buffer)


@dataclass(frozen=True)
class ProgramMethod:
    """The method of a program, with the buffer that it reads: where that is freed it fails."""

    method: Any
    program: Any
    buffer: bytes

    @classmethod
    def of(cls, buffer: bytes) -> ProgramMethod:
        from executorch.runtime import Runtime as Engine  # type: ignore[import-not-found, unused-ignore]

        program = Engine.get().load_program(buffer)
        return cls(program.load_method("forward"), program, buffer)

    def __call__(self, images: Any) -> Any:
        return self.method.execute([images])[0]


def pool_threads() -> int:
    """Threads of the process's pool."""
    with quietly():  # importing it tells of files of other processors
        from executorch.extension.pybindings import portable_lib  # type: ignore[import-not-found, unused-ignore]

        return int(portable_lib._threadpool_get_thread_count())


@contextmanager
def threads_of_pool(threads: int) -> Iterator[None]:
    """Threads of the process's pool, put back afterwards. Raises InputError where they are not what was asked for."""
    before = pool_threads()
    set_pool_threads(threads)
    try:
        if pool_threads() != threads:
            raise InputError(f"executorch was asked for {threads} threads and takes {pool_threads()}")
        yield
    finally:
        set_pool_threads(before)


def set_pool_threads(threads: int) -> None:
    with quietly():  # it logs each change
        from executorch.extension.pybindings import portable_lib

        portable_lib._unsafe_reset_threadpool(threads)


@contextmanager
def opened_pte(reading: Reading) -> Iterator[Opened]:
    import torch

    assert reading.batch is not None
    path = reading.folder / MODEL_PTE
    with threads_of_pool(reading.threads):
        try:
            call = ProgramMethod.of(path.read_bytes())
        except RuntimeError as error:
            raise InputError(f"ExecuTorch cannot load {path}: {error}") from error

        def bound(images: NetworkInputs) -> Any:
            given = torch.from_numpy(images)
            return lambda: call(given)

        def run(images: NetworkInputs) -> Logits:
            found: Logits = call(torch.from_numpy(images)).numpy().copy()
            return found

        yield Opened(in_fixed_batches(run, reading.batch), bound)


FORMAT = ExportFormat(
    "executorch", "ExecuTorch's program for XNNPACK, for phones", MODEL_PTE, ("executorch",), write_pte, opened_pte,
    batch=1, any_batch=False, extra="executorch",
)  # fmt: skip
