"""What a search optimises, in order, and in which direction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from supernet.errors import InputError

Direction = Literal["maximize", "minimize"]
ACCURACIES = ("top1", "top5")
"""As fractions, measured on the validation split or predicted; every other objective is a cost."""


@dataclass(frozen=True)
class Objective:
    """The name of an accuracy, which is maximised, or of a cost, which is minimised."""

    name: str

    @property
    def is_accuracy(self) -> bool:
        return self.name in ACCURACIES

    @property
    def direction(self) -> Direction:
        return "maximize" if self.is_accuracy else "minimize"

    def signed(self, value: float) -> float:
        """The value so that less is better: the only place where a sign is flipped."""
        return -value if self.is_accuracy else value


def parse_objectives(names: Iterable[str]) -> tuple[Objective, ...]:
    """One accuracy first, then at most two costs."""
    objectives = tuple(Objective(name) for name in names)
    accuracies = [o.name for o in objectives if o.is_accuracy]
    if len(accuracies) != 1 or not objectives[0].is_accuracy or len(objectives) > 3:
        given = ", ".join(o.name for o in objectives) or "none"
        raise InputError(
            f"objectives must be one of {', '.join(ACCURACIES)}, then up to two costs; got {given}"
        )
    if len(set(objectives)) != len(objectives):
        raise InputError(f"objectives repeat: {', '.join(o.name for o in objectives)}")
    return objectives
