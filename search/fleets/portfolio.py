"""A portfolio: at most K subnets for many devices, chosen among the candidates of one study.

Each device counts by its requests a day, and has the best of the kept subnets within its budgets: the most accurate, or
the one with the least of a cost that has at least an accuracy (``floor``). What that loses against a subnet of its own,
the best candidate for that device, is the least that at most K can lose, with a proven gap
(:mod:`search.feasible.few_for_many`); so it is for every other number, 1 to as many as there are devices.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cost_models.device import Device
from cost_models.devices import imported, open_device
from cost_models.protocol import Target
from cost_models.registry import OF_A_DEVICE, Cost, build
from cost_models.variants import Variant
from search.feasible.budget_messages import round_up, share_percent
from search.feasible.few_for_many import KeptFew, Mask, choose_few, fewest
from search.fleets.fleet import label_of
from search.fleets.portfolio_candidates import CandidatePool, read_pool
from search.fleets.portfolio_file import PortfolioFile, ServedDevice, resolved_cost
from search.problem.confidence import LATENCY
from search.runs.fleet_devices import DEVICES
from search.runs.own import is_given, own_cost
from search.runs.results import reported, settled
from supernet import documents
from supernet.accuracy import Accuracy
from supernet.arrays import Floats
from supernet.errors import InputError, few, some, unknown
from supernet.messages import Say

TO_POINTS = 100
SHARE_OF_ASKED = 0.5
"""Of all seconds, for the number of subnets that is asked for; the rest is for the curve."""
NO_LOSS = 1e-9
"""A loss, in points or percent, that is none."""


@dataclass(frozen=True)
class PortfolioDevice:
    """A device of a portfolio: its budgets, and costs (candidates,) that are NaN where they are not known.

    ``known`` says of each cost whether it is predicted or measured.
    """

    name: str
    asked: ServedDevice
    budgets: Mapping[str, float]
    costs: Mapping[str, Floats]
    known: Mapping[str, str]

    def within(self, slack: float) -> Mask:
        """Which candidates keep all budgets, of each of which a share is held back."""
        kept = np.ones(len(next(iter(self.costs.values()))), dtype=np.bool_)
        for name, limit in self.budgets.items():
            kept &= self.costs[name] <= limit * (1 - slack)
        return kept


@dataclass(frozen=True)
class Portfolio:
    """What was chosen. ``losses`` (devices, candidates) are points of top-1, or percent of the cost that is minimised.

    ``curve`` has the best choice of at most 1, 2, ... subnets; None where none serves all devices, or none was found.
    """

    asked: PortfolioFile
    pool: CandidatePool
    served: tuple[PortfolioDevice, ...]
    weights: Floats
    losses: Floats
    kept: KeptFew
    curve: tuple[KeptFew | None, ...]
    reports: Mapping[str, Accuracy] = field(default_factory=dict)

    @property
    def own(self) -> tuple[int, ...]:
        """The candidate that each device would have for itself."""
        return tuple(self.losses.argmin(axis=1).tolist())

    @property
    def lost(self) -> Floats:
        """What each device loses against a subnet of its own."""
        return self.losses[np.arange(len(self.served)), list(self.kept.of_device)]


def make_portfolio(asked: PortfolioFile, say: Say, pool: CandidatePool | None = None) -> Portfolio:
    """The best subnets for the devices that are asked for. Raises InputError for a device that no candidate serves."""
    pool = pool if pool is not None else read_pool(asked, say)
    served = served_devices(asked, pool, say)
    check_floor(asked, pool)
    can = np.array([one.within(asked.slack) for one in served])
    check_served(asked, pool, served, can)
    if asked.floor is not None:
        can &= pool.top1 >= asked.floor
        check_above_floor(asked, pool, served, can)
    weights = np.array([one.asked.weight for one in served])
    weights = weights / weights.sum()
    losses = losses_of(asked, pool, served, can, weights)
    kept, curve = curve_of(losses, weights, asked)
    return Portfolio(asked, pool, served, weights, losses, kept, curve)


def with_reports(found: Portfolio, say: Say) -> Portfolio:
    """The same with the kept subnets' accuracies on the report split, which are measured where they are missing."""
    if not found.pool.runs:
        return found
    run = next(iter(found.pool.runs.values()))
    if not run.measures:
        return found
    pool = [c for one in found.pool.runs.values() for c in settled(one, one.study())]
    ids = {found.pool.names[place] for place in found.kept.kept}
    finals = list({c.arch.id: c for c in pool if c.arch.id in ids}.values())
    reports = reported(run, run.study(), finals, say)
    return replace(found, reports={name: reports[name] for name in ids})


