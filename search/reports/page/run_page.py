"""The page of one run, section by section: what was asked, what was found, and how it is known."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from cost_models.deployment import Deployment
from cost_models.registry import OF_A_DEVICE
from cost_models.tables import TableCost
from search.reports import report
from search.reports import words as readable
from search.reports.carbon import ledger, of_search
from search.reports.carbon_tables import carbon_table, pays, sentences, with_range
from search.reports.on_device import line_of_timed, told_versions, verdict
from search.reports.page import charts
from search.reports.page.blocks import (
    Chart,
    Code,
    Grid,
    Page,
    PageBlock,
    Section,
    Tile,
    Tiles,
    Words,
    in_chart,
    of_lines,
    of_table,
)
from search.reports.page.importance import FEWEST_TRIALS, Effect, effects, good_share, judged_trials
from search.reports.units import amount, counted, heading, percent, predicted_percent, scaled, short_number
from search.runs.config import BOTH, OWN, to_yaml
from search.runs.own import is_given
from search.runs.run import CONFIG, DEVICE, Result, Run
from search.runs.study import Candidate, over_budget_proposals, proposals, saved
from supernet.archs.arch import Arch
from supernet.errors import InputError

if TYPE_CHECKING:
    import optuna

    from search.reports.carbon import TwoPlans

MOST_ROWS = 300
"""Candidates in the table; of more the front and the most accurate are shown."""
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
MOST_BARS = 15
"""Dimensions whose importance is drawn."""


@dataclass(frozen=True)
class Serving:
    """What a deployment is told for the ledger: with its folder, from which its paths are."""

    deployment: Deployment
    folder: Path


def page_of_run(run: Run, result: Result | None, serving: Serving | None = None) -> Page:
    """All that is known of a run now; ``result`` is None where nothing was found yet."""
    study = run.study()
    sections = [what_was_searched(run, study)]
    if result is None:
        waiting = Words([f"No candidate yet: {counted(proposals(study), 'proposal')} so far."])
        sections.insert(0, Section("result", "Result", [waiting]))
    else:
        texts = charts.texts_of(result)
        sections = [
            what_was_found(result),
            sections[0],
            the_front(result, texts),
            against_the_ends(result),
            how_it_went(result, study, texts),
            what_matters(result, study),
            how_good_predictions_are(result),
            carbon_of(result, serving),
            what_is_proven(result),
            bundles_of(run),
        ]
    sections.append(again(run))
    goal = "The most accurate subnets" if len(run.config.objectives) == 1 else "The front of subnets"
    return Page(
        f"oncefit: {run.folder}",
        f"{goal} of {run.supernet.name}{f' for {run.where}' if run.where else ''}",
        sections,
        footer(),
    )


def footer() -> list[str]:
    return [
        f"Written by oncefit {version('oncefit')}. This file needs no network: charts are drawn by Plotly, which is in it.",
        "Predicted and measured are different words here: what is measured was run, on images or on the device.",
    ]


# -- the result --------------------------------------------------------------------


def what_was_found(result: Result) -> Section:
    blocks: list[PageBlock] = []
    if alarm := report.alarm(result):
        blocks.append(Words([" ".join(alarm.split())], loud=True))
    if (told := unfinished(result)) is not None:
        blocks.append(Words([told], loud=True))
    blocks.append(
        Tiles([accuracy_tile(result), *budget_tiles(result), *saving_tiles(result), effort_tile(result)])
    )
    told = " ".join(report.legend(result).split()).removeprefix("* ")
    blocks.append(Words([told[0].upper() + told[1:]]))
    figures = report.subnet_lines(result, result.chosen)
    blocks.append(of_lines(f"The chosen subnet, {result.chosen.arch.id}", figures, readable.INTERVALS))
    return Section("result", "Result", blocks)


def unfinished(result: Result) -> str | None:
    """How far a search is that has not ended; None where it has."""
    run = result.run
    done, of = len(result.candidates) + len(result.raced), run.config.trials
    if run.config.accuracy == BOTH:
        of = run.config.measure
    elif report.direct(result):
        return None
    if done >= of or result.stopped is not None:
        return None
    return f"So far: {done:,} of {counted(of, 'candidate')}. The same oncefit search goes on with it."


def accuracy_tile(result: Result) -> Tile:
    """The best known accuracy: on images that the search never saw, else as it decided."""
    name, run = result.run.axes[0].name, result.run
    called, chosen = report.name_of(run), result.chosen
    if (found := result.reports.get(chosen.arch.id)) is not None:
        value, _, interval = percent(found, name).partition(" ")
        return Tile(
            f"{called} on images the search never saw, measured", f"{value} %", f"95 % interval {interval}"
        )
    if chosen.validation is not None:
        value, _, interval = percent(chosen.validation, name).partition(" ")
        return Tile(f"{called} on the validation split, measured", f"{value} %", f"95 % interval {interval}")
    if chosen.predicted is not None:
        value, _, spread = predicted_percent(chosen.predicted).partition(" ")
        return Tile(f"{called}, predicted", f"{value} %", f"{spread} points, nine in ten" if spread else "")
    return Tile(f"{called} by your own evaluation", f"{100 * chosen.value(name):.2f} %")


def budget_tiles(result: Result) -> list[Tile]:
    """What the chosen costs, beside each budget; without budgets in what the search was for."""
    run = result.run
    limits = run.config.budgets
    found = []
    for name in dict.fromkeys([*limits, *(o.name for o in run.axes[1:])]):
        latency = report.measured_latency(result, result.chosen) if name == "latency_ms" else None
        how = (
            f"{readable.how_known(name, run.power_meter)} for {run.where}"
            if name in OF_A_DEVICE
            else "computed"
        )
        measured = f"; measured {readable.of_latency(latency)[1]} ms" if latency is not None else ""
        allowed = f"of {amount(name, limits[name])} allowed; " if name in limits else ""
        value = result.chosen.value(name)
        found.append(Tile(heading(name).partition(" (")[0], amount(name, value), f"{allowed}{how}{measured}"))
    return found


def saving_tiles(result: Result) -> list[Tile]:
    """What it takes of what the largest subnet does, in the first budget or objective."""
    name = result.run.axes[1].name
    whole = costs_of_arch(result.run, result.run.supernet.space.largest()).get(name)
    if not whole:
        return []
    share = 100 * result.chosen.value(name) / whole
    label = f"of the largest subnet's {heading(name).partition(' (')[0]}"
    return [
        Tile(
            label, f"{share:.0f} %" if share < 1000 else f"{share:,.0f} %", f"which is {amount(name, whole)}"
        )
    ]


def effort_tile(result: Result) -> Tile:
    run = result.run
    what = "measured" if run.measures else "kept" if run.predictor is not None else "evaluated"
    asked = "predicted" if report.direct(result) else "proposed"
    stopped = f", {len(result.raced):,} more stopped early" if result.raced else ""
    return Tile(f"candidates {what}", f"{len(result.candidates):,}", f"{result.proposals:,} {asked}{stopped}")


# -- what was asked ----------------------------------------------------------------


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
    trials = study.get_trials(deepcopy=False)
    starts = [trial.datetime_start for trial in trials if trial.datetime_start is not None]
    ends = [trial.datetime_complete for trial in trials if trial.datetime_complete is not None]
    if not starts or not ends:
        return None
    return f"{min(starts):%Y-%m-%d %H:%M:%S} to {max(ends):%Y-%m-%d %H:%M:%S}, by the clock of the machine"


# -- candidates --------------------------------------------------------------------


def the_front(result: Result, texts: Mapping[int, str]) -> Section:
    shown, of = candidates_shown(result)
    note = "A star: the chosen subnet. A column is sorted where its heading is pressed. "
    note += readable.INTERVALS
    if len(shown) < of:
        note += f" The front and the most accurate of {of:,} candidates; front.csv and the study have all."
    front = {c.number for c in result.front}
    lines = [dict(row for rows in report.subnet_lines(result, c) for row in rows) for c in shown]
    headings = list(
        dict.fromkeys(name for one in lines for name in one)
    )  # the chosen is first, of which most is known
    rows = [
        [c.arch.id + (" ★" if c == result.chosen else ""), str(c.number), "yes" if c.number in front else "no",
         *(one.get(name, "-") for name in headings)]
        for c, one in zip(shown, lines, strict=True)
    ]  # fmt: skip
    marked = frozenset(i for i, c in enumerate(shown) if c == result.chosen)
    table = Grid("Candidates", ["arch", "trial", "front", *headings], rows, note, True, marked, True)
    return Section("front", "Candidates and front", [charts.front_chart(result, texts), table])


def candidates_shown(result: Result) -> tuple[list[Candidate], int]:
    """The chosen and the front, then the most accurate of the others, and of how many."""
    first = {c.number: c for c in [result.chosen, *result.shown]}
    rest = sorted(result.candidates, key=lambda c: -c.value(result.run.axes[0].name))
    every = {**first, **{c.number: c for c in rest}}
    return list(every.values())[: max(MOST_ROWS, len(first))], len(every)


def against_the_ends(result: Result) -> Section:
    """The chosen beside the smallest and the largest subnet of the space."""
    run = result.run
    space = run.supernet.space
    archs = {"smallest": space.smallest(), "chosen": result.chosen.arch, "largest": space.largest()}
    columns = {
        name: dict(row for rows in lines_of_arch(result, arch) for row in rows)
        for name, arch in archs.items()
    }
    names = list(dict.fromkeys(name for one in ("chosen", *columns) for name in columns[one]))
    rows = [[name, *(one.get(name, "-: not known") for one in columns.values())] for name in names]
    whole, mine = costs_of_arch(run, archs["largest"]), result.chosen.costs
    shares = [
        [
            f"{heading(name).partition(' (')[0]}, chosen / largest (%)",
            "",
            f"{100 * mine[name] / whole[name]:.1f}",
            "100",
        ]
        for name in mine
        if whole.get(name)
    ]
    table = Grid(
        "Smallest, chosen and largest subnet", ["", *(f"{name} {arch.id}" for name, arch in archs.items())],
        [*rows, *shares], ends_note(result, archs.values()),
    )  # fmt: skip
    return Section("ends", "Against the largest and the smallest", [table])


def ends_note(result: Result, archs: Iterable[Arch]) -> str:
    """What is not known of the ends, and how it can be."""
    run = result.run
    if not run.measures or all(arch.id in result.reports for arch in archs):
        return readable.INTERVALS
    command = shlex.join(["oncefit", "report", str(run.folder), "--measure-ends"])
    return f"{readable.INTERVALS} {command} measures the smallest and the largest subnet on the same report images."


def lines_of_arch(result: Result, arch: Arch) -> list[readable.Lines]:
    """All that is known of an arch, be it a candidate or not."""
    run = result.run
    candidate = next((c for c in result.candidates if c.arch == arch), None)
    if candidate is not None:
        return report.subnet_lines(result, candidate)
    costs = costs_of_arch(run, arch)
    found = {
        "report split": result.reports.get(arch.id),
        "validation": saved(run.study(), "validation").get(arch.id),
    }
    accuracies = {name: one for name, one in found.items() if one is not None}
    predicted = None
    if run.predictor is not None:
        [predicted] = run.predictor.predict(run.problem.space, run.problem.space.encode([arch]))
    known = Candidate(-1, arch, costs, predicted=predicted)
    return readable.of_subnet(
        accuracies, costs, run.where, predicted, run.stds(arch) if "latency_ms" in costs else None, run.ranges(known),
        power_meter=run.power_meter,
    )  # fmt: skip


def costs_of_arch(run: Run, arch: Arch) -> dict[str, float]:
    """The costs of an arch that can be had here: a function that was given in Python may not be."""
    found = {}
    for name, cost in run.costs.items():
        try:
            found[name] = cost(arch)
        except InputError:
            continue
    return found


# -- the search --------------------------------------------------------------------


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


# -- how it is known ---------------------------------------------------------------


def how_good_predictions_are(result: Result) -> Section:
    """What is known of the errors of latency and accuracy where these are predicted."""
    run = result.run
    blocks: list[PageBlock] = []
    if run.device is not None and "latency_ms" in run.costs:
        blocks.append(of_lines("The latency model", [readable.of_latency_source(run.device)]))
    verified = result.verified
    if verified is not None:
        blocks.append(
            Words([verdict(verified, run.where), *filter(None, [told_versions(verified, run.where)])])
        )
        blocks.append(latency_chart(result))
        name = run.axes[0].name
        blocks.append(Words([line_of_timed(one, verified.limit_ms, name) for one in verified.timed]))
    elif blocks:
        blocks.append(
            Words(
                [
                    "No subnet of this run was timed on the device; oncefit search --verify-on-device 5 does it."
                ]
            )
        )
    if report.both(result):
        scores = report.told_scores(report.agreement(result))
        blocks.append(accuracy_chart(result, scores))
    elif run.predictor is not None:
        blocks.append(
            Words([f"Accuracy is predicted by {run.predictor.card.name}, and none is measured in this run."])
        )
    if not blocks:
        blocks.append(
            Words(["Nothing is predicted but costs that are counted exactly; accuracies are measured."])
        )
    return Section("errors", "How good the predictions are", blocks)


def latency_chart(result: Result) -> Chart:
    """Latency as predicted, and as measured on the device with its quietest and slowest round."""
    assert result.verified is not None
    timed = result.verified.timed
    pairs = [(one.candidate.costs["latency_ms"], one.latency.median_ms) for one in timed]
    ends = [(one.latency.low_ms, one.latency.high_ms) for one in timed]
    texts = [f"{charts.told_of(result, one.candidate)}" for one in timed]
    told = "Each mark is a subnet that was timed: the median round, from the quietest to the slowest. On the dashed line predicted and measured are equal."
    return charts.agreement_chart(
        "timed", "Latency, measured against predicted", "latency (ms)", pairs, texts, told, ends
    )


def accuracy_chart(result: Result, scores: str) -> Chart:
    found = [
        (c, c.predicted, c.validation)
        for c in result.candidates
        if c.predicted is not None and c.validation is not None
    ]
    pairs = [(100 * p.top1, 100 * v.top1) for _, p, v in found]
    ends = [(100 * v.top1_low, 100 * v.top1_high) for _, _, v in found]
    told = f"Rank correlation of predicted and measured top-1: {scores}. Whiskers: the 95 % interval."
    texts = [charts.told_of(result, c) for c, _, _ in found]
    return charts.agreement_chart(
        "agreement", "Top-1, measured against predicted", "top-1 (%)", pairs, texts, told, ends
    )


def carbon_of(result: Result, serving: Serving | None) -> Section:
    title = "Carbon"
    run = result.run
    spent = of_search(run)
    lines = [("the search, once", f"{with_range(spent.kg, ' ')} CO2e, {spent.known}: {spent.of}")]
    try:
        if serving is not None:
            found = ledger(serving.deployment, serving.folder, result)
            table = of_table(carbon_table(found), "The ledger of the deployment")
            return Section(
                "carbon", title, [table, Words([" ".join(sentences(found).split())]), carbon_chart(found)]
            )
        found = ledger(Deployment(requests_per_day=1, life_days=1), Path(), result)
    except InputError as error:
        return Section("carbon", title, [of_lines("CO2e", [lines]), Words([f"No ledger: {error}."])])
    for plan in (found.specialised, found.baseline):
        if plan is not None:
            lines.append(
                (
                    f"a request, {plan.name}",
                    f"{with_range(plan.per_request_mg * 1e-6, ' ')} CO2e, {found.notes['inference']}",
                )
            )
    said = (
        [f"Held against the largest subnet, specialising {pays(found.pays_after)}."]
        if found.pays_after is not None
        else []
    )
    command = shlex.join(["oncefit", "report", str(run.folder), "--deployment"]) + " FILE"
    said.append(f"{command} adds a deployment: requests, devices, training, fine-tuning and embodied carbon.")
    return Section(
        "carbon",
        title,
        [of_lines("CO2e", [lines], "In brackets: what figures of power and grid allow."), Words(said)],
    )


def carbon_chart(found: TwoPlans) -> Chart:
    """Cumulative CO2e against requests, as the ledger's plot has it."""
    from search.reports.carbon_tables import axis_of, count

    requests = [float(one) for one in axis_of(found)]
    traces = []
    for plan, (colour, _) in zip((found.specialised, found.baseline), charts.SERIES, strict=False):
        if plan is None:
            continue
        totals = [plan.total_kg(one) for one in requests]
        ends = [*(kg.high for kg in totals), *(kg.low for kg in reversed(totals))]
        traces.append({
            "type": "scatter", "mode": "lines", "x": [*requests, *reversed(requests)], "y": ends, "fill": "toself",
            "fillcolor": f"{colour}26", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False, "name": "",
        })  # fmt: skip
        texts = [
            f"{in_chart(plan.name)}<br>{count(one)}: {with_range(kg, ' ')} CO2e, estimated"
            for one, kg in zip(requests, totals, strict=True)
        ]
        dash = "solid" if plan is found.specialised else "dash"
        traces.append(charts.points_of(
            plan.name, requests, [kg.value for kg in totals], texts, colour, "circle", 5, mode="lines",
            line={"color": colour, "width": 2.5, "dash": dash},
        ))  # fmt: skip
    figure = charts.figure_of(traces, "requests, of all devices together", "cumulative CO2e (kg), estimated")
    figure["layout"]["xaxis"]["type"] = figure["layout"]["yaxis"]["type"] = "log"
    told = f"Bands: what figures of power and grid allow. The deployment has {count(found.requests)}."
    return Chart("emissions", "Carbon of training, search and inference", figure, told)


