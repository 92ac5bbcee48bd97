"""What is checked, and what a check says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from supernet.archs.arch import Arch
from supernet.families.catalog import Supernet

OF_SPREAD, OF_SIZE = 1e-3, 1e-5
"""Differences of logits that rounding explains: shares of how far images differ, and of the largest."""


@dataclass(frozen=True)
class Mismatch:
    """Something that is otherwise than it should be, of an arch or, without one, of the supernet."""

    what: str
    expected: str
    found: str
    arch: Arch | None = None

    def __str__(self) -> str:
        of = f"arch {self.arch.id} ({self.arch}): " if self.arch is not None else ""
        return f"{of}{self.what}: expected {self.expected}, found {self.found}"


class NotApplicable(Exception):
    """Raised by a check that a supernet gives nothing to look at; says why."""


@dataclass(frozen=True)
class Subject:
    """A supernet and the archs that it is checked on: the largest, the smallest and random ones.

    Weights are random, and so are the statistics of batch norms, unless they come with the supernet.
    """

    supernet: Supernet
    archs: tuple[Arch, ...]
    seed: int
    _made: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def net(self) -> Any:
        """The elastic network with its weights, in eval mode."""
        return self._once("net", self.fresh_net)

    def fresh_net(self) -> Any:
        """Another one, with the same weights unless they come with the supernet."""
        if self.supernet.net is not None:
            return self.supernet.net
        with seeded(self.seed), torch.no_grad():
            net: Any = self.supernet.family.elastic().eval()
            if isinstance(net, nn.Module):
                randomise(net)
        return net

    def network(self, arch: Arch) -> nn.Module:
        """The static network of an arch, with random weights, in eval mode."""

        def make() -> nn.Module:
            with seeded(self.seed), torch.no_grad():
                made = self.supernet.family.static(arch).eval()
                randomise(made)
            return made

        return self._once(arch, make)  # type: ignore[no-any-return]

    def subnet(self, arch: Arch) -> nn.Module:
        """What the elastic network extracts of an arch. Raises NotApplicable where it can extract nothing."""
        if self.supernet.net is None and self.supernet.is_given:
            raise NotApplicable("it has neither extract(arch) nor network(arch)")
        found: nn.Module = self.net.extract(arch)
        return found

    def images(self, arch: Arch, count: int) -> Tensor:
        """Random images (n, c, r, r), always the same ones."""
        generator = torch.Generator().manual_seed(self.seed)
        channels, side = self.supernet.layers(arch)[0].in_channels, arch.resolution
        return torch.randn(count, channels, side, side, generator=generator)

    def _once(self, key: object, make: Callable[[], Any]) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def subject_of(supernet: Supernet, archs: int, seed: int) -> Subject:
    """With ``archs`` of them, where the space has so many."""
    space = supernet.space
    drawn = space.decode(space.sample(4 * archs, np.random.default_rng(seed)))
    chosen = list(dict.fromkeys([space.largest(), space.smallest(), *drawn]))
    return Subject(supernet, tuple(chosen[:archs]), seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def randomise(net: nn.Module) -> None:
    """Statistics and affine terms that differ by channel, and a classifier with an opinion."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            if module.running_mean is not None and module.running_var is not None:
                module.running_mean.normal_(std=0.2)
                module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.2)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.05)
        for name, parameter in module.named_parameters(recurse=False):
            if name.endswith("_matrix"):  # a kernel transform that is not the identity
                nn.init.normal_(parameter, std=parameter.shape[0] ** -0.5)


def difference(found: Tensor, expected: Tensor) -> str | None:
    """How far logits (n, classes) are from those expected, if further than rounding explains."""
    if found.shape != expected.shape:
        return f"logits of shape {tuple(found.shape)}"
    spread = (expected - expected.mean(0)).abs().max() if len(expected) > 1 else expected.std()
    allowed = OF_SPREAD * float(spread) + OF_SIZE * float(expected.abs().max())
    off = float((found - expected).abs().max())
    return None if off <= allowed else f"logits that differ by up to {off:.3g}"
