"""Which choices an accuracy depended on, as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.reports.figures.plots import COLOURS, as_typed_texts, new_figure
from search.reports.page.importance import FEWEST_TRIALS, effects, good_share, judged_trials
from search.runs.results import Result
from supernet.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CHOICES = 15
"""Dimensions that are drawn, the most important ones."""


def importance_figure(result: Result) -> Figure:
    """Shares of importance with the middle 90 % of resampled trials. Raises InputError where the trials do not say."""
    run, study = result.run, result.run.study()
    found, trials = effects(run, study), len(judged_trials(run, study))
    if not found:
        raise InputError(
            f"{run.folder} has {trials} trials that say which choices matter, and it takes {FEWEST_TRIALS} of different "
            "accuracies; search with more trials, or with --sampler tpe, nsga2 or random where accuracies are predicted"
        )
    shown = found[:MOST_CHOICES]
    figure, axes = new_figure(size=(8, 1.7 + 0.27 * len(shown)))
    shares = [100 * one.importance for one in shown]
    ends = [
        [100 * (one.importance - one.low) for one in shown], [100 * (one.high - one.importance) for one in shown]
    ]  # fmt: skip
    axes.barh(range(len(shown)), shares, color=COLOURS[0], label="share of all importance")
    axes.errorbar(
        shares, range(len(shown)), xerr=ends, fmt="none", ecolor="#444444", capsize=3, linewidth=1,
        label="middle 90 % of resampled trials",
    )  # fmt: skip
    for row, one in enumerate(shown):
        best = max(one.by_choice, key=lambda choice: one.by_choice[choice][0])
        axes.annotate(
            f"best mean: {best}", (100 * max(one.high, one.importance), row), xytext=(6, 0), textcoords="offset points",
            va="center", fontsize=7.5,
        )  # fmt: skip
    axes.set_yticks(range(len(shown)), [one.name for one in shown], fontsize=8)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 122 * max(one.high for one in shown))
    axes.set_xlabel(
        f"how much it sets the best {100 * good_share(trials):.0f} % of {trials} trials apart (%), by PED-ANOVA"
    )
    more = f", {len(shown)} of {len(found)} choices" if len(shown) < len(found) else ""
    axes.set_title(f"{run.supernet.name}: which choices matter{more}")
    axes.grid(alpha=0.3, axis="x")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return as_typed_texts(figure)
