"""Pictures of fronts, written whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cost_models.registry import OF_A_DEVICE
from search.problem.objectives import Objective
from search.reports.units import amount, heading, scaled
from search.reports.words import how_known
from search.runs.study import Candidate
from supernet.atomic import whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from search.runs.run import Result

COLOURS = ("#0b6e99", "#d9730d", "#4d7c0f", "#ad1a72", "#6940a5", "#64473a")


def new_figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = (8, 5.2)) -> tuple[Figure, Any]:
    """A figure without a display of so many inches, with its axes: one, or an array of rows and columns."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns)


def save_figure(figure: Figure, path: Path) -> None:
    with whole(path) as partial:
        figure.savefig(partial, format="png")


def draw_front(result: Result, path: Path) -> None:
    """Write what :func:`front_figure` shows."""
    save_figure(front_figure(result), path)


def front_figure(result: Result) -> Figure:
    """Accuracy against cost: every candidate, the front, the chosen one, and the budget."""
    accuracy, cost = result.run.axes[:2]
    predictor = result.run.predictor
    figure, axes = new_figure()
    x = [scaled(cost.name, c.value(cost.name)) for c in result.candidates]
    y = [100 * c.value(accuracy.name) for c in result.candidates]
    kind = result.run.kind
    axes.scatter(x, y, s=14, color="#b0b0b0", label=f"candidates ({len(x)}), {kind}")
    draw_steps(axes, result.front, accuracy, cost, COLOURS[0], f"front, {kind}", until=max(x))
    draw_predicted(axes, result, cost)
    draw_reported(axes, result, [c for c in result.shown if c.arch.id in result.reports], accuracy, cost)
    draw_corrected(axes, result, result.shown, cost)
    axes.scatter(
        [scaled(cost.name, result.chosen.value(cost.name))], [100 * result.chosen.value(accuracy.name)],
        marker="*", s=260, color="#d9730d", edgecolor="black", zorder=5, label=f"chosen: {result.chosen.arch.id}",
    )  # fmt: skip
    limit = result.run.config.budgets.get(cost.name)
    if limit is not None:
        label = f"budget {amount(cost.name, limit)}"
        axes.axvline(scaled(cost.name, limit), color="#b00020", linestyle="--", linewidth=1.2, label=label)
    how = how_known(cost.name, result.run.power_meter)
    device = f", {how} for {result.run.where}" if cost.name in OF_A_DEVICE else ""
    axes.set_xlabel(heading(cost.name) + device)
    told = "" if result.run.measures or predictor is None else f", predicted by {predictor.card.name}"
    axes.set_ylabel(f"{accuracy.name.replace('top', 'top-')} (%){told}")
    axes.set_title(
        f"{result.run.supernet.name}: {len(result.candidates)} candidates by {result.run.config.sampler}"
    )
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def draw_steps(
    axes: Axes,
    front: Sequence[Candidate],
    accuracy: Objective,
    cost: Objective,
    colour: str,
    label: str,
    until: float | None = None,
) -> None:
    """A front as a staircase: what is reached with at most this cost; its last step goes on ``until`` there."""
    x = [scaled(cost.name, c.value(cost.name)) for c in front]
    y = [100 * c.value(accuracy.name) for c in front]
    corners = list(range(len(x)))
    if until is not None:
        x, y = [*x, until], [*y, y[-1]]
    axes.step(
        x, y, where="post", color=colour, linewidth=1.6, marker="o", markersize=4, markevery=corners, label=label
    )  # fmt: skip


def draw_predicted(axes: Axes, result: Result, cost: Objective) -> None:
    """What was predicted of subnets that were then measured."""
    pairs = [(c, c.predicted) for c in result.candidates if c.predicted is not None]
    if result.run.measures and pairs:
        axes.scatter(
            [scaled(cost.name, c.value(cost.name)) for c, _ in pairs], [100 * p.top1 for _, p in pairs],
            marker="_", s=50, color=COLOURS[3], label="predicted",
        )  # fmt: skip


def draw_corrected(axes: Axes, result: Result, shown: Sequence[Candidate], cost: Objective) -> None:
    """Validation accuracy without what the choice by it added."""
    pairs = [(c, result.corrected[c.arch.id]) for c in shown if c.arch.id in result.corrected]
    if pairs:
        axes.scatter(
            [scaled(cost.name, c.value(cost.name)) for c, _ in pairs], [100 * found.value for _, found in pairs],
            marker="D", s=30, facecolor="white", edgecolor=COLOURS[3], linewidth=1.3, zorder=6,
            label="validation split, corrected for having been chosen",
        )  # fmt: skip


def draw_reported(
    axes: Axes, result: Result, reported: Sequence[Candidate], accuracy: Objective, cost: Objective
) -> None:
    """Report-split accuracy with its 95 % interval."""
    if not reported:
        return
    found = [result.reports[c.arch.id] for c in reported]
    y = [100 * float(getattr(a, accuracy.name)) for a in found]
    low = [v - 100 * float(getattr(a, f"{accuracy.name}_low")) for v, a in zip(y, found, strict=True)]
    high = [100 * float(getattr(a, f"{accuracy.name}_high")) - v for v, a in zip(y, found, strict=True)]
    axes.errorbar(
        [scaled(cost.name, c.value(cost.name)) for c in reported], y, yerr=[low, high],
        fmt="s", markersize=4, capsize=3, color="#444444", linewidth=1, label="report split, 95 % interval",
    )  # fmt: skip
