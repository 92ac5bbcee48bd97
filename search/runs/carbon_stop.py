"""A search that ends when the carbon it still spends exceeds what it can be expected to save.

What a search is worth is what its deployment saves: each arch that reaches ``top1`` could be deployed for its
``co2e_mg`` a request, the cheapest of them is, and until one is found the largest subnet has to be. With the cost
``x`` of each trial (that of the largest subnet where it misses ``top1``), the next ``m`` trials are expected to lower
the minimum by no more than the last ``m`` of the ``n`` that were made, in whatever order these came:

    gain(m) = mean over all subsets of n - m trials of (min of the subset) - (min of all)

is exact and needs no model (:func:`expected_gain`), and for trials that are alike the expected minimum is convex in
their number, so that it errs to the side of going on. A sampler that learns is better late than early; therefore the
gain that the last ``m`` trials really brought counts where it is larger. The search ends when

    requests x max(gain(m), what the last m really brought)  <  m x carbon of a trial

Decision 022 gives the reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from cost_models.at_work import emitted_at_work
from cost_models.carbon_ledger import MG_PER_KG
from cost_models.grid import Place
from cost_models.ranges import Figure, Range
from supernet.amounts import Count
from supernet.documents import Document

LONGEST_LOOK = 0.5
"""The share of the trials made that is looked ahead at most: of more nothing is known."""
COST = "co2e_mg"
STOPPED = "stopped_for_carbon"
"""The attribute of a study whose search ended early: what was expected of the trials that were not made."""

LEAST_AFTER = 2
"""The gain of trials is held against those before them, so that there are some of both."""


def enough(trials: int) -> int:
    if trials < LEAST_AFTER:
        raise ValueError(
            f"at least {LEAST_AFTER} trials: what the last ones gained is held against those before them"
        )
    return trials


def some_power(watts: Range) -> Range:
    if not watts.low > 0:
        raise ValueError("a machine that searches draws more than 0 watts; of none, no search would ever end")
    return watts


class CarbonStop(Document):
    """``stop:`` of a search. ``requests`` are all that the deployment will ever answer, ``top1`` what it must reach.

    ``watts`` is what the searching machine draws, by default this host's static power for each processor that it may use, on the grid of
    ``region``, by default this host's. It is looked at from ``after`` trials on.
    """

    requests: float = Field(gt=0)
    top1: float = Field(gt=0, lt=1)
    watts: Annotated[Figure, AfterValidator(some_power)] | None = None
    region: Place | None = None
    after: Annotated[Count, AfterValidator(enough)] = 10


@dataclass(frozen=True)
class Prospect:
    """What the next ``trials`` are expected to save, and what they take, in kilograms of CO2e."""

    trials: int
    saves_kg: float
    takes_kg: float

    @property
    def pays(self) -> bool:
        return self.saves_kg >= self.takes_kg


def expected_gain(values: Sequence[float], left_out: int) -> float:
    """By how much ``left_out`` of the values, chosen at random, lower the least of them, on average; 0 or more.

    The least of the others is the j-th smallest of n where the j - 1 smallest are left out and it is not.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n, chance, mean = len(ordered), 1.0, 0.0
    for j in range(left_out + 1):
        kept = (n - left_out) / (n - j)
        mean += chance * kept * ordered[j]
        chance *= 1 - kept
    return float(mean - ordered[0])


def brought(values: Sequence[float], last: int) -> float:
    """By how much the last values really lowered the least of all."""
    return min(values[:-last]) - min(values)


def prospect(values: Sequence[float], remaining: int, requests: float, trial_kg: float) -> Prospect:
    """What the next trials are expected to save and to take; ``values`` are milligrams a request, in order."""
    look = max(1, min(remaining, int(LONGEST_LOOK * len(values))))
    gain_mg = max(expected_gain(values, look), brought(values, look))
    return Prospect(look, requests * gain_mg / MG_PER_KG, look * trial_kg)


def trial_kg(stop: CarbonStop, seconds: float) -> float:
    """What a trial of so many seconds emits where the search runs. Raises InputError where its watts are not known."""
    return emitted_at_work(seconds, stop.watts, stop.region).kg.value
