"""When each trial ran, how long, and by which process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from search.reports.figures.plots import COLOURS, as_typed_texts, new_figure
from search.reports.units import counted
from search.runs.results import Result
from search.runs.study import RACED, own, trial_seconds
from search.storages.workers import process_of
from supernet.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna.trial import FrozenTrial

NO_PROCESS = "not recorded"
MOST_MINUTES, MOST_HOURS = 180, 180
"""Of these a time axis has no longer unit."""
LEAST_WIDTH = 0.0025
"""Of the whole width that the shortest trial has, or it would not be seen."""
TRIAL_KINDS = (
    ("measured or predicted", COLOURS[0]),
    ("stopped early", COLOURS[1]),
    ("over a budget", "#b00020"),
)


def timeline_figure(result: Result) -> Figure:
    """A row a process, in the order in which they began, with its trials as bars. Raises InputError where no times are known."""
    run, study = result.run, result.run.study()
    trials = [
        trial for trial in own(study, study.get_trials(deepcopy=False)) if trial.datetime_start and trial.datetime_complete
    ]  # fmt: skip
    if not trials:
        raise InputError(f"{run.folder} has no trial whose times are known; take another --kind")
    begun = min(seconds_of(trial)[0] for trial in trials)
    lasted = max(sum(seconds_of(trial)) for trial in trials) - begun
    unit, divisor = time_unit(lasted)
    rows: dict[str, list[FrozenTrial]] = {}
    for trial in sorted(trials, key=lambda one: one.number):
        rows.setdefault(process_of(trial) or NO_PROCESS, []).append(trial)
    figure, axes = new_figure(size=(8, 2.0 + 0.45 * min(len(rows), 40)))
    least = LEAST_WIDTH * max(lasted, 1e-3)
    for kind, (label, colour) in enumerate(TRIAL_KINDS):
        bars = [
            (row, seconds_of(t)) for row, of in enumerate(rows.values()) for t in of if trial_kind(t) == kind
        ]
        if bars:
            axes.barh(
                [row for row, _ in bars], [max(length, least) / divisor for _, (_, length) in bars], 0.7,
                left=[(start - begun) / divisor for _, (start, _) in bars], color=colour, edgecolor="white", linewidth=0.4,
                label=f"{label} ({len(bars)})",
            )  # fmt: skip
    labels = [
        f"{NO_PROCESS}: {told_row(of)}" if name == NO_PROCESS else f"process {place}: {told_row(of)}"
        for place, (name, of) in enumerate(rows.items(), 1)
    ]
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(f"time since the first trial ({unit})")
    axes.set_title(f"{run.supernet.name}: {counted(len(trials), 'trial')} by {run.config.sampler}")
    axes.grid(alpha=0.3, axis="x")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return as_typed_texts(figure)


def seconds_of(trial: FrozenTrial) -> tuple[float, float]:
    """When a trial began, by the clock of its machine, and how long it took."""
    assert trial.datetime_start is not None
    return trial.datetime_start.timestamp(), trial_seconds(trial)


def time_unit(seconds: float) -> tuple[str, float]:
    """The unit of a time axis of that length, and its seconds."""
    if seconds < MOST_MINUTES:
        return "s", 1.0
    return ("min", 60.0) if seconds < 60 * MOST_HOURS else ("h", 3600.0)


def trial_kind(trial: FrozenTrial) -> int:
    """Its place in :data:`TRIAL_KINDS`."""
    if trial.state.name == "COMPLETE":
        return 0
    return 1 if RACED in trial.user_attrs else 2


def told_row(trials: Sequence[FrozenTrial]) -> str:
    """How many trials, and what they took in the middle: ``12 trials, 0.31 s``."""
    lengths = sorted(seconds_of(trial)[1] for trial in trials)
    return f"{counted(len(trials), 'trial')}, median {lengths[len(lengths) // 2]:.2g} s"
