"""Cost models by name. A new one is a function of a Target and one line in :data:`COSTS`.

Third parties add theirs by the entry point group ``oncefit.cost_models``, or
name ``package.module:function`` in a search's YAML.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points

import numpy as np

from cost_models.protocol import BatchCostModel, BoundedCostModel, CostModel, Costs, Reach, Target
from supernet.arch import Arch
from supernet.errors import InputError, unknown
from supernet.space import Codes, SearchSpace

COSTS: Mapping[str, str] = {
    "macs": "cost_models.compute:macs",
    "params": "cost_models.compute:params",
    "peak_memory_bytes": "cost_models.compute:peak_memory_bytes",
    "latency_ms": "cost_models.latency:latency_ms",
    "energy_mj": "cost_models.energy:energy_mj",
    "co2e_mg": "cost_models.energy:co2e_mg",
}
OF_A_DEVICE = ("latency_ms", "energy_mj", "co2e_mg")
"""Those that need a device."""

ALIASES: Mapping[str, str] = {"flops": "macs"}
"""``flops`` in a config means ``macs``: the OFA paper's count of multiply-adds, the same number."""

ENTRY_POINTS = "oncefit.cost_models"
REACH_SAMPLE = 2_000
"""Archs that a black-box cost is tried on to learn what it can reach."""


def known_costs() -> dict[str, str]:
    """Name to ``module:function`` of the built-in costs and of the installed entry points."""
    return {**{point.name: point.value for point in entry_points(group=ENTRY_POINTS)}, **COSTS}


def build(name: str, target: Target, extra: Mapping[str, str] | None = None) -> Cost:
    """The cost model of a name for a supernet and a device; ``extra`` holds the YAML's dotted paths."""
    known = {**known_costs(), **(extra or {})}
    name = ALIASES.get(name, name)
    if name not in known:
        raise unknown("cost", name, [*known, *ALIASES])
    builder = load(known[name])
    if not callable(builder):
        raise InputError(f"cost {name!r}: {known[name]} is not a function of a Target")
    model = builder(target)
    if not isinstance(model, CostModel):
        raise InputError(
            f"cost {name!r}: {known[name]} returned {type(model).__name__}, which is no cost model: "
            "it needs a name and a call that takes an arch (see docs/costs.md)"
        )
    if model.name != name:
        raise InputError(f"cost {name!r}: {known[name]} returned a model that calls itself {model.name!r}")
    return Cost(model, target.supernet.space)


def load(path: str) -> object:
    """The object at ``package.module:name``. Raises InputError where there is none."""
    module, colon, attribute = path.partition(":")
    if not colon:
        raise InputError(f"a cost is given as package.module:function, got {path!r}")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"cannot load the cost {path!r}: {error}; its module must be importable (install it or set PYTHONPATH)"
        ) from error


@dataclass(frozen=True)
class Cost:
    """Any cost model with the parts that it may lack: a batch form and a reach."""

    model: CostModel
    space: SearchSpace

    @property
    def name(self) -> str:
        return self.model.name

    def __call__(self, arch: Arch) -> float:
        return float(self.model(arch))

    def batch(self, codes: Codes) -> Costs:
        """Costs of codes (n, dimensions), shape (n,)."""
        if isinstance(self.model, BatchCostModel):
            return np.asarray(self.model.batch(codes), dtype=np.float64)
        return np.array([self.model(arch) for arch in self.space.decode(codes)], dtype=np.float64)

    def reach(self) -> Reach:
        """Exact for a model that knows it, else the extremes of a fixed sample and the corner archs."""
        if isinstance(self.model, BoundedCostModel):
            return self.model.reach()
        corners = self.space.encode([self.space.smallest(), self.space.largest()])
        sample = self.space.sample(REACH_SAMPLE, np.random.default_rng(0))
        codes = np.concatenate([corners, sample])
        costs = self.batch(codes)
        low, high = int(costs.argmin()), int(costs.argmax())
        smallest, largest = self.space.decode(codes[[low, high]])
        return Reach(float(costs[low]), float(costs[high]), smallest, largest, exact=False)