# -- devices -----------------------------------------------------------------------


def served_devices(asked: PortfolioFile, pool: CandidatePool, say: Say) -> tuple[PortfolioDevice, ...]:
    """The devices that are asked for, or those of the search, each with its costs of all candidates."""
    entries = asked.devices
    if not entries and len(pool.runs) > 1:
        entries = tuple(ServedDevice(device=name) for name in pool.runs)
    if not entries:
        raise InputError(
            f"the portfolio needs {DEVICES}, each with budgets: {DEVICES}: {{host: {{latency_ms: 0.12}}, ...}}; only a search "
            "for several devices has its own"
        )
    found = [served_device(entry, asked, pool, say) for entry in entries]
    names = [one.name for one in found]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise InputError(
            f"{DEVICES}: {few(twice)} is given twice; two of one name need names of their own, as {{base: host, name: office}}, "
            "and more of one kind are its count"
        )
    return tuple(found)


def served_device(
    entry: ServedDevice, asked: PortfolioFile, pool: CandidatePool, say: Say
) -> PortfolioDevice:
    """One device: from columns of the file, from the search, or as a device of its own, whose costs are predicted."""
    name = label_of(entry.device)
    budgets = {resolved_cost(cost): limit for cost, limit in entry.budgets.items()}
    if not budgets and name in pool.runs:
        budgets = dict(pool.runs[name].config.budgets)
    if not budgets and asked.minimize is None:
        raise InputError(f"{DEVICES}: {name} has no budget; give one, as {{{name}: {{latency_ms: 25}}}}")
    columns = {resolved_cost(cost): column for cost, column in entry.columns.items()}
    if not columns and name in pool.columns:
        columns = {next(iter(budgets)) if len(budgets) == 1 else LATENCY: name}
    wanted = dict.fromkeys([*budgets, *([resolved_cost(asked.minimize)] if asked.minimize else [])])
    costs = {cost: column_of(pool, column, name) for cost, column in columns.items()}
    known = {cost: how_a_column_is_known(column) for cost, column in columns.items()}
    if missing := [cost for cost in wanted if cost not in costs]:
        more = predicted_costs(entry, missing, pool, say)
        costs, known = {**costs, **more}, {**known, **dict.fromkeys(more, "predicted")}
    return PortfolioDevice(name, entry, budgets, costs, known)


def how_a_column_is_known(column: str) -> str:
    return "predicted" if column.startswith("predicted_") else "measured"


def column_of(pool: CandidatePool, column: str, device: str) -> Floats:
    if column not in pool.columns:
        raise unknown(f"column for the device {device} in {pool.source}", column, pool.columns)
    return pool.columns[column]


def predicted_costs(
    entry: ServedDevice, names: Sequence[str], pool: CandidatePool, say: Say
) -> dict[str, Floats]:
    """Costs of all candidates on a device. Raises InputError for one that is not known."""
    name = label_of(entry.device)
    if pool.supernet is None:
        raise InputError(
            f"{DEVICES}: {name} needs {few(list(names))} of the candidates, and {pool.source} has no column for it: name one, as "
            f"columns: {{{names[0]}: COLUMN}}, or say of which supernet they are, so that it is predicted: supernet: NAME. "
            f"Its columns: {some(pool.columns)}"
        )
    target = Target(pool.supernet, device_for(entry, names, pool, say))
    space = pool.supernet.space
    codes = space.encode([space.arch(arch.values) for arch in pool.archs])
    return {cost: model_of(cost, target, pool).batch(codes) for cost in names}


