"""One device in place of all: what is lost where only the front of a search on one device, the proxy, is there to choose from.

Where latencies are monotone, that is where all devices put candidates into one order, the front of accuracy and latency on
one of them is the front on every other, and one search is enough (Lu, Yang, Jiang & Shi, "One Proxy Device Is Enough for
Hardware-Aware Neural Architecture Search", 2021). Spearman's rank correlation says how near to that devices are. Each device
then takes from the proxy's front what is best for it within budgets of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search.feasible.few_for_many import Indices, KeptFew, choose_few, serves
from search.fleets.portfolio import Portfolio, PortfolioDevice
from search.problem.confidence import LATENCY
from supernet.arrays import Floats

MONOTONE = 0.9
"""Rank correlation from which on the paper takes two devices for monotone."""


@dataclass(frozen=True)
class Proxy:
    """What its front of so many candidates loses, weighted and for the device that loses most.

    Correlations are with the other devices, the mean and the least; devices that the front has nothing for are
    ``without``, and then the loss is that of the others.
    """

    name: str
    mean: float
    least: float
    front: Indices
    loss: float
    worst: float
    worst_device: str
    without: tuple[str, ...]


@dataclass(frozen=True)
class Proxies:
    """``correlations`` (devices, devices); every device as a proxy; the one with the greatest mean correlation.

    ``kept`` is what of its front as many subnets as are asked for lose; None where these cannot serve all devices.
    """

    cost: str
    correlations: Floats
    every: tuple[Proxy, ...]
    best: Proxy
    kept: KeptFew | None

    @property
    def enough(self) -> bool:
        """Whether the paper would take one proxy for all of these devices."""
        return self.best.least >= MONOTONE


def proxies_of(found: Portfolio) -> Proxies | None:
    """Every device as the proxy of all; None for one device alone, and where no candidate's costs are all known."""
    name, costs = ranked_by(found.served)
    known = np.isfinite(costs).all(axis=0)
    if len(found.served) < 2 or known.sum() < 2:
        return None
    correlations = rank_correlations(costs[:, known])
    every = tuple(as_proxy(found, costs, correlations, place) for place in range(len(found.served)))
    best = max(every, key=lambda one: one.mean)
    small = found.losses[:, best.front]
    most = min(found.asked.most, len(found.served))
    kept = None
    if serves(small, np.arange(len(best.front))):
        kept = choose_few(small, found.weights, most, found.asked.seconds / 4)
    return Proxies(name, correlations, every, best, kept)


def ranked_by(served: Sequence[PortfolioDevice]) -> tuple[str, Floats]:
    """The cost that candidates are ranked by, (devices, candidates): latency where all have it, else each its first budget's."""
    first = [next(iter([*one.budgets, *one.costs])) for one in served]
    if all(LATENCY in one.costs for one in served):
        first = [LATENCY] * len(served)
    name = first[0] if len(set(first)) == 1 else "first budget"
    return name, np.array([one.costs[cost] for one, cost in zip(served, first, strict=True)])


def rank_correlations(costs: Floats) -> Floats:
    """Spearman's, of each pair of rows; 0 where a row is constant."""
    from scipy.stats import rankdata

    ranks = rankdata(costs, axis=1)
    ranks = ranks - ranks.mean(axis=1, keepdims=True)
    lengths = np.sqrt((ranks**2).sum(axis=1))
    together = ranks @ ranks.T
    scale = np.outer(lengths, lengths)
    return np.asarray(np.divide(together, scale, out=np.zeros_like(together), where=scale > 0))


def as_proxy(found: Portfolio, costs: Floats, correlations: Floats, place: int) -> Proxy:
    front = proxy_front(found.pool.top1, costs[place])
    lost = found.losses[:, front].min(axis=1)
    served = np.isfinite(lost)
    others = np.delete(correlations[place], place)
    weights = found.weights[served]
    worst = int(np.argmax(np.where(served, lost, -1.0)))
    total = float(weights.sum())
    return Proxy(
        found.served[place].name,
        float(others.mean()),
        float(others.min()),
        front,
        float(weights @ lost[served]) / total if total else 0.0,
        float(lost[worst]) if served.any() else np.inf,
        found.served[worst].name,
        tuple(one.name for one, has in zip(found.served, served, strict=True) if not has),
    )


def proxy_front(top1: Floats, cost: Floats) -> Indices:
    """Candidates that no other is as accurate and as cheap as; those of unknown cost are left out, and of equals the rest."""
    order = np.lexsort((-top1, cost))
    order = order[np.isfinite(cost[order]) & np.isfinite(top1[order])]
    before = np.concatenate([[-np.inf], np.maximum.accumulate(top1[order])[:-1]])
    return np.sort(order[top1[order] > before])
