"""What a cost model is, and what several of them need to know of a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from cost_models.device import Device
from supernet.archs.arch import FLOAT32, Arch
from supernet.archs.space import Codes
from supernet.families.catalog import Supernet

Costs = npt.NDArray[np.float64]
"""Shape (number of archs,), in the unit of the cost's name."""


@runtime_checkable
class CostModel(Protocol):
    """Arch -> one number; its unit is the end of its name (``latency_ms``)."""

    @property
    def name(self) -> str: ...

    def __call__(self, arch: Arch) -> float: ...


@runtime_checkable
class BatchCostModel(CostModel, Protocol):
    """A cost model that takes whole populations as integer codes, shape (n, dimensions)."""

    def batch(self, codes: Codes) -> Costs: ...


@dataclass(frozen=True)
class Reach:
    """The least and the greatest value of a cost in a space, with archs that have them.

    ``exact`` is False where a model is a black box and the bounds are only the
    extremes of a sample.
    """

    minimum: float
    maximum: float
    smallest: Arch
    largest: Arch
    exact: bool


@runtime_checkable
class BoundedCostModel(BatchCostModel, Protocol):
    """A cost model that knows the exact reach of its values."""

    def reach(self) -> Reach: ...


@dataclass(frozen=True)
class Target:
    """What a cost model is made for: a supernet, a device where the cost depends on one, and how weights are stored.

    A supernet whose archs say their precision has none of its own: :func:`cost_models.precisions.across` takes it apart.
    """

    supernet: Supernet
    device: Device | None = None
    precision: str = FLOAT32
