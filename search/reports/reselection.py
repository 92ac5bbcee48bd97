"""What is said of a run whose candidates are another one's: of how many it was picked, and how good that may be."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import Any

from search.reports.units import counted, heading
from search.runs.config import OWN
from search.runs.own import is_given
from search.runs.results import Result
from search.runs.run import CONFIG

LINE_WIDTH = 80
NEARLY_ALL = 0.9
"""The share of a budget that the best candidates of a search take at least, as a rule."""


def told_reselection(result: Result) -> list[str]:
    """Sentences in lines of a terminal; none of a run that was searched from the beginning."""
    origin = result.reselected
    if origin is None:
        return []
    known, kept = origin["candidates"], origin["within"]
    of_them = "all of them" if kept == known else f"{kept:,} of them"
    found = f"{counted(known, 'candidate')} of {origin['run']}, {of_them} within"
    if result.proposals and result.run.predictor is None:
        return wrapped_lines(f"It began with {found}.")
    told = [f"Picked from {found}; nothing was searched or trained."]
    told += told_share(result) if len(result.run.config.objectives) == 1 else []
    told += told_prior(origin["bound"]) if "bound" in origin else []
    return [*wrapped_lines(" ".join(told)), *wrapped_lines(told_better(result)), f"  {search_on(result)}"]


def wrapped_lines(text: str) -> list[str]:
    """Paths stay in one piece."""
    return textwrap.wrap(text, LINE_WIDTH, break_on_hyphens=False, break_long_words=False)


def told_share(result: Result) -> list[str]:
    """How much of the budgets the chosen one takes: what is left over, others might use."""
    costs, limits = result.chosen.costs, result.run.config.budgets
    shares = {name: costs[name] / limit for name, limit in limits.items()}
    told = [
        f"{100 * share:.0f} % of the budget of {heading(name).partition(' (')[0]}"
        for name, share in shares.items()
    ]
    if not told:
        return []
    unused = (
        " What is left over is a sign that there are better ones."
        if max(shares.values()) < NEARLY_ALL
        else ""
    )
    return [f"It takes {' and '.join(told)}.{unused}"]


def told_prior(bound: Mapping[str, Any]) -> list[str]:
    top = math.ceil(1e4 * bound["top1"]) / 100  # rounded to the side that is proven
    return [
        f"{bound['predictor']} predicts {100 * bound['of_chosen']:.2f} % of it, and of no subnet within the budgets more "
        f"than {top:.2f} %, which is proven; measured accuracies are others."
    ]


def told_better(result: Result) -> str:
    """What a fresh search could add, as far as that is known."""
    if result.upper_bound is not None:
        return "A search within the budgets comes nearer to that bound, in seconds:"
    return "How much better the best subnet within is, is not known. A search goes on from here:"


def search_on(result: Result) -> str:
    """What to type for as many further candidates as the other run has."""
    run, origin = result.run, result.reselected
    assert origin is not None
    trials = len(result.candidates) + origin["candidates"]
    own = [run.config.supernet, run.config.sampler, *run.config.costs.values()]
    if run.config.accuracy == OWN or any(map(is_given, own)):
        return f"oncefit.search(config={str(run.folder / CONFIG)!r}, out={str(run.folder)!r}, trials={trials}, ...)"
    return f"oncefit search {run.folder / CONFIG} --out {run.folder} --trials {trials}"


def origin_figures(result: Result) -> dict[str, Any]:
    """The same for JSON; empty for a run that was searched from the beginning."""
    return {"reselected_from": dict(result.reselected)} if result.reselected is not None else {}
