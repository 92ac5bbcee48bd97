"""The charts of a run's page: what the plots show, with every figure of a point where one points at it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from cost_models.registry import OF_A_DEVICE
from search.problem.objectives import Objective
from search.reports.figures.plots import shown_accuracies, shown_costs
from search.reports.page.blocks import Axis, Chart, in_chart
from search.reports.report import corrected_figures, name_of, subnet_lines
from search.reports.units import amount, counted, heading, scaled
from search.reports.words import how_known
from search.runs.front import front
from search.runs.results import Result, evenly
from search.runs.study import RACED, Candidate
from search.storages.following import ARCH_ID, ended_trials

BLUE, VERMILLION, GREEN, ORANGE, SKY, PURPLE, GREY = (
    "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#8a8a8a",
)  # fmt: skip
"""Of Okabe and Ito, which the colour-blind tell apart; traces also differ in the shape of their marks."""
SERIES = (
    (BLUE, "circle"), (VERMILLION, "diamond"), (GREEN, "square"), (ORANGE, "triangle-up"), (PURPLE, "cross"),
    (SKY, "triangle-down"),
)  # fmt: skip
MOST_POINTS = 3_000
"""Candidates that a chart shows; of more some are left out, evenly over the search, and that is told."""
HOVER = "%{text}<extra></extra>"


def figure_of(data: Sequence[Mapping[str, Any]], x: str, y: str, **layout: Any) -> dict[str, Any]:
    """What Plotly draws; colours of text and grid come with the page's theme."""
    return {
        "data": list(data),
        "layout": {
            "xaxis": {"title": {"text": in_chart(x)}, "automargin": True, "zeroline": False},
            "yaxis": {"title": {"text": in_chart(y)}, "automargin": True, "zeroline": False},
            "hovermode": "closest", "margin": {"l": 56, "r": 16, "t": 12, "b": 68},
            "legend": {"orientation": "h", "yanchor": "top", "y": -0.24, "x": 0},
            **layout,
        },
    }  # fmt: skip


def points_of(
    name: str,
    x: Sequence[float],
    y: Sequence[float],
    text: Sequence[str],
    colour: str,
    symbol: str,
    size: int = 8,
    **more: Any,
) -> dict[str, Any]:
    """Marks with a text each."""
    marker = {"color": colour, "symbol": symbol, "size": size, **more.pop("marker", {})}
    return {
        "type": "scatter", "mode": "markers", "name": in_chart(name), "x": list(x), "y": list(y), "text": list(text),
        "hovertemplate": HOVER, "marker": marker, **more,
    }  # fmt: skip


def told_of(result: Result, candidate: Candidate) -> str:
    """All that is known of a candidate, a figure a line, for where one points at it."""
    lines = [f"<b>arch {in_chart(candidate.arch.id)}</b>, trial {candidate.number}"]
    lines += [
        f"{in_chart(name)}: {in_chart(figure)}"
        for rows in subnet_lines(result, candidate)
        for name, figure in rows
    ]
    return "<br>".join(lines)


def texts_of(result: Result) -> dict[int, str]:
    """:func:`told_of` of every candidate that charts show, by its number."""
    return {
        c.number: told_of(result, c)
        for c in {c.number: c for c in [*candidates_drawn(result), *result.shown]}.values()
    }


def accuracy_title(result: Result) -> str:
    predictor = result.run.predictor
    told = "" if result.run.measures or predictor is None else f", predicted by {predictor.card.name}"
    return f"{name_of(result.run)} (%){told}"


def cost_title(result: Result, cost: str) -> str:
    how = how_known(cost, result.run.power_meter)
    return heading(cost) + (f", {how} for {result.run.where}" if cost in OF_A_DEVICE else "")


def candidates_drawn(result: Result) -> list[Candidate]:
    """The candidates that charts show: all, or of many those of the front and some of the others."""
    if len(result.candidates) <= MOST_POINTS:
        return result.candidates
    kept = {c.number for c in [*evenly(result.candidates, MOST_POINTS), *result.shown]}
    return [c for c in result.candidates if c.number in kept]


