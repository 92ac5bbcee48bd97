"""The primitive operations of an arch with their shapes: what every cost is summed over.

A family describes its network as segments: pieces whose layers depend on a few
dimensions of the space. Everything that walks a network reads them: one arch
at a time (:func:`layers`), or as lookup tables for whole populations
(``cost_models.tables``).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from supernet.archs.arch import Arch, Choice

SHORTCUT = "shortcut"
OPERATIONS = ("conv", "depthwise", "linear", "pool", "add", "scale")


@dataclass(frozen=True)
class Layer:
    """One operation on square feature maps at batch 1.

    ``op`` is ``conv``, ``depthwise``, ``linear``, ``pool``, ``add`` or
    ``scale`` (the channel gate of squeeze-and-excitation). ``name`` is that of
    its block, a dot and its own, or its own alone; one that leads to an ``add``
    beside the others is called :data:`SHORTCUT`. ``norm`` and ``act``
    are what follows it and is fused in deployment. ``held`` counts elements of
    other tensors that must stay alive while it runs (a shortcut, a gated map).
    """

    name: str
    op: str
    in_channels: int
    out_channels: int
    in_size: int
    out_size: int
    kernel: int = 1
    stride: int = 1
    bias: bool = False
    norm: bool = False
    act: str | None = None
    held: int = 0

    @property
    def macs(self) -> int:
        """Multiply-adds of convolutions and linear layers, as the OFA paper counts them."""
        return self.weights * self.out_size**2

    @property
    def weights(self) -> int:
        """Entries of the weight tensor."""
        if self.op in ("conv", "linear"):
            return self.in_channels * self.out_channels * self.kernel**2
        if self.op == "depthwise":
            return self.out_channels * self.kernel**2
        return 0

    @property
    def params(self) -> int:
        """Trainable parameters: weight, bias, and scale and shift of the batch norm."""
        return self.weights + self.bias * self.out_channels + self.norm * 2 * self.out_channels

    @property
    def in_elements(self) -> int:
        return self.in_channels * self.in_size**2

    @property
    def out_elements(self) -> int:
        return self.out_channels * self.out_size**2

    @property
    def live_elements(self) -> int:
        """Activation elements alive while it runs: input, output and what is held."""
        return self.in_elements + self.out_elements + self.held


@dataclass(frozen=True)
class Segment:
    """A piece of a network whose layers depend on ``dimensions`` only.

    ``layers`` gets a value for each of them. ``needs = (name, n)``: the piece is there only
    where dimension ``name``, which is none of ``dimensions``, is >= n.
    """

    name: str
    dimensions: tuple[str, ...]
    layers: Callable[[Mapping[str, Choice]], tuple[Layer, ...]]
    needs: tuple[str, int] | None = None

    def is_in(self, values: Mapping[str, Choice]) -> bool:
        """Whether the network of ``values`` has it."""
        return self.needs is None or values[self.needs[0]] >= self.needs[1]


def is_beside(layer: Layer) -> bool:
    """Whether it is on the shortcut of its block."""
    return SHORTCUT in layer.name.split(".")


def grouped(layers: Sequence[Layer]) -> list[tuple[str, tuple[Layer, ...]]]:
    """Blocks and the layers that stand alone, in order, by name; a depthwise convolution or a shortcut makes a block."""
    blocks = [layer.name.rpartition(".")[0] for layer in layers if layer.op in ("depthwise", "add")]

    def owner(layer: Layer) -> str:
        return next((block for block in blocks if f"{layer.name}.".startswith(f"{block}.")), layer.name)

    return [(name, tuple(group)) for name, group in itertools.groupby(layers, key=owner)]


def layers(segments: Sequence[Segment], arch: Arch) -> tuple[Layer, ...]:
    """All layers of an arch, in the order in which they run."""
    values = arch.values
    return tuple(layer for segment in segments if segment.is_in(values) for layer in segment.layers(values))
