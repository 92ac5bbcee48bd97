"""What a run leaves behind: front.csv, front.png, result.json and a table."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cost_models.latency_bound import bound_of, confidence_of
from cost_models.precisions import at_one
from cost_models.protocol import Target
from cost_models.ranges import Range
from cost_models.registry import BOUNDS
from cost_models.timing import LatencyMeasurement
from search.predictors.protocol import Prediction
from search.predictors.scores import Scores, score
from search.proposing.samplers import GUIDED
from search.reports import words as readable
from search.reports.csv_text import csv_text
from search.reports.figures.plots import draw_front
from search.reports.on_device import advice, told_versions, verdict, verified_dict
from search.reports.reselection import origin_figures, told_reselection
from search.reports.units import amount, counted, heading, percent, predicted_percent, scaled, short_number
from search.runs.config import OWN
from search.runs.correction import Corrected
from search.runs.front import by_accuracy, knee
from search.runs.racing import images_saved
from search.runs.results import Result
from search.runs.run import Run
from search.runs.study import Candidate
from supernet import documents
from supernet.accuracy import Accuracy
from supernet.archs.arch import PRECISION

if TYPE_CHECKING:
    from rich.table import Table

CANDIDATES = {
    "validation split": "measured_candidates",
    "predicted": "predicted_candidates",
    "own evaluation": "candidates_of_own_evaluation",
}
"""What the number of candidates is called in JSON, by :attr:`Run.kind`."""
SPLIT_IN_WORDS = {
    "validation split": "on the validation split",
    "predicted": "by prediction",
    "own evaluation": "by your own evaluation",
}
MOST_COLUMNS = 4
"""Of costs, their ranges, and predicted accuracies that a front's table has room for beside accuracies on the report split."""
FRONT_CSV, FRONT_PNG, RESULT_JSON = "front.csv", "front.png", "result.json"


def candidate_dict(
    candidate: Candidate,
    reports: Mapping[str, Accuracy],
    stds: Mapping[str, float] | None = None,
    corrected: Mapping[str, float] | None = None,
    ranges: Mapping[str, Range] | None = None,
    latency: LatencyMeasurement | None = None,
) -> dict[str, Any]:
    """A candidate for JSON, with what was predicted and what was measured; nothing else is known.

    ``stds`` are standard deviations of predicted costs, ``ranges`` the least and greatest of estimated ones;
    ``corrected`` is its :func:`corrected_figures`, ``latency`` was measured on the device.
    """
    measured: dict[str, Accuracy | LatencyMeasurement | None] = {
        "validation": candidate.validation, "report": reports.get(candidate.arch.id), "latency": latency,
    }  # fmt: skip
    return {
        "arch_id": candidate.arch.id,
        "arch": candidate.arch.to_dict(),
        **({"precision": candidate.arch.precision} if PRECISION in candidate.arch.values else {}),
        "trial": candidate.number,
        "predicted": {
            **candidate.costs,
            **{f"{name}_std": std for name, std in (stds or {}).items()},
            **range_figures(ranges or {}),
            **predicted_figures(candidate),
        },
        "measured": {name: asdict(found) for name, found in measured.items() if found is not None},
        **({"validation_corrected_for_choice": dict(corrected)} if corrected else {}),
        **({"own": asdict(candidate.own)} if candidate.own is not None else {}),
    }


def range_figures(ranges: Mapping[str, Range]) -> dict[str, float]:
    """``NAME_low`` and ``NAME_high`` of each range."""
    return {f"{name}_{end}": getattr(found, end) for name, found in ranges.items() for end in ("low", "high")}


def corrected_figures(result: Result, candidate: Candidate) -> dict[str, float]:
    """Validation accuracy corrected for having been chosen, with its 95 % interval, and among how many; empty if not known."""
    found = result.corrected.get(candidate.arch.id)
    if found is None:
        return {}
    name = result.run.axes[0].name
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high, "among": found.among}


