"""Batches to train a supernet on: the subnets of a step, and its images at the resolution of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from supernet.archs.arch import Arch
from supernet.training.training_batches import Batches

ArchsOfEpoch = Callable[[int, np.random.Generator], tuple[Arch, ...]]
"""The subnets of a step, drawn, by the epoch that it is in."""


@dataclass(frozen=True)
class ElasticBatch:
    """The subnets that learn, inputs (n, c, r, r) by resolution, and labels (n,)."""

    archs: tuple[Arch, ...]
    inputs: Mapping[int, Tensor]
    labels: Tensor


@dataclass(frozen=True)
class ElasticBatches:
    """Batches of images, and the subnets that learn from each; :meth:`batch` may run in several threads."""

    images: Batches
    archs: ArchsOfEpoch

    @property
    def size(self) -> int:
        return self.images.size

    @property
    def per_epoch(self) -> int:
        return self.images.per_epoch

    def batch(self, step: int) -> ElasticBatch:
        """This process's images of a step; all processes have the same subnets."""
        archs: list[Arch] = []

        def resolutions(rng: np.random.Generator) -> tuple[int, ...]:
            archs.extend(self.archs(step // self.per_epoch, rng))
            return tuple(sorted({arch.resolution for arch in archs}))

        batch = self.images.drawn(step, resolutions)
        sides = sorted({arch.resolution for arch in archs})
        return ElasticBatch(tuple(archs), dict(zip(sides, batch.inputs, strict=False)), batch.labels)
