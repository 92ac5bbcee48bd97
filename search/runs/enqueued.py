"""Archs that a search evaluates first: given in any encoding, kept in the run's config, owned by one trial each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cost_models.registry import Cost
from search.problem.limits import over_budget
from search.runs.config import BOTH, RunConfig
from supernet.archs.arch import BITS_OF, PRECISION, Arch
from supernet.archs.space import SearchSpace
from supernet.errors import InputError, prefixed
from supernet.families.catalog import Supernet
from supernet.ofa_format.given import Given, called, given_arch, within_space


def with_enqueued(
    config: RunConfig, begun: RunConfig | None, supernet: Supernet
) -> tuple[RunConfig, Mapping[Arch, str]]:
    """The config with its archs spelled out, and how each was called that is new.

    What a run began with stays, whatever it is told now; an arch that is given twice counts once, one that does not
    say its precision, where that is searched, at each. Raises InputError
    for what is no arch of the supernet, or not within the choices that the search leaves.
    """
    before = [within_space(data, supernet) for data in (begun.enqueue if begun is not None else ())]
    given = {}
    for data in config.enqueue:
        try:
            given.update(dict.fromkeys(at_every_precision(data, supernet), called(data)))
        except InputError as error:
            raise prefixed(error, "enqueue") from None
    archs = dict.fromkeys([*before, *given])
    new = {arch: name for arch, name in given.items() if arch not in before}
    return config.model_copy(update={"enqueue": tuple(arch.to_dict() for arch in archs)}), new


def at_every_precision(data: Given, supernet: Supernet) -> list[Arch]:
    """The archs that are meant: one, or where it says no precision and the supernet's archs do, one for each."""
    if not supernet.precisions or PRECISION in given_arch(data, supernet).values:
        return [within_space(data, supernet)]
    network = within_space(data, supernet.of_networks)
    return [supernet.space.arch({**network.values, PRECISION: BITS_OF[name]}) for name in supernet.precisions]


def check_enqueued(config: RunConfig, costs: Mapping[str, Cost], given: Mapping[Arch, str]) -> None:
    """Raises InputError for an arch over a budget, and for more archs than the run may have."""
    for arch, name in given.items():
        try:
            known = {cost: costs[cost](arch) for cost in config.budgets}
        except InputError as error:
            raise prefixed(error, name) from None
        for cost, excess in over_budget(known, config.budgets).items():
            if excess > 0:
                raise InputError(
                    f"{name}: arch {arch.id} cannot be enqueued: its {cost} is {known[cost]:g}, over the budget of "
                    f"{config.budgets[cost]:g}; leave it out, or raise the budget"
                )
    check_counts(config)


def enqueued_archs(config: RunConfig, space: SearchSpace) -> tuple[Arch, ...]:
    """Of a config that has them spelled out."""
    return tuple(space.from_dict(data) for data in config.enqueue)


def check_counts(config: RunConfig) -> None:
    """Raises InputError for more archs than the run may have, or measures."""
    check_room(config.trials, 0, len(config.enqueue))
    if config.accuracy == BOTH and len(config.enqueue) > config.measure:
        raise InputError(
            f"{len(config.enqueue)} archs are to be evaluated first, and measure: {config.measure} are measured; "
            "give --measure at least as many"
        )


def check_room(trials: int, done: int, missing: int) -> None:
    """Raises InputError where a run has not as many trials left as archs that are to be evaluated first."""
    if missing and done + missing > trials:
        raise InputError(
            f"{missing} archs are to be evaluated first, but the run has {done} of its {trials} trials "
            f"behind it; give --trials {done + missing} or more"
        )


def spelled(given: Sequence[Any]) -> list[Any]:
    """As a config has them, of what a caller may give: an :class:`Arch` becomes its mapping, a path its text."""
    return [
        one.to_dict() if isinstance(one, Arch) else dict(one) if isinstance(one, Mapping) else str(one)
        for one in given
    ]