def predicted_figures(candidate: Candidate) -> dict[str, float]:
    """The predicted accuracy, if there is one, and its standard deviation, if the predictor knows it."""
    if candidate.predicted is None:
        return {}
    figures = {"top1": candidate.predicted.top1, "top1_std": candidate.predicted.std}
    return {name: value for name, value in figures.items() if value is not None}


def result_dict(result: Result) -> dict[str, Any]:
    run = result.run
    return {
        "run": str(run.folder),
        "supernet": run.supernet.name,
        "fingerprint": run.supernet.fingerprint,
        "device": run.where if run.device is not None else None,
        **({"power_meter": run.power_meter} if run.power_meter is not None else {}),
        "accuracy": run.config.accuracy,
        **({"predictor": run.predictor.card.name} if run.predictor is not None else {}),
        "objectives": list(run.config.objectives),
        "budgets": run.config.budgets,
        "sampler": run.config.sampler,
        "seed": run.config.seed,
        CANDIDATES[run.kind]: len(result.candidates),
        **({"stopped_early": stopped_early(result)} if run.config.race else {}),
        **({"stopped_for_carbon": dict(result.stopped)} if result.stopped is not None else {}),
        ("predictions" if direct(result) else "proposals"): result.proposals,
        **({"outside_domain": run.outside} if run.outside is not None else {}),
        **bound_figures(result),
        **({"rank_correlation": rank_correlation(agreement(result))} if both(result) else {}),
        **verified_figures(result),
        "chosen": candidate_figures(result, result.chosen, run.stds(result.chosen.arch)),
        "knee": knee(result.front, run.axes).arch.id,
        "front": [candidate_figures(result, candidate) for candidate in result.front],
        **origin_figures(result),
    }


