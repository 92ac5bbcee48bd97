"""Several processes that train one network together, as ``torchrun`` starts them; one alone is one of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from supernet.errors import InputError


@dataclass(frozen=True)
class Processes:
    """How many there are, which of them this is, and where it computes; the first one measures and writes for all."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def check_share(self, images: int) -> None:
        """Raises InputError where not all processes would get as many of a batch."""
        if images % self.count:
            raise InputError(
                f"{images} images a batch cannot be shared alike by {self.count} processes; give another batch_size in "
                "a file with --recipe, or more images"
            )

    def check_alike(self, step: int, checkpoint: Path) -> None:
        """Raises InputError where processes would go on from other steps than each other."""
        if self.least(step) != -self.least(-step):
            raise InputError(
                f"not all processes see {checkpoint}; give --out in a folder that all of them share"
            )

    def of_first(self, value: float) -> float:
        """The value that the first process has."""
        return float(self.reduced(value if self.is_first else 0.0, dist.ReduceOp.SUM))

    def least(self, value: int) -> int:
        """The least value that any process has."""
        return int(self.reduced(value, dist.ReduceOp.MIN))

    def total(self, value: float) -> float:
        """The sum of what the processes have."""
        return self.reduced(value, dist.ReduceOp.SUM)

    def wait(self) -> None:
        """Until all processes are here."""
        self.least(0)

    def reduced(self, value: float, how: dist.ReduceOp.RedOpType) -> float:
        if self.count == 1:
            return value
        held = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(held, how)
        return float(held)

    def together(self, net: nn.Module) -> nn.Module:
        """``net``, changed so that it computes gradients and batch norms as if all images were in one process.

        Its parameters stay the same objects.
        """
        if self.count == 1:
            return net
        if self.device.type == "cuda":
            net = nn.SyncBatchNorm.convert_sync_batchnorm(net)  # type: ignore[no-untyped-call]
        else:
            share_norms(net)
        return nn.parallel.DistributedDataParallel(net, broadcast_buffers=False)

    def average_gradients(self, net: nn.Module) -> None:
        """Give ``net`` the means of all processes' gradients, which must be of the same parameters in each.

        At once, after all of a step's backward passes: torch's ``DistributedDataParallel`` would do it in each of them.
        """
        if self.count == 1:
            return
        gradients = [p.grad for p in net.parameters() if p.grad is not None]
        total = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(total)
        parts = torch.split(total / self.count, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def sharing_norms(self) -> AbstractContextManager[object]:
        """Inside, batch norms in training take their statistics of all processes' images."""
        return SharedNorms() if self.count > 1 else nullcontext()


@contextmanager
def joined_processes(device: torch.device) -> Iterator[Processes]:
    """The processes that torchrun started with this one. Raises InputError on a device that they cannot share."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(device)
        return
    if device.type == "mps":
        raise InputError(
            "several processes train on cpu or cuda; give --device-type cpu, or start one process"
        )
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(device, dist.get_rank(), count)
    finally:
        dist.destroy_process_group()


def is_first_process() -> bool:
    """Whether this one speaks for all."""
    return os.environ.get("RANK", "0") == "0"


class Summed(torch.autograd.Function):
    """The sum over all processes, (k,) to (k,); each one's loss counts in the gradients of all."""

    @staticmethod
    def forward(ctx: Any, given: Tensor) -> Tensor:
        total = given.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class SharedNorm(nn.BatchNorm2d):
    """Batch norm over the images of all processes, as many in each; torch's own takes a GPU.

    It gathers no running statistics: a fine-tuning calibrates them anew.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        return normalised_by_all(x, self.weight, self.bias, self.eps)


class SharedNorms(TorchFunctionMode):
    """Batch norms in training, also those of elastic networks that use a part of their channels, as SharedNorm does.

    They gather no running statistics: those of an extracted subnet are calibrated anew.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.batch_norm:
            given = dict(zip(BATCH_NORM, args, strict=False)) | (kwargs or {})
            if given.get("training", False):
                return normalised_by_all(
                    given["input"], given["weight"], given["bias"], given.get("eps", 1e-5)
                )
        return func(*args, **(kwargs or {}))


BATCH_NORM = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
"""Arguments of torch's function, in order."""


def normalised_by_all(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Batch norm (n, c, h, w) over the images of all processes, as many in each."""
    moments = torch.cat([x.mean((0, 2, 3)), x.square().mean((0, 2, 3))])
    mean, square = (Summed.apply(moments) / dist.get_world_size()).chunk(2)
    scale = weight * torch.rsqrt(square - mean.square() + eps)
    shift = bias - mean * scale
    y: Tensor = x * scale[:, None, None] + shift[:, None, None]
    return y


def share_norms(net: nn.Module) -> None:
    """Replace every batch norm by a :class:`SharedNorm` with the same parameters and statistics."""
    for parent in list(net.modules()):
        for name, norm in parent.named_children():
            if isinstance(norm, nn.BatchNorm2d):
                shared = SharedNorm(norm.num_features, norm.eps)
                shared.weight, shared.bias = norm.weight, norm.bias
                shared.running_mean, shared.running_var = norm.running_mean, norm.running_var
                shared.num_batches_tracked = norm.num_batches_tracked
                setattr(parent, name, shared)
