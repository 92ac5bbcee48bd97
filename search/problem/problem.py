"""What a search is asked to do, free of torch and of Optuna."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from search.problem.objectives import Objective
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats
from supernet.errors import InputError, unknown

if TYPE_CHECKING:
    from cost_models.protocol import Reach
    from cost_models.registry import Cost


@dataclass(frozen=True, eq=False)
class Problem:
    """A space, what to optimise in it, and the upper bounds that must hold.

    ``costs`` has a model for every cost that is an objective or has a budget. ``expected`` tells what
    accuracies (n,) of codes (n, dimensions) are believed to be before anything is measured, if something is.
    """

    space: SearchSpace
    objectives: tuple[Objective, ...]
    costs: Mapping[str, Cost]
    budgets: Mapping[str, float]
    expected: Callable[[Codes], Floats] | None = None

    def __post_init__(self) -> None:
        for name in (*self.budgets, *(o.name for o in self.objectives if not o.is_accuracy)):
            if name not in self.costs:
                raise unknown("cost", name, self.costs)
        if not any(o.is_accuracy for o in self.objectives):
            raise InputError(f"no accuracy among the objectives {[o.name for o in self.objectives]}")

    @cached_property
    def accuracy_index(self) -> int:
        """Where a trial's values hold the accuracy."""
        return next(i for i, o in enumerate(self.objectives) if o.is_accuracy)

    @cached_property
    def cost_objectives(self) -> tuple[int, ...]:
        """Columns of :meth:`totals` that are minimised."""
        names = list(self.costs)
        return tuple(names.index(o.name) for o in self.objectives if not o.is_accuracy)

    @cached_property
    def reach(self) -> Mapping[str, Reach]:
        """Least and greatest value of each cost over the whole space; a black box is sampled once."""
        return {name: cost.reach() for name, cost in self.costs.items()}

    @cached_property
    def limits(self) -> Floats:
        """Upper bound of each column of :meth:`totals`, infinite where there is no budget."""
        return np.array([self.budgets.get(name, np.inf) for name in self.costs], dtype=np.float64)

    @cached_property
    def ceilings(self) -> Floats:
        """Of each cost that is minimised, its budget or the greatest it can be: fronts are judged below it."""
        names = list(self.costs)
        tops = [min(self.limits[i], self.reach[names[i]].maximum) for i in self.cost_objectives]
        return np.array(tops, dtype=np.float64)

    def totals(self, codes: Codes) -> Floats:
        """Every cost of every arch, shape (n, number of costs), in the order of ``costs``."""
        if not self.costs:
            return np.empty((len(codes), 0))
        return np.stack([cost.batch(codes) for cost in self.costs.values()], axis=1)

    def within(self, codes: Codes) -> npt.NDArray[np.bool_]:
        """Which archs keep every budget, shape (n,)."""
        return np.asarray((self.totals(codes) <= self.limits).all(axis=1))

    def changed_totals(self, codes: Codes) -> Floats:
        """Every cost of canonical codes with each choice of :attr:`SearchSpace.every_choice` made; (n, choices, costs)."""
        if not self.costs:
            return np.empty((len(codes), int(self.space.sizes.sum()), 0))
        return np.stack([cost.changed(codes) for cost in self.costs.values()], axis=2)
