"""What a trial suggests, as Optuna names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supernet.archs.space import SearchSpace

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """What a trial suggests: every dimension in every trial, skipped blocks too; canonicalise afterwards."""
    from optuna.distributions import CategoricalDistribution

    return {d.name: CategoricalDistribution(d.choices) for d in space.dimensions}