def told_left_out(result: Result) -> str:
    """That not all are shown; empty where they are."""
    shown = len(candidates_drawn(result))
    every = len(result.candidates)
    return f" Of {every:,} candidates {shown:,} are shown, evenly over the search." if shown < every else ""


def told_outside(
    result: Result, costs: tuple[float, float] | None, accuracies: tuple[float, float] | None
) -> str:
    """How many candidates are outside of what is shown at first; empty where all are inside."""
    accuracy, cost = result.run.axes[:2]
    left, bottom = costs[0] if costs else -math.inf, accuracies[0] if accuracies else -math.inf
    hidden = sum(
        scaled(cost.name, c.value(cost.name)) < left or 100 * c.value(accuracy.name) < bottom
        for c in result.candidates
    )
    if not hidden:
        return ""
    are = "is" if hidden == 1 else "are"
    return f" Shown is what is near the budget: {counted(hidden, 'candidate')} {are} outside, and a double click shows all."


def front_chart(result: Result, texts: Mapping[int, str]) -> Chart:
    """Accuracy against a cost: every candidate, the front, the chosen one, and the budget."""
    accuracy, cost = result.run.axes[:2]
    kind = result.run.kind

    def marks(
        name: str, found: Sequence[Candidate], colour: str, symbol: str, **more: Any
    ) -> tuple[dict[str, Any], Sequence[Candidate]]:
        y = more.pop("y", [100 * c.value(accuracy.name) for c in found])
        x = [scaled(cost.name, c.value(cost.name)) for c in found]
        return points_of(name, x, y, [texts[c.number] for c in found], colour, symbol, **more), found

    line = {"mode": "lines+markers", "line": {"shape": "hv", "color": BLUE, "width": 2}}
    traces = [
        marks(f"candidates, {kind} ({len(result.candidates):,})", candidates_drawn(result), GREY, "circle", size=7),
        marks(f"front, {kind}", result.front, BLUE, "circle", size=8, **line),
        *extra_marks(result, marks),
        marks(
            "chosen", [result.chosen], VERMILLION, "star", size=18,
            marker={"line": {"width": 1, "color": "#ffffff"}},
        ),
    ]  # fmt: skip
    names = [cost.name, *(name for name in result.run.costs if name != cost.name)]
    costs, accuracies = shown_costs(result, cost), shown_accuracies(result, accuracy, cost)
    axes = [
        Axis(
            cost_title(result, name), [[scaled(name, c.value(name)) for c in found] for _, found in traces],
            scaled(name, result.run.config.budgets[name]) if name in result.run.config.budgets else None, name == cost.name,
            costs if name == cost.name else None,
        )
        for name in names
    ]  # fmt: skip
    made = figure_of([trace for trace, _ in traces], cost_title(result, cost.name), accuracy_title(result))
    made["layout"]["xaxis"] |= {"range": costs} if costs else {}
    made["layout"]["yaxis"] |= {"range": accuracies} if accuracies else {}
    limit = result.run.config.budgets.get(cost.name)
    within = f", within {amount(cost.name, limit)} (dashed)" if limit is not None else ""
    told = (
        f"Each mark is a subnet; higher is more accurate, further left is cheaper. The front (blue) is what no other "
        f"candidate beats in both{within}. The star is the chosen subnet. Point at a mark for all its figures, or walk "
        f"over the marks with the arrow keys.{told_outside(result, costs, accuracies)}{told_left_out(result)}"
    )
    return Chart("front", "Accuracy against cost", made, told, axes)


