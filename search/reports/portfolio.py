"""What is told of a portfolio: rows of its devices, its subnets and each number of these, and all of it as JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.fleets.one_proxy import Proxies
from search.fleets.portfolio import NO_LOSS, Portfolio


@dataclass(frozen=True)
class ToldPortfolio:
    """A portfolio, and what one proxy in place of all devices would do; None where nothing can be said of that."""

    portfolio: Portfolio
    proxies: Proxies | None

    @property
    def unit(self) -> str:
        """Of losses."""
        return "points" if self.portfolio.asked.minimize is None else "%"


def device_rows(told: ToldPortfolio) -> list[dict[str, Any]]:
    """One flat row a device: its subnet, what that is and loses there, and how its costs are known."""
    found, rows = told.portfolio, []
    pool = found.pool
    for place, one in enumerate(found.served):
        subnet, own = found.kept.of_device[place], found.own[place]
        row: dict[str, Any] = {
            "device": one.name, "weight": float(found.weights[place]), "subnet": pool.names[subnet],
            pool.accuracy: float(pool.top1[subnet]), f"{pool.accuracy}_low": known_or_none(pool.low[subnet]),
            f"{pool.accuracy}_high": known_or_none(pool.high[subnet]), f"{pool.accuracy}_is": pool.kind,
            "lost": float(found.lost[place]), "lost_unit": told.unit, "own_subnet": pool.names[own],
        }  # fmt: skip
        for cost, values in one.costs.items():
            row[cost] = known_or_none(values[subnet])
            row[f"{cost}_is"] = one.known[cost]
        for cost, limit in one.budgets.items():
            row[f"budget_{cost}"] = limit
            row[f"left_of_budget_{cost}"] = 1 - float(one.costs[cost][subnet]) / limit
        rows.append({**row, "why": why(found, place)})
    return rows


def known_or_none(value: float) -> float | None:
    """None for what is not known."""
    return float(value) if math.isfinite(value) else None


def why(found: Portfolio, place: int) -> str:
    """Why a device has its subnet, in a few words."""
    subnet, own = found.kept.of_device[place], found.own[place]
    if found.lost[place] <= NO_LOSS:
        return "the best candidate for it"
    told = f"the best of {len(found.kept.kept)} kept within its budgets"
    return f"{told}; alone it would have {found.pool.names[own]}" if subnet != own else told


def curve_rows(told: ToldPortfolio) -> list[dict[str, Any]]:
    """One row a number of subnets that may be maintained; losses are absent where so few cannot serve all."""
    found, rows = told.portfolio, []
    for most, one in enumerate(found.curve, 1):
        row: dict[str, Any] = {"subnets": most}
        if one is not None:
            lost = found.losses[np.arange(len(found.served)), list(one.of_device)]
            worst = int(lost.argmax())
            row |= {
                "lost": one.loss, "lost_unit": told.unit, "lost_at_least": max(0.0, one.bound), "proven": one.proven,
                "worst": float(lost[worst]), "worst_device": found.served[worst].name,
                "kept": " ".join(found.pool.names[i] for i in one.kept),
            }  # fmt: skip
        rows.append(row)
    return rows


def subnet_rows(told: ToldPortfolio) -> list[dict[str, Any]]:
    """One row a subnet that is kept: its accuracies, and the devices that have it."""
    found, rows = told.portfolio, []
    for place in found.kept.kept:
        mine = [i for i, subnet in enumerate(found.kept.of_device) if subnet == place]
        pool, report = found.pool, found.reports.get(found.pool.names[place])
        rows.append({
            "subnet": pool.names[place], pool.accuracy: float(pool.top1[place]), f"{pool.accuracy}_low": known_or_none(pool.low[place]),
            f"{pool.accuracy}_high": known_or_none(pool.high[place]), "weight": float(found.weights[mine].sum()),
            "devices": [found.served[i].name for i in mine],
            **({f"report_{pool.accuracy}{end}": getattr(report, pool.accuracy + end) for end in ("", "_low", "_high")} if report is not None else {}),
            **({"arch": pool.archs[place].to_dict()} if pool.archs else {}),
        })  # fmt: skip
    return rows


def portfolio_dict(told: ToldPortfolio) -> dict[str, Any]:
    """All figures, as ``portfolio.json`` has them."""
    found = told.portfolio
    return {
        "candidates": {"source": found.pool.source, "number": len(found.pool.names)},
        "asked": found.asked.model_dump(mode="json", exclude_none=True),
        "lost": found.kept.loss, "lost_at_least": max(0.0, found.kept.bound), "lost_unit": told.unit, "proven": found.kept.proven,
        "subnets": subnet_rows(told), "devices": device_rows(told), "curve": curve_rows(told),
        "one_proxy": proxies_dict(told),
    }  # fmt: skip


def proxies_dict(told: ToldPortfolio) -> dict[str, Any] | None:
    if told.proxies is None:
        return None
    names, found = [one.name for one in told.portfolio.served], told.proxies
    return {
        "cost": found.cost,
        "best": found.best.name,
        "enough": found.enough,
        "lost_with_as_many_subnets": found.kept.loss if found.kept is not None else None,
        "spearman": {
            name: dict(zip(names, row, strict=True))
            for name, row in zip(names, found.correlations.round(6).tolist(), strict=True)
        },
        "proxies": [
            {
                "device": one.name, "mean_spearman": one.mean, "least_spearman": one.least, "front_size": len(one.front),
                "lost": one.loss, "lost_unit": told.unit, "worst": known_or_none(one.worst), "worst_device": one.worst_device,
                "without_a_subnet": list(one.without),
            }
            for one in found.every
        ],
    }  # fmt: skip