def candidate_figures(
    result: Result, candidate: Candidate, stds: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """All that a result knows of one of its candidates, for JSON."""
    corrected, ranges = corrected_figures(result, candidate), result.run.ranges(candidate)
    return candidate_dict(
        candidate, result.reports, stds, corrected, ranges, measured_latency(result, candidate)
    )


def measured_latency(result: Result, candidate: Candidate) -> LatencyMeasurement | None:
    """Its latency as measured on the device, if it was timed."""
    return result.verified.latency_of(candidate) if result.verified is not None else None


def verified_figures(result: Result) -> dict[str, Any]:
    """What timing candidates on the device said, for JSON; empty where none was timed."""
    if result.verified is None:
        return {}
    return {"verified_on_device": verified_dict(result.verified, result.run.axes[0].name)}


def candidate_rows(result: Result, candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """One flat row a candidate, for CSV and data frames; what was not measured is absent."""
    rows = []
    for candidate in candidates:
        report = result.reports.get(candidate.arch.id)
        row: dict[str, Any] = {"arch_id": candidate.arch.id, "chosen": candidate == result.chosen}
        ranges = range_figures(result.run.ranges(candidate))
        figures = {**candidate.costs, **ranges, **predicted_figures(candidate)}
        row.update({f"predicted_{name}": value for name, value in figures.items()})
        if candidate.validation is not None:
            row["validation_top1"] = candidate.validation.top1
            row["validation_top5"] = candidate.validation.top5
        if candidate.own is not None:
            row.update(
                {f"own_{name}": value for name, value in asdict(candidate.own).items() if value is not None}
            )
        if candidate.validation is not None:
            for name in ("top1", "top1_low", "top1_high", "top5", "top5_low", "top5_high"):
                row[f"report_{name}"] = getattr(report, name) if report is not None else None
            for name, value in corrected_figures(result, candidate).items():
                row[f"validation_corrected_{name}"] = value
        if result.verified is not None:
            latency = measured_latency(result, candidate)
            row["measured_latency_ms"] = latency.median_ms if latency is not None else None
        row.update(candidate.arch.network.values)
        if result.run.config.precision:
            row["precision"] = candidate.arch.precision
        rows.append(row)
    return rows


def write_report(result: Result) -> list[Path]:
    """Write the three files into the run folder; returns their paths."""
    folder = result.run.folder
    front, png, js = (folder / name for name in (FRONT_CSV, FRONT_PNG, RESULT_JSON))
    documents.write_text(front, csv_text(candidate_rows(result, result.shown)))
    documents.write_text(js, json.dumps(result_dict(result), indent=2) + "\n")
    draw_front(result, png)
    return [front, png, js]


def result_table(result: Result) -> Table:
    """The front, or for one objective the chosen subnet, for the terminal."""
    return front_table(result) if len(result.run.config.objectives) > 1 else chosen_table(result)


def chosen_table(result: Result) -> Table:
    """One subnet, a figure a line."""
    return readable.table([[("arch", result.chosen.arch.id)], *subnet_lines(result, result.chosen)])


def subnet_lines(result: Result, candidate: Candidate) -> list[readable.Lines]:
    """All figures of a candidate with what they are called: accuracies, then costs; what is not known is not there."""
    run = result.run
    measured = {"report split": result.reports.get(candidate.arch.id), "validation": candidate.validation}
    accuracies = {name: found for name, found in measured.items() if found is not None}
    found = readable.of_subnet(
        accuracies, candidate.costs, run.where, candidate.predicted, run.stds(candidate.arch), run.ranges(candidate),
        measured_latency(result, candidate), run.power_meter,
    )  # fmt: skip
    if (luck := result.corrected.get(candidate.arch.id)) is not None:
        at = [name for name, _ in found[0]].index(f"{name_of(run)} (%), validation")
        found[0].insert(at + 1, (f"{name_of(run)} (%), validation, corrected", readable.corrected(luck)))
    if candidate.own is not None:
        found[0].append(("top-1 (%), own evaluation", f"{100 * candidate.own.top1:.2f}"))
    return found


def name_of(run: Run) -> str:
    """How the run's accuracy is called."""
    return run.axes[0].name.replace("top", "top-")


def most_accurate_table(result: Result, count: int) -> Table:
    """The ``count`` most accurate candidates, a line each."""
    return front_table(result, by_accuracy(result.candidates, result.run.axes)[:count])


def front_table(result: Result, shown: Sequence[Candidate] | None = None) -> Table:
    """One line a subnet, of the front by default; what 80 columns do not hold beside predictions and costs is in front.csv."""
    from rich import box
    from rich.table import Table

    run = result.run
    estimates = ["latency_ms"] if any(name in BOUNDS for name in run.config.budgets) else []
    names = list(dict.fromkeys([*estimates, *run.config.budgets, *(o.name for o in run.axes[1:])]))
    columns: dict[str, Callable[[Candidate, Accuracy | None], str]] = {
        "\narch": lambda c, _: c.arch.id + (" *" if c == result.chosen else "")
    }
    if run.measures:
        columns["top-1 (%)\nreport [95 %]"] = lambda _, report: percent(report, "top1")
    ranged = with_ranges(result, names)
    # ids in int8 are longer
    taken = len(names) + len(ranged) + (result.verified is not None) + bool(run.config.precision)
    if run.measures and run.predictor is None and taken < 3:
        columns["top-5 (%)\nreport"] = lambda _, report: f"{100 * report.top5:.2f}" if report else "-"
    if run.measures and taken + (run.predictor is not None) < 3:
        columns["top-1 (%)\nvalidation"] = lambda c, _: f"{100 * c.value('top1'):.2f}"
    if result.corrected and taken + (run.predictor is not None) < 2:
        columns[f"{name_of(run)} (%)\ncorrected"] = lambda c, _: share_of(result.corrected.get(c.arch.id))
    if run.config.accuracy == OWN:
        columns["top-1 (%)\nown"] = lambda c, _: f"{100 * c.value('top1'):.2f}"
    if run.predictor is not None:
        columns["top-1 (%)\npredicted"] = lambda c, _: predicted_percent(c.predicted)
    for name in names:
        columns[heading(name).replace(" (", "\n(")] = partial(cost_figure, name)
        if name in ranged:
            columns[f"range of\n{heading(name)}"] = partial(range_figure, result.run, name)
    if result.verified is not None:
        columns["latency\nmeasured"] = lambda c, _: latency_figure(measured_latency(result, c))
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in columns:
        made.add_column(head, justify="right" if made.columns else "left")
    for candidate in result.shown if shown is None else shown:
        report = result.reports.get(candidate.arch.id)
        made.add_row(*(figure(candidate, report) for figure in columns.values()))
    return made


def with_ranges(result: Result, names: Sequence[str]) -> list[str]:
    """Those of the costs in a front's table whose ranges are shown: of all that have one, or of none for want of room."""
    found = [name for name in names if name in result.run.ranges(result.chosen)]
    taken = len(names) + (result.run.predictor is not None) + (result.verified is not None)
    return found if taken + len(found) <= MOST_COLUMNS else []


def range_figure(run: Run, name: str, candidate: Candidate, _: Accuracy | None) -> str:
    return readable.briefly(name, run.ranges(candidate)[name])


def latency_figure(found: LatencyMeasurement | None) -> str:
    return "-" if found is None else short_number(found.median_ms) + (" busy" if found.busy else "")


def share_of(luck: Corrected | None) -> str:
    return f"{100 * luck.value:.2f}" if luck is not None else "-"


def cost_figure(name: str, candidate: Candidate, _: Accuracy | None) -> str:
    return short_number(scaled(name, candidate.costs[name]))


def legend(result: Result) -> str:
    """What the table's words mean, a sentence a line."""
    run = result.run
    limits = " and ".join(amount(name, limit) for name, limit in run.config.budgets.items())
    mark = "*" if len(run.config.objectives) > 1 else "The"
    by = SPLIT_IN_WORDS[run.kind]
    costs = f"costs are predicted for {run.where}" if run.device is not None else "costs are computed"
    count = counted(len(result.candidates), "candidate")
    lines = [f"{mark} best {by}{f' within {limits}' if limits else '; no budget was given'}."]
    if run.config.precision:
        lines.append("An arch is in float32, or in int8 where its id says so; all figures are of that.")
    if run.measures:
        lines.append(f"Accuracies are measured [95 % interval]; {costs}.")
        if result.corrected:
            lines.append("Corrected: validation accuracy less what the choice by it added, an estimate.")
    elif run.predictor is None:
        lines.append(f"Accuracies are what the function given in Python says; {costs}.")
    else:
        lines.append(f"No accuracy is measured; {costs}.")
    if ranged := run.ranges(result.chosen):
        lines.append(readable.of_ranges(ranged))
    if len(run.config.objectives) > 1:
        lines += readable.told_power(run.costs, [run.power_meter])
    lines += [line for told in told_bounds(run) for line in textwrap.wrap(told, 80)]
    asked = "predicted" if direct(result) else "proposed"
    if run.predictor is not None:
        lines += [f"Top-1 is predicted by {run.predictor.card.name}", f"for {run.predictor.card.split}."]
        lines += textwrap.wrap(run.outside, 80) if run.outside is not None else []
        lines += textwrap.wrap(of_bound(result), 80) if len(run.config.objectives) == 1 else []
    if both(result):
        lines.append(f"Rank correlation of predicted and measured top-1: {told_scores(agreement(result))}.")
    what = "measured" if run.measures else "kept" if run.predictor is not None else "evaluated"
    if result.reselected is None or result.proposals:
        lines.append(f"{count} {what}, {result.proposals:,} {asked}.")
    lines += told_reselection(result)
    if result.raced:
        stopped = stopped_early(result)
        share = f"{100 * stopped['share_of_images_saved']:.0f} % fewer images evaluated"
        lines.append(f"{stopped['candidates']} more stopped early: {share}.")
    if result.verified is not None:
        lines.append("Measured latency: the median round [quietest, slowest].")
        lines += textwrap.wrap(told_versions(result.verified, run.where), 80)
        if result.verified.holds:
            lines += textwrap.wrap(verdict(result.verified, run.where), 80)
    return "\n".join(lines)


def alarm(result: Result) -> str:
    """What must not be overlooked: that the chosen is not known to hold its budget when measured; empty where it does."""
    verified = result.verified
    if verified is None or verified.holds:
        return ""
    return textwrap.fill(f"{verdict(verified, result.run.where)} {advice(verified)}", 80)


def told_bounds(run: Run) -> list[str]:
    """By how much bounds on latency are above the estimate, and how that is known."""
    found = []
    for name, target, of in (
        (name, *one) for name in run.config.budgets if name in BOUNDS for one in targets_of(run)
    ):
        bound = bound_of(target, confidence_of(name))
        found.append(
            f"The bound{of} is {bound.factor:.3f} times the estimate; at most {100 - 100 * bound.confidence:.0f} % of subnets "
            f"are expected to be slower ({bound.how})."
        )
    return found


def targets_of(run: Run) -> list[tuple[Target, str]]:
    """What costs are of, at each precision that is searched, and how that is told."""
    target = Target(run.supernet, run.device)
    return [(at_one(target, name), f" in {name}") for name in run.supernet.precisions] or [(target, "")]


def bound_figures(result: Result) -> dict[str, float]:
    """What no subnet within the budgets is predicted above, and how far below it the best prediction is, if proven."""
    predicted = [c.predicted.top1 for c in result.candidates if c.predicted is not None]
    if result.upper_bound is None or not predicted:
        return {}
    gap = 100 * (result.upper_bound - max(predicted))
    return {"upper_bound_top1": result.upper_bound, "upper_bound_gap_points": gap}


def of_bound(result: Result) -> str:
    """The same as a sentence, which does not leave out that nothing is proven."""
    assert result.run.predictor is not None
    if not (figures := bound_figures(result)):
        return (
            f"No upper bound: the form of the predictor {result.run.predictor.card.name} does not allow one."
        )
    bound = math.ceil(1e4 * figures["upper_bound_top1"]) / 100  # rounded to the side that is proven
    within = (
        " within the budget" + "s" * (len(result.run.config.budgets) > 1) if result.run.config.budgets else ""
    )
    return (
        f"No subnet{within} is predicted above {bound:.2f} % (gap {figures['upper_bound_gap_points']:.2f} points), "
        "proven by integer programming."
    )


def stopped_early(result: Result) -> dict[str, Any]:
    """How many candidates a race stopped, and which share of all their and the others' images that saved."""
    validation = result.candidates[0].validation
    assert validation is not None
    saved = images_saved(result.raced, len(result.candidates), validation.images)
    return {"candidates": len(result.raced), "share_of_images_saved": saved}


def direct(result: Result) -> bool:
    """Whether the predictor was asked about whole populations, and ``proposals`` counts these."""
    return result.run.predictor is not None and result.run.config.sampler == GUIDED


def told_scores(found: Scores) -> str:
    """Rank correlations in words."""
    if math.isnan(found.spearman):
        return "not defined, all of one kind are equal"
    return f"Spearman {found.spearman:.2f}, Kendall {found.kendall_tau:.2f}"


def rank_correlation(found: Scores) -> dict[str, float]:
    """For JSON, which knows no NaN: what is not defined is absent."""
    figures = {"subnets": found.rows, "spearman": found.spearman, "kendall": found.kendall_tau}
    return {name: value for name, value in figures.items() if not math.isnan(value)}


def both(result: Result) -> bool:
    """Whether there are subnets enough, predicted and measured, to see how well the two agree."""
    return len([c for c in result.candidates if c.predicted is not None and c.validation is not None]) > 2


def agreement(result: Result) -> Scores:
    """How well predictions and measurements agree, of the candidates that have both."""
    pairs = [
        (c.predicted.top1, c.validation.top1)
        for c in result.candidates
        if c.predicted is not None and c.validation is not None
    ]
    predicted, measured = np.array(pairs).T
    return score(Prediction(predicted, None), measured)
