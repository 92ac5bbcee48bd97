"""What was asked: supernet, space, budgets, device, sampler, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.reports import words as readable
from search.reports.page.blocks import (
    PageBlock,
    Section,
    Words,
    of_lines,
)
from search.reports.units import amount, counted, heading
from search.runs.config import BOTH, OWN
from search.runs.run import Run
from search.storages.following import followed

if TYPE_CHECKING:
    import optuna


RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def what_was_searched(run: Run, study: optuna.Study) -> Section:
    config, space = run.config, run.supernet.space
    asked = [
        ("supernet", f"{run.supernet.name}, {counted_subnets(space.size)}"),
        ("objectives", ", ".join(objective_words(o.name) for o in run.problem.objectives)),
        ("budgets", "; ".join(f"{heading(n).partition(' (')[0]} at most {amount(n, v)}" for n, v in config.budgets.items()) or "none"),
        ("accuracy", {OWN: "by a function of your own", "measured": "measured", BOTH: "predicted, and the best measured"}.get(config.accuracy, "predicted")),
        ("device", run.where or "none: costs are computed"),
        ("sampler", f"{config.sampler}, seed {config.seed}"),
        ("trials", f"{config.trials:,}" + (", racing" if config.race else "")),
    ]  # fmt: skip
    asked += [(f"{name}, only", ", ".join(map(str, choices))) for name, choices in config.space.items()]
    asked += [("images", str(config.data or run.supernet.data))] if run.measures else []
    if run.predictor is not None:
        asked.append(("predictor", f"{run.predictor.card.name}, for {run.predictor.card.split}"))
    if (times := when(study)) is not None:
        asked.append(("searched", times))
    blocks: list[PageBlock] = [of_lines("The question", [asked])]
    if run.device is not None:
        blocks.append(of_lines(f"The device, {run.where}", readable.of_device(run.device)))
    if run.outside is not None:
        blocks.append(Words([run.outside]))
    return Section("question", "What was searched", blocks)


def objective_words(name: str) -> str:
    """An objective in words, with its unit."""
    return (
        f"{name.replace('top', 'top-')} (%), higher is better"
        if name.startswith("top")
        else f"{heading(name)}, lower is better"
    )


def counted_subnets(size: int) -> str:
    if size < 10**6:
        return counted(size, "subnet")
    digits, _, power = f"{float(size):.1e}".partition("e+")
    return f"{digits} × 10{str(int(power)).translate(RAISED)} subnets"


def when(study: optuna.Study) -> str | None:
    """The days and hours of the first and the last trial, as the machine's clock had them."""
    now = followed(study)
    starts = [when for when in (trial.datetime_start for of in (now.ended, now.open) for trial in of) if when]
    ends = [when for when in (trial.datetime_complete for trial in now.ended) if when]
    if not starts or not ends:
        return None
    return f"{min(starts):%Y-%m-%d %H:%M:%S} to {max(ends):%Y-%m-%d %H:%M:%S}, by the clock of the machine"
