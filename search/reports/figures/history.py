"""How a search went, trial by trial: accuracies, the best so far, and what was not measured."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from search.reports.figures.plots import COLOURS, as_typed_texts, new_figure
from search.reports.units import counted
from search.runs.results import Result, settled
from search.runs.study import RACED, own
from search.storages.following import ARCH_ID, ended_trials

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def history_figure(result: Result) -> Figure:
    """Accuracy by trial: candidates, the best so far, those stopped early, and proposals over a budget at the bottom."""
    run, study = result.run, result.run.study()
    accuracy = run.axes[0].name
    figure, axes = new_figure()
    ordered = sorted(settled(run, study), key=lambda c: c.number)
    numbers, values = [c.number for c in ordered], [100 * c.value(accuracy) for c in ordered]
    axes.scatter(numbers, values, s=14, color="#b0b0b0", label=f"candidates ({len(ordered)}), {run.kind}")
    pruned = own(study, [trial for trial in ended_trials(study) if trial.state.name == "PRUNED"])
    last = max([*numbers, *(trial.number for trial in pruned)])
    best = list(accumulate(values, max))
    axes.step(
        [*numbers, last],
        [*best, best[-1]],
        where="post",
        color=COLOURS[0],
        linewidth=1.6,
        label="best so far",
    )
    stopped = [trial for trial in pruned if RACED in trial.user_attrs]
    if stopped:
        estimates = [100 * result.raced[trial.user_attrs[ARCH_ID]].estimate for trial in stopped]
        label = f"stopped early ({len(stopped)}), estimated"
        axes.scatter(
            [trial.number for trial in stopped], estimates, s=24, marker="v", facecolor="none", edgecolor=COLOURS[1],
            label=label,
        )  # fmt: skip
    over = [trial.number for trial in pruned if RACED not in trial.user_attrs]
    if over:
        axes.scatter(
            over, [0.02] * len(over), s=26, marker="|", color="#b00020", transform=axes.get_xaxis_transform(),
            label=f"over a budget ({len(over)}), not evaluated",
        )  # fmt: skip
    chosen = result.chosen
    axes.scatter(
        [chosen.number], [100 * chosen.value(accuracy)], marker="*", s=200, color=COLOURS[1], edgecolor="black", zorder=5,
        label=f"chosen: {chosen.arch.id}",
    )  # fmt: skip
    axes.set_xlabel("trial, in the order in which they began")
    axes.set_ylabel(f"{accuracy.replace('top', 'top-')} (%), {run.kind}")
    axes.set_title(f"{run.supernet.name}: {counted(result.proposals, 'proposal')} by {run.config.sampler}")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return as_typed_texts(figure)
