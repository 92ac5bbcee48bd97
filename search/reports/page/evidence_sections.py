"""How what is told is known: errors of predictions, carbon, certificates and bounds."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cost_models.deployment import Deployment
from cost_models.tables import TableCost
from search.reports import report
from search.reports import words as readable
from search.reports.carbon import ledger, of_search
from search.reports.carbon_tables import carbon_table, pays, sentences, with_range
from search.reports.on_device import line_of_timed, told_versions, verdict
from search.reports.page import charts
from search.reports.page.blocks import (
    Chart,
    Grid,
    PageBlock,
    Section,
    Words,
    in_chart,
    of_lines,
    of_table,
)
from search.reports.units import amount, heading, scaled, short_number
from search.runs.results import Result
from supernet.errors import InputError

if TYPE_CHECKING:
    from search.reports.carbon import TwoPlans


@dataclass(frozen=True)
class Serving:
    """What a deployment is told for the ledger: with its folder, from which its paths are."""

    deployment: Deployment
    folder: Path


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
