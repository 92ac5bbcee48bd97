"""How the search went, and which choices matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from search.reports import report
from search.reports.page import charts
from search.reports.page.blocks import (
    Chart,
    Grid,
    PageBlock,
    Section,
    Words,
    in_chart,
    of_lines,
)
from search.reports.page.importance import (
    FEWEST_TRIALS,
    MOST_WEIGHED,
    Effect,
    effects,
    good_share,
    judged_trials,
)
from search.reports.units import counted
from search.runs.results import Result
from search.runs.study import over_budget_proposals, proposals

if TYPE_CHECKING:
    import optuna


MOST_BARS = 15
"""Dimensions whose importance is drawn."""


def how_it_went(result: Result, study: optuna.Study, texts: Mapping[int, str]) -> Section:
    run = result.run
    over, distinct = over_budget_proposals(study), len(result.candidates) + len(result.raced)
    made = proposals(study)
    lines = [
        ("candidates within the budgets", f"{len(result.candidates):,}"),
        ("stopped early, clearly beaten", f"{len(result.raced):,}" if run.config.race else "-: no race"),
        ("proposals over a budget, not measured", f"{over:,}"),
        ("proposals of what was known already", f"{max(made - over - distinct, 0):,}"),
        ("proposals in all", f"{made:,}"),
    ]
    if report.direct(result):
        lines = [("candidates kept, the best by prediction", f"{len(result.candidates):,}"),
                 ("subnets whose accuracy was predicted", f"{result.proposals:,}")]  # fmt: skip
    if result.raced:
        stopped = report.stopped_early(result)
        lines.append(("images that the race saved (%)", f"{100 * stopped['share_of_images_saved']:.1f}"))
    blocks: list[PageBlock] = [charts.progress_chart(result, texts)]
    if len(run.config.objectives) > 1:
        blocks.append(charts.hypervolume_chart(result))
    if result.stopped is not None:
        figures = "; ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in result.stopped.items())
        blocks.append(
            Words(
                [
                    f"The search ended by itself for its carbon. What was expected of further trials: {figures}."
                ]
            )
        )
    return Section("search", "How the search went", [*blocks, of_lines("Trials", [lines])])


def what_matters(result: Result, study: optuna.Study) -> Section:
    found = effects(result.run, study)
    title = "Which choices matter"
    if not found:
        why = (
            "the trials are the best by prediction, all alike"
            if report.direct(result)
            else f"it takes {FEWEST_TRIALS} trials of different accuracies"
        )
        return Section("choices", title, [Words([f"Not computed: {why}."])])
    name, trials = report.name_of(result.run), len(judged_trials(result.run, study))
    note = (
        f"PED-ANOVA, as Optuna computes it: how much each choice sets the most accurate {100 * good_share(trials):.0f} % of "
        f"{trials:,} trials apart from all, as shares that add up to 100 %; in brackets the middle 90 % of resampled trials. "
        "A search looks most where it is good, so means by choice tell what it saw, not what a choice alone would do. "
        "kernel.3.1 is the kernel size of block 1 of stage 3. Dimensions of blocks that most trials skip are left out."
        + (
            f" Of more trials {MOST_WEIGHED} are taken, evenly over the search."
            if trials == MOST_WEIGHED
            else ""
        )
    )
    rows = [
        [
            one.name,
            f"{100 * one.importance:.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]",
            by_choice(one, name),
        ]
        for one in found
    ]
    table = Grid(
        "Every dimension", ["dimension", "importance (%) [90 %]", f"mean {name} by choice"], rows, note, True
    )
    return Section("choices", title, [importance_chart(found[:MOST_BARS], name, len(found)), table])


def by_choice(one: Effect, name: str) -> str:
    kind = f"{name} "
    return "; ".join(
        f"{choice}: {kind}{100 * mean:.2f} % ({counted(trials, 'trial')})"
        for choice, (mean, trials) in one.by_choice.items()
    )


def importance_chart(found: Sequence[Effect], name: str, of: int) -> Chart:
    ordered = list(reversed(found))
    texts = [
        f"<b>{in_chart(one.name)}</b>: {100 * one.importance:.1f} % [{100 * one.low:.1f}, {100 * one.high:.1f}]<br>"
        + in_chart(by_choice(one, name)).replace("; ", "<br>")
        for one in ordered
    ]
    bars = {
        "type": "bar", "orientation": "h", "name": "importance", "x": [100 * one.importance for one in ordered],
        "y": [in_chart(one.name) for one in ordered], "text": texts, "textposition": "none",
        "hovertemplate": charts.HOVER, "marker": {"color": charts.SKY},
        "error_x": {
            "type": "data", "symmetric": False, "array": [100 * (one.high - one.importance) for one in ordered],
            "arrayminus": [100 * (one.importance - one.low) for one in ordered], "color": charts.GREY, "thickness": 1.5,
        },
    }  # fmt: skip
    figure = charts.figure_of(
        [bars], "share of all importance (%)", "", showlegend=False, height=120 + 24 * len(found)
    )
    told = f"The {len(found)} most important of {of} dimensions for {name}; whiskers: the middle 90 % of resampled trials."
    return Chart("importance", "Importance of dimensions", figure, told)