def device_for(entry: ServedDevice, names: Sequence[str], pool: CandidatePool, say: Say) -> Device | None:
    """The device of an entry; None where no cost is of one."""
    name = label_of(entry.device)
    if not isinstance(entry.device, Variant) and name in pool.devices:
        return pool.devices[name]
    if not any(cost in OF_A_DEVICE for cost in names):
        return None
    assert pool.supernet is not None
    known = [*pool.runs, *pool.columns, *documents.names("devices"), *(one.name for one in imported())]
    if isinstance(entry.device, str) and not entry.device.endswith((".yaml", ".yml")) and name not in known:
        raise unknown(f"device in {DEVICES}:", name, known)
    return open_device(entry.device, pool.supernet, say)


def model_of(name: str, target: Target, pool: CandidatePool) -> Cost:
    """A cost by its name, those included that the run added."""
    run = next(iter(pool.runs.values()), None)
    extra = run.config.costs if run is not None else {}
    if run is not None and is_given(extra.get(name, "")):
        return own_cost(name, run.own, target.supernet.space)
    return build(name, target, extra)


# -- what cannot be served ------------------------------------------------------------


def check_floor(asked: PortfolioFile, pool: CandidatePool) -> None:
    """Raises InputError for a floor that no candidate meets."""
    if asked.floor is not None and not (pool.top1 >= asked.floor).any():
        best = int(np.nanargmax(pool.top1))
        raise InputError(
            f"floor: {asked.floor:g}: no candidate of {pool.source} has a {pool.accuracy} of so much; the best, {pool.names[best]}, has "
            f"{pool.top1[best]:.4f}. Lower the floor, or search on"
        )


def check_served(
    asked: PortfolioFile, pool: CandidatePool, served: Sequence[PortfolioDevice], can: Mask
) -> None:
    """Raises InputError that names every device without a candidate, and the nearest one for it."""
    wrong = [one for one, row in zip(served, can, strict=True) if not row.any()]
    if wrong:
        raise InputError(
            "; ".join(told_unserved(one, asked, pool) for one in wrong[:3]) + more_than(wrong, 3)
        )


def more_than(items: Sequence[object], shown: int) -> str:
    return f"; and {len(items) - shown} more devices" if len(items) > shown else ""


def told_unserved(one: PortfolioDevice, asked: PortfolioFile, pool: CandidatePool) -> str:
    """What is said of a device that no candidate serves."""
    held = {name: limit * (1 - asked.slack) for name, limit in one.budgets.items()}
    over = np.max([one.costs[name] / limit - 1 for name, limit in held.items()], axis=0)
    if np.isnan(over).all():
        return f"device {one.name}: no candidate of {pool.source} has all of its costs {few(list(held))}"
    nearest = int(np.nanargmin(over))
    limits = " and ".join(f"{name} <= {limit:.6g}" for name, limit in held.items())
    held_back = f", the budget less the slack of {share_percent(asked.slack)}" if asked.slack else ""
    figures = ", ".join(f"{name} {one.costs[name][nearest]:.6g}" for name in held)
    raised = ", ".join(
        f"{name}: {round_up(one.costs[name][nearest] / (1 - asked.slack)):g}"
        for name, limit in held.items()
        if one.costs[name][nearest] > limit
    )
    return (
        f"device {one.name}: no candidate of {pool.source} has {limits}{held_back}; the nearest, {pool.names[nearest]}, has {figures}, "
        f"{share_percent(float(over[nearest]))} over. This would do: {{{raised}}}; or search for subnets that are smaller"
    )


