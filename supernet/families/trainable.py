"""What a supernet must be to be trained here: any family whose elastic network has these methods can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast

from torch import Tensor, nn

from supernet.archs.arch import Arch, Choice
from supernet.errors import InputError
from supernet.families.catalog import FAMILIES

METHODS = ("forward", "sort_channels", "extract")


class Trainable(Protocol):
    """A ``torch.nn.Module`` with all weights of a supernet, any subnet of which runs and takes gradients.

    The subnet is an argument: nothing in the module says which one is active. Statistics of batch norms that gather in
    training are of many subnets and are never relied on: those of an extracted subnet are calibrated anew.
    """

    def __call__(self, x: Tensor, values: Mapping[str, Choice]) -> Tensor:
        """Logits (n, classes) of the subnet that ``values`` name (``Arch.values``), for images (n, c, r, r)."""
        ...

    def sort_channels(self) -> None:
        """Order channels by importance, so that narrow subnets keep what counts; the largest subnet stays the same.

        Called once before widths become elastic. A network that has nothing to order does nothing.
        """
        ...

    def extract(self, arch: Arch) -> nn.Module:
        """An independent static module with copies of the weights of ``arch``, in eval mode."""
        ...


def trainable(net: object, name: str = "this supernet") -> Trainable:
    """``net``, which must be a network that trains. Raises InputError that names the families whose networks do."""
    missing = [method for method in METHODS if not callable(getattr(net, method, None))]
    if missing or not isinstance(net, nn.Module):
        lacks = f"it lacks {', '.join(missing)}" if missing else "it is no torch module"
        raise InputError(
            f"{name} cannot be trained: its network is a {type(net).__name__}, and {lacks} "
            f"(supernet/families/trainable.py says what is needed); families that can be: {', '.join(FAMILIES)}"
        )
    return cast(Trainable, net)