def extra_marks(result: Result, marks: Any) -> list[Any]:
    """What is known of some candidates beside what decided: predictions, report images, and what is corrected."""
    accuracy = result.run.axes[0].name
    found = []
    predicted = [(c, c.predicted.top1) for c in result.candidates if c.predicted is not None]
    if result.run.measures and predicted:
        found.append(
            marks(
                "predicted",
                [c for c, _ in predicted],
                PURPLE,
                "line-ew-open",
                y=[100 * top1 for _, top1 in predicted],
            )
        )
    corrected = [(c, figures) for c in result.shown if (figures := corrected_figures(result, c))]
    if corrected:
        y = [100 * figures[accuracy] for _, figures in corrected]
        found.append(
            marks(
                "validation split, corrected for the choice",
                [c for c, _ in corrected],
                PURPLE,
                "diamond-open",
                y=y,
            )
        )
    reported = [c for c in result.shown if c.arch.id in result.reports]
    if reported:
        ends = [
            [100 * float(getattr(result.reports[c.arch.id], accuracy + end)) for end in ("", "_low", "_high")]
            for c in reported
        ]
        y = [value for value, _, _ in ends]
        error = {
            "type": "data", "symmetric": False, "array": [high - value for value, _, high in ends],
            "arrayminus": [value - low for value, low, _ in ends], "color": GREEN, "thickness": 1.5,
        }  # fmt: skip
        found.append(marks("report split, 95 % interval", reported, GREEN, "square", y=y, error_y=error))
    return found


def progress_chart(result: Result, texts: Mapping[int, str]) -> Chart:
    """Accuracies in the order of the trials, the best so far, and those that were stopped."""
    accuracy = result.run.axes[0].name
    ordered = sorted(candidates_drawn(result), key=lambda c: c.number)
    best_x, best_y, best_text = [], [], []
    best = -1.0
    for candidate in sorted(result.candidates, key=lambda c: c.number):
        value = 100 * candidate.value(accuracy)
        if value > best:
            best = value
            best_x.append(candidate.number)
            best_y.append(value)
            best_text.append(
                f"best from trial {candidate.number} on<br>{texts.get(candidate.number) or told_of(result, candidate)}"
            )
    if ordered and best_x and ordered[-1].number > best_x[-1]:
        best_x.append(ordered[-1].number)
        best_y.append(best)
        best_text.append(best_text[-1])
    traces = [
        points_of(
            f"candidates, {result.run.kind}", [c.number for c in ordered], [100 * c.value(accuracy) for c in ordered],
            [texts[c.number] for c in ordered], GREY, "circle", 7,
        ),
        points_of(
            "best so far", best_x, best_y, best_text, BLUE, "circle", 6, mode="lines",
            line={"shape": "hv", "color": BLUE, "width": 2.5},
        ),
    ]  # fmt: skip
    if result.raced:
        traces.append(stopped_marks(result))
    told = (
        f"Every trial in the order in which the search made it; the line is the best so far.{told_left_out(result)}"
        + (" Open triangles were stopped early; their accuracy is an estimate." if result.raced else "")
    )
    figure = figure_of(traces, "trial (number)", accuracy_title(result))
    return Chart("progress", "How the accuracy rose", figure, told)


def stopped_marks(result: Result) -> dict[str, Any]:
    """Those that a race stopped, at what was estimated of them when it did."""
    numbers: dict[str, int] = {}
    for trial in ended_trials(result.run.study()):
        if RACED in trial.user_attrs:
            numbers.setdefault(
                trial.user_attrs[ARCH_ID], trial.number
            )  # when it was stopped, not when it was told again
    found = sorted(result.raced.items(), key=lambda pair: numbers[pair[0]])
    texts = [
        f"<b>arch {in_chart(arch_id)}</b>, trial {numbers[arch_id]}<br>stopped after {one.images:,} of {one.of:,} images"
        f"<br>{name_of(result.run)} (%), estimated: {100 * one.estimate:.2f}<br>beaten by arch {in_chart(one.rival)}"
        for arch_id, one in found
    ]
    return points_of(
        f"stopped early, estimated ({len(found):,})", [numbers[arch_id] for arch_id, _ in found],
        [100 * one.estimate for _, one in found], texts, ORANGE, "triangle-down-open", 8,
    )  # fmt: skip


