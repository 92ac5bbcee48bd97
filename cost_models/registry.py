"""Cost models by name. A new one is a function of a Target and one line in :data:`COSTS`.

Third parties add theirs by the entry point group ``oncefit.cost_models``, or
name ``package.module:function`` in a search's YAML.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import entry_points
from operator import attrgetter

import numpy as np

from cost_models.precisions import across
from cost_models.protocol import BatchCostModel, BoundedCostModel, CostModel, Costs, Reach, Target
from cost_models.tables import TableCost
from supernet.archs.arch import Arch
from supernet.archs.space import Codes, SearchSpace
from supernet.errors import InputError, short, unknown
from supernet.own_code import told_error

COSTS: Mapping[str, str] = {
    "macs": "cost_models.compute:macs",
    "params": "cost_models.compute:params",
    "peak_memory_bytes": "cost_models.compute:peak_memory_bytes",
    "weights_bytes": "cost_models.compute:weights_bytes",
    "latency_ms": "cost_models.latency:latency_ms",
    "energy_mj": "cost_models.energy:energy_mj",
    "co2e_mg": "cost_models.energy:co2e_mg",
    "latency_p80_ms": "cost_models.latency_bound:latency_p80_ms",
    "latency_p90_ms": "cost_models.latency_bound:latency_p90_ms",
    "latency_p95_ms": "cost_models.latency_bound:latency_p95_ms",
    "latency_p99_ms": "cost_models.latency_bound:latency_p99_ms",
}
BOUNDS = ("latency_p80_ms", "latency_p90_ms", "latency_p95_ms", "latency_p99_ms")
"""Upper bounds of latency."""
BY_PRECISION = ("weights_bytes",)
"""Those that tell what others do, params, unless archs differ in precision."""
ON_REQUEST = (*BY_PRECISION, *BOUNDS)
"""Computed where they are asked for."""
OF_A_DEVICE = ("latency_ms", "energy_mj", "co2e_mg", *BOUNDS)
"""Those that need a device."""

ALIASES: Mapping[str, str] = {"flops": "macs"}
"""``flops`` in a config means ``macs``: the OFA paper's count of multiply-adds, the same number."""

DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
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
    path = known[name]
    builder = load_dotted(path)
    if not callable(builder):
        raise InputError(f"cost {name!r}: {path} is not a function of a Target")
    with blaming(name, path, "called with a Target"):
        # one of somebody else's is asked about archs that say their precision, and may make of it what it will
        joint = target.supernet.precisions and path in COSTS.values()
        model = across(builder, target) if joint else builder(target)
        complete = isinstance(model, CostModel)
    if not complete:
        raise InputError(
            f"cost {name!r}: {known[name]} returned {type(model).__name__}, which is no cost model: "
            "it needs a name and a call that takes an arch (see docs/costs.md)"
        )
    if model.name != name:
        raise InputError(f"cost {name!r}: {known[name]} returned a model that calls itself {model.name!r}")
    return Cost(model, target.supernet.space, path)


def load_dotted(path: str) -> object:
    """The object at ``package.module:name``. Raises InputError where there is none."""
    module, _, attribute = path.partition(":")
    if not DOTTED.fullmatch(path):
        raise InputError(f"a cost is given as package.module:function, got {short(path)}")
    try:
        return attrgetter(attribute)(importlib.import_module(module))
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"cannot load the cost {path!r}: {error}; its module must be importable (install it or set PYTHONPATH)"
        ) from error
    except (Exception, SystemExit) as error:
        raise InputError(
            f"cannot load the cost {path!r}: its module fails with {told_error(error, __file__)}"
        ) from error


@contextmanager
def blaming(name: str, path: str, when: str) -> Iterator[None]:
    """Whatever someone else's code raises, be it an exit, is an InputError that names it; ours are bugs as ever."""
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        if path in COSTS.values():
            raise
        raise InputError(
            f"cost {name!r}: {path or 'its function'}, {when}, fails with {told_error(error, __file__)}"
        ) from error


@dataclass(frozen=True)
class Cost:
    """Any cost model with the parts that it may lack: a batch form and a reach; ``path`` is where it is from.

    What someone else's model raises, and what it returns that is no number, is an InputError.
    """

    model: CostModel
    space: SearchSpace
    path: str = ""

    @property
    def name(self) -> str:
        return self.model.name

    def __call__(self, arch: Arch) -> float:
        with blaming(self.name, self.path, "asked about an arch"):
            found = float(self.model(arch))
        if not math.isfinite(found):
            raise InputError(
                f"cost {self.name!r} of arch {arch.id} ({arch}) is {found}; a cost is a finite number"
            )
        return found

    def batch(self, codes: Codes) -> Costs:
        """Costs of codes (n, dimensions), shape (n,)."""
        batched = self._batched
        if batched is None:
            return np.array([self(arch) for arch in self.space.decode(codes)], dtype=np.float64)
        with blaming(self.name, self.path, "asked about codes"):
            found = np.asarray(batched.batch(codes), dtype=np.float64)
        if found.shape != (len(codes),) or not np.isfinite(found).all():
            raise InputError(
                f"cost {self.name!r}: batch(codes) of {len(codes)} archs must give as many finite numbers, "
                f"got an array of shape {found.shape}"
            )
        return found

    def changed(self, codes: Codes) -> Costs:
        """Costs of canonical codes (n, dimensions) with each choice of each dimension made, one at a time; (n, choices).

        In the order of :attr:`SearchSpace.every_choice`.
        """
        if isinstance(self.model, TableCost) and self.model.combine == "sum":
            return self.model.changed(codes)
        dimensions, choices = self.space.every_choice
        rows = np.repeat(codes[:, None], len(choices), axis=1)
        rows[:, np.arange(len(choices)), dimensions] = choices
        return self.batch(self.space.canonical(rows.reshape(-1, codes.shape[1]))).reshape(rows.shape[:2])

    @cached_property
    def _batched(self) -> BatchCostModel | None:
        """The model, if it has a batch form: to look for it takes as long as the costs of ten archs."""
        return self.model if isinstance(self.model, BatchCostModel) else None

    def reach(self) -> Reach:
        """Exact for a model that knows it, else the extremes of a fixed sample and the corner archs."""
        if isinstance(self.model, BoundedCostModel):
            with blaming(self.name, self.path, "asked for its reach"):
                return self.model.reach()
        corners = self.space.encode([self.space.smallest(), self.space.largest()])
        sample = self.space.sample(REACH_SAMPLE, np.random.default_rng(0))
        codes = np.concatenate([corners, sample])
        costs = self.batch(codes)
        low, high = int(costs.argmin()), int(costs.argmax())
        smallest, largest = self.space.decode(codes[[low, high]])
        return Reach(float(costs[low]), float(costs[high]), smallest, largest, exact=False)
