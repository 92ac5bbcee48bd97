"""The arithmetic of a carbon ledger: what is emitted once, what each request emits, and when one pays for the other.

    total(requests) = once + requests x per request
    break-even = (once of specialised - once of baseline) / (per request of baseline - of specialised)

All in intervals (:class:`cost_models.ranges.Range`). Of the difference per request the range is given apart: the
same figures of power and grid hold for both subnets, so that it is not the difference of the two ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add

from cost_models.ranges import ZERO, Range

MG_PER_KG = 1e6
POUND_KG = 0.45359237
"""The international pound of 1959, exactly."""


@dataclass(frozen=True)
class Plan:
    """One way to serve: kilograms of CO2e that it takes once, by what they are for, and milligrams for each request."""

    name: str
    once_kg: Mapping[str, Range]
    per_request_mg: Range

    @property
    def all_once_kg(self) -> Range:
        return reduce(add, self.once_kg.values(), ZERO)

    def inference_kg(self, requests: float) -> Range:
        return self.per_request_mg * (requests / MG_PER_KG)

    def total_kg(self, requests: float) -> Range:
        return self.all_once_kg + self.inference_kg(requests)


@dataclass(frozen=True)
class BreakEven:
    """Requests after which the once is paid for; None is never. ``low`` and ``high`` are the best and the worst case.

    ``until`` are the requests up to which it pays, in the best, the central and the worst case, where less is spent
    first and each request takes more; None is without end.
    """

    low: float | None
    value: float | None
    high: float | None
    until: tuple[float | None, float | None, float | None] = (None, None, None)

    @property
    def crossing(self) -> float | None:
        """Where the central totals meet, if they do after the first request."""
        return self.value or self.until[1]


def break_even(once_kg: Range, saved_mg: Range) -> BreakEven:
    """After how many requests ``once_kg``, spent first, is saved again by ``saved_mg`` a request.

    At once, 0, where nothing is spent more; never where no request saves anything. Where less is spent and each request
    takes more, at once and until these have taken what was saved first.
    """
    corners = (
        (once_kg.low, saved_mg.high),
        (once_kg.value, saved_mg.value),
        (once_kg.high, saved_mg.low),
    )
    low, value, high = (pays_after(*corner) for corner in corners)
    best, central, worst = (pays_until(*corner) for corner in corners)
    return BreakEven(low, value, high, (best, central, worst))


def pays_after(once_kg: float, saved_mg: float) -> float | None:
    """Requests from which on the total is less; 0 is at once, None never."""
    if once_kg < 0 or (once_kg == 0 and saved_mg >= 0):
        return 0.0
    return once_kg * MG_PER_KG / saved_mg if saved_mg > 0 else None


def pays_until(once_kg: float, saved_mg: float) -> float | None:
    """Requests up to which the total is less, where it is so at first and not for ever."""
    return once_kg * MG_PER_KG / saved_mg if once_kg < 0 and saved_mg < 0 else None


def shared(kg: Range, by: int) -> Range:
    """The share of one of ``by`` deployments, all of which use it alike."""
    return kg * (1 / by)


def worked_kg(hours: float, kg_per_hour: Range) -> Range:
    return kg_per_hour * hours


def electricity_kg(kwh: Range, grams_per_kwh: Range) -> Range:
    return kwh * grams_per_kwh * 1e-3