MOST_FRONTS = 100
"""Places of a search at which the hypervolume so far is computed."""


def hypervolume_chart(result: Result) -> Chart:
    """How much the front covered after so many trials, against one reference point; for a search for a front."""
    from search.runs.front import coverage, points

    axes = result.run.axes
    ordered = sorted(result.candidates, key=lambda c: c.number)
    steps = evenly(range(1, len(ordered) + 1), MOST_FRONTS)
    found: list[list[Candidate]] = []
    for begin, end in pairwise([0, *steps]):  # a front's candidates are of the one before, or new
        found.append(front([*(found[-1] if found else ()), *ordered[begin:end]], axes))
    worst = points(ordered, axes)
    # all candidates stand for the reference point, the last of these is the front that was found
    covered = coverage([*(points(one, axes) for one in found), worst])[:-1]
    numbers = [ordered[count - 1].number for count in steps]
    texts = [
        f"after trial {number}: {100 * one.hypervolume:.2f} %<br>front of {len(members)}"
        for number, one, members in zip(numbers, covered, found, strict=True)
    ]
    trace = points_of(
        "hypervolume so far", numbers, [100 * one.hypervolume for one in covered], texts, BLUE, "circle", 5,
        mode="lines+markers", line={"shape": "hv", "color": BLUE, "width": 2.5},
    )  # fmt: skip
    told = (
        "The share of the box between the best and the worst values of all candidates that the front dominates: it rises "
        "while the search finds better trade-offs."
    )
    return Chart(
        "hypervolume", "How the front grew", figure_of([trace], "trial (number)", "hypervolume (%)"), told
    )


def agreement_chart(
    name: str, title: str, axis: str, pairs: Sequence[tuple[float, float]], texts: Sequence[str], told: str,
    ends: Sequence[tuple[float, float]] = (),
) -> Chart:  # fmt: skip
    """Measured against predicted, with the line on which they are equal; ``ends`` are those of measured intervals."""
    predicted, measured = zip(*pairs, strict=True)
    more: dict[str, Any] = {}
    if ends:
        more["error_y"] = {
            "type": "data", "symmetric": False, "array": [high - m for (_, high), m in zip(ends, measured, strict=True)],
            "arrayminus": [m - low for (low, _), m in zip(ends, measured, strict=True)], "color": BLUE, "thickness": 1,
        }  # fmt: skip
    low, high = min(*predicted, *measured), max(*predicted, *measured)
    equal = {
        "type": "scatter", "mode": "lines", "name": "equal", "x": [low, high], "y": [low, high], "hoverinfo": "skip",
        "line": {"color": GREY, "dash": "dash", "width": 1.5},
    }  # fmt: skip
    marks = points_of("subnets", predicted, measured, texts, BLUE, "circle", 9, **more)
    return Chart(name, title, figure_of([equal, marks], f"{axis}, predicted", f"{axis}, measured"), told)


def front_figure_of(
    fronts: Sequence[tuple[str, Sequence[Candidate], Sequence[str]]],
    axes: Sequence[Objective],
    x: str,
    y: str,
) -> dict[str, Any]:
    """Several fronts in one figure, each with its name and a text a member."""
    accuracy, cost = axes[:2]
    traces = []
    for i, (name, members, texts) in enumerate(fronts):
        colour, symbol = SERIES[i % len(SERIES)]
        traces.append(
            points_of(
                name, [scaled(cost.name, c.value(cost.name)) for c in members],
                [100 * c.value(accuracy.name) for c in members], texts, colour, symbol, 9, mode="lines+markers",
                line={"shape": "hv", "color": colour, "width": 2, "dash": ("solid", "dash", "dot", "dashdot")[i % 4]},
            )
        )  # fmt: skip
    return figure_of(traces, x, y)