def what_is_proven(result: Result) -> Section:
    """Certificates and bounds: what is exact, and what nobody knows."""
    run = result.run
    rows = []
    for name, cost in run.costs.items():
        if not isinstance(cost.model, TableCost):
            continue
        reach = cost.reach()
        limit = run.config.budgets.get(name)
        rows.append([
            heading(name), short_number(scaled(name, reach.minimum)), short_number(scaled(name, reach.maximum)),
            short_number(scaled(name, limit)) if limit is not None else "-",
            "of all subnets, as the cost model has them" if reach.exact else "of a sample of subnets",
        ])  # fmt: skip
    table = Grid("Costs that the space reaches", ["cost", "least", "most", "budget", "how it is known"], rows)
    told = (
        [f"Every candidate keeps every budget: {told_kept(result)}."]
        if run.config.budgets
        else ["No budget was given."]
    )
    told += report.told_bounds(run)
    if run.predictor is not None and len(run.config.objectives) == 1:
        told.append(report.of_bound(result))
    else:
        told.append(
            "Nothing is proven of measured accuracy: a subnet that was not measured may be more accurate."
            if run.measures
            else "No bound on accuracy: one is proven for a single objective that is predicted."
        )
    return Section("proofs", "Certificates and bounds", [Words(told), *([table] if rows else [])])