def check_above_floor(
    asked: PortfolioFile, pool: CandidatePool, served: Sequence[PortfolioDevice], can: Mask
) -> None:
    """Raises InputError for devices within whose budgets no candidate meets the floor."""
    told = []
    for one, row in zip(served, can, strict=True):
        if not row.any():
            inside = np.flatnonzero(one.within(asked.slack))
            best = int(inside[np.argmax(pool.top1[inside])])
            told.append(
                f"device {one.name}: no candidate within its budgets has a {pool.accuracy} of {asked.floor:g}; the nearest, "
                f"{pool.names[best]}, has {pool.top1[best]:.4f}"
            )
    if told:
        raise InputError("; ".join(told[:3]) + more_than(told, 3) + ". Lower the floor, or raise the budgets")


# -- the choice --------------------------------------------------------------------


def losses_of(
    asked: PortfolioFile, pool: CandidatePool, served: Sequence[PortfolioDevice], can: Mask, weights: Floats
) -> Floats:
    """What each device loses with each candidate against its own best; infinite where it cannot have it.

    In points of accuracy; of a cost that is minimised in percent of what all devices have with subnets of their own.
    """
    if asked.minimize is None:
        value = np.where(can, -TO_POINTS * pool.top1, np.inf)
        return np.asarray(value - value.min(axis=1, keepdims=True))
    name = resolved_cost(asked.minimize)
    costs = np.array([one.costs[name] for one in served])
    value = np.where(can & np.isfinite(costs), costs, np.inf)
    own = value.min(axis=1)
    return np.asarray((value - own[:, None]) / float(weights @ own) * TO_POINTS)


def curve_of(
    losses: Floats, weights: Floats, asked: PortfolioFile
) -> tuple[KeptFew, tuple[KeptFew | None, ...]]:
    """The best choice of at most as many as are asked for, and of at most 1, 2, ... up to the number of devices.

    Raises InputError where so few cannot serve all devices.
    """
    until = time.monotonic() + asked.seconds
    count = len(losses)
    wanted = min(asked.most, count)
    start, least = fewest(losses, SHARE_OF_ASKED * asked.seconds)
    if wanted < least:
        raise too_few(asked.most, start, least)
    known = [start] if start is not None else []
    seconds = max(0.0, SHARE_OF_ASKED * (until - time.monotonic()))
    kept = choose_few(losses, weights, wanted, seconds, known)
    if kept is None:
        raise too_few(asked.most, start, least)
    found: dict[int, KeptFew] = {wanted: kept}
    others = [number for number in range(least, count + 1) if number != wanted]
    for place, number in enumerate(others):
        before = [one for size, one in found.items() if size < number]
        if free := [one for one in before if one.loss <= NO_LOSS]:
            found[number] = min(free, key=lambda one: len(one.kept))
            continue
        seconds = max(0.0, until - time.monotonic()) / (len(others) - place)
        if (one := choose_few(losses, weights, number, seconds, [*known, *before])) is not None:
            found[number] = one
    curve = tuple(found.get(number) for number in range(1, count + 1))
    return thrifty(curve, wanted), curve


def thrifty(curve: Sequence[KeptFew | None], wanted: int) -> KeptFew:
    """The choice of at most so many, with fewer where these lose no more."""
    asked = curve[wanted - 1]
    assert asked is not None
    same = (one for one in curve[:wanted] if one is not None and one.loss <= asked.loss + NO_LOSS)
    return replace(next(same), bound=min(asked.bound, asked.loss))


def too_few(most: int, start: KeptFew | None, least: int) -> InputError:
    """What is said where so few subnets serve not all devices."""
    enough = f"{len(start.kept)} do" if start is not None else f"it takes {least} at least"
    return InputError(
        f"subnets: {most}: no {most} of the candidates keep the budgets of all devices, and {enough}: --subnets "
        f"{len(start.kept) if start is not None else least}; or raise the budgets, or search for a subnet that keeps them all"
    )