def told_kept(result: Result) -> str:
    """How near the dearest candidate comes to each budget."""
    return "; ".join(
        f"{heading(name).partition(' (')[0]} at most {amount(name, max(c.value(name) for c in result.candidates))} "
        f"of {amount(name, limit)}"
        for name, limit in result.run.config.budgets.items()
    )


# -- what is on disk ---------------------------------------------------------------


def bundles_of(run: Run) -> Section:
    title = "Bundles"
    blocks: list[PageBlock] = []
    for path in sorted(run.folder.glob("bundles/*/card.json")):
        from supernet.bundles.bundle_card import (
            CARD,
            read_card,
        )  # imports torch, which a run without bundles can do without

        try:
            card = read_card(path.parent)
        except InputError as error:
            blocks.append(Words([f"{path.parent} is not as it was written: {error}."], loud=True))
            continue
        rows = [[name, kib_of(path.parent / name), sha256] for name, sha256 in card.files.items()]
        rows.append([CARD, kib_of(path), card.card_sha256])
        calibrated = "" if card.calibrated else " NOT CALIBRATED."
        note = f"Written {card.created}.{calibrated} {shlex.join(['oncefit', 'verify', str(path.parent)])} compares the files with these hashes."
        blocks.append(
            Grid(f"{path.parent}: arch {card.arch_id}", ["file", "size (KiB)", "sha256"], rows, note)
        )
    if not blocks:
        blocks.append(
            Words(
                [
                    f"None was exported yet; {shlex.join(['oncefit', 'export', str(run.folder)])} writes the chosen subnet."
                ]
            )
        )
    return Section("bundles", title, blocks)


def kib_of(path: Path) -> str:
    return f"{path.stat().st_size / 1024:,.1f}" if path.is_file() else "-: not there"


def again(run: Run) -> Section:
    """The command that makes the same search anew, and its whole config."""
    folder = run.folder
    command = ["oncefit", "search", str(folder / CONFIG), "--out", f"{folder}-again"]
    if run.device is not None:
        command += ["--device", str(folder / DEVICE)]
    given = [name for name, value in run.config.model_dump(mode="json").items() if has_given(value)]
    blocks: list[PageBlock] = []
    if given:
        blocks.append(
            Words(
                [
                    f"This run was searched from Python with objects of its own ({', '.join(given)}); the same call of oncefit.search makes it anew."
                ]
            )
        )
    else:
        device = ", with the device as it was measured" if run.device is not None else ""
        blocks.append(Code(f"The same search anew{device}", shlex.join(command)))
    blocks.append(Code(str(folder / CONFIG), to_yaml(run.config), folded=True))
    return Section("again", "Do it again", blocks)


def has_given(value: object) -> bool:
    """Whether a key of a config, or a value in it, names an object that was given in Python."""
    if isinstance(value, dict):
        return any(map(has_given, value.values()))
    return isinstance(value, str) and is_given(value)
