"""A portfolio in tables, a picture and files."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from search.feasible.few_for_many import KeptFew
from search.fleets.one_proxy import MONOTONE, Proxies, Proxy
from search.fleets.portfolio import NO_LOSS, Portfolio, PortfolioDevice
from search.fleets.portfolio_candidates import IN_FILE
from search.fleets.portfolio_file import resolved_cost
from search.reports.csv_text import csv_text
from search.reports.figures.plots import COLOURS, as_typed_texts, new_figure, save_figure
from search.reports.units import amount, counted, heading
from supernet import documents

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table

PORTFOLIO_CSV, CURVE_CSV, PORTFOLIO_PNG, PORTFOLIO_JSON = (
    "portfolio.csv", "portfolio-curve.csv", "portfolio.png", "portfolio.json",
)  # fmt: skip
CURVE_ROWS = 12
"""So many numbers of subnets are shown in the terminal; all are in the file."""
PROXY_ROWS = 6
"""And so many devices as the proxy of all."""
BARS = 20
"""Devices by name in the picture; of more, those that lose most."""
KINDS_IN_WORDS = {"validation split": "measured on the validation split", "predicted": "predicted", "own evaluation": "of your own evaluation", IN_FILE: "as the file has it"}  # fmt: skip


PARTLY_LUCK = {
    "validation split": "It is a difference of accuracies that candidates were chosen by, so partly luck, and has no interval here: the report "
    "split, where it is shown, chose nothing.",
    "predicted": "It is a difference of predictions: one that is smaller than their errors may be none.",
}
"""What is to be known of losses, by how accuracies are known."""


@dataclass(frozen=True)
class ToldPortfolio:
    """A portfolio, and what one proxy in place of all devices would do; None where nothing can be said of that."""

    portfolio: Portfolio
    proxies: Proxies | None

    @property
    def unit(self) -> str:
        """Of losses."""
        return "points" if self.portfolio.asked.minimize is None else "%"


# -- rows --------------------------------------------------------------------------


def device_rows(told: ToldPortfolio) -> list[dict[str, Any]]:
    """One flat row a device: its subnet, what that is and loses there, and how its costs are known."""
    found, rows = told.portfolio, []
    pool = found.pool
    for place, one in enumerate(found.served):
        subnet, own = found.kept.of_device[place], found.own[place]
        row: dict[str, Any] = {
            "device": one.name, "weight": float(found.weights[place]), "subnet": pool.names[subnet],
            pool.accuracy: float(pool.top1[subnet]), f"{pool.accuracy}_low": known_or_none(pool.low[subnet]),
            f"{pool.accuracy}_high": known_or_none(pool.high[subnet]), f"{pool.accuracy}_is": pool.kind,
            "lost": float(found.lost[place]), "lost_unit": told.unit, "own_subnet": pool.names[own],
        }  # fmt: skip
        for cost, values in one.costs.items():
            row[cost] = known_or_none(values[subnet])
            row[f"{cost}_is"] = one.known[cost]
        for cost, limit in one.budgets.items():
            row[f"budget_{cost}"] = limit
            row[f"left_of_budget_{cost}"] = 1 - float(one.costs[cost][subnet]) / limit
        rows.append({**row, "why": why(found, place)})
    return rows


def known_or_none(value: float) -> float | None:
    """None for what is not known."""
    return float(value) if math.isfinite(value) else None


def why(found: Portfolio, place: int) -> str:
    """Why a device has its subnet, in a few words."""
    subnet, own = found.kept.of_device[place], found.own[place]
    if found.lost[place] <= NO_LOSS:
        return "the best candidate for it"
    told = f"the best of {len(found.kept.kept)} kept within its budgets"
    return f"{told}; alone it would have {found.pool.names[own]}" if subnet != own else told


def curve_rows(told: ToldPortfolio) -> list[dict[str, Any]]:
    """One row a number of subnets that may be maintained; losses are absent where so few cannot serve all."""
    found, rows = told.portfolio, []
    for most, one in enumerate(found.curve, 1):
        row: dict[str, Any] = {"subnets": most}
        if one is not None:
            lost = found.losses[np.arange(len(found.served)), list(one.of_device)]
            worst = int(lost.argmax())
            row |= {
                "lost": one.loss, "lost_unit": told.unit, "lost_at_least": max(0.0, one.bound), "proven": one.proven,
                "worst": float(lost[worst]), "worst_device": found.served[worst].name,
                "kept": " ".join(found.pool.names[i] for i in one.kept),
            }  # fmt: skip
        rows.append(row)
    return rows


def subnet_rows(told: ToldPortfolio) -> list[dict[str, Any]]:
    """One row a subnet that is kept: its accuracies, and the devices that have it."""
    found, rows = told.portfolio, []
    for place in found.kept.kept:
        mine = [i for i, subnet in enumerate(found.kept.of_device) if subnet == place]
        pool, report = found.pool, found.reports.get(found.pool.names[place])
        rows.append({
            "subnet": pool.names[place], pool.accuracy: float(pool.top1[place]), f"{pool.accuracy}_low": known_or_none(pool.low[place]),
            f"{pool.accuracy}_high": known_or_none(pool.high[place]), "weight": float(found.weights[mine].sum()),
            "devices": [found.served[i].name for i in mine],
            **({f"report_{pool.accuracy}{end}": getattr(report, pool.accuracy + end) for end in ("", "_low", "_high")} if report is not None else {}),
            **({"arch": pool.archs[place].to_dict()} if pool.archs else {}),
        })  # fmt: skip
    return rows


def portfolio_dict(told: ToldPortfolio) -> dict[str, Any]:
    """All figures, as ``portfolio.json`` has them."""
    found = told.portfolio
    return {
        "candidates": {"source": found.pool.source, "number": len(found.pool.names)},
        "asked": found.asked.model_dump(mode="json", exclude_none=True),
        "lost": found.kept.loss, "lost_at_least": max(0.0, found.kept.bound), "lost_unit": told.unit, "proven": found.kept.proven,
        "subnets": subnet_rows(told), "devices": device_rows(told), "curve": curve_rows(told),
        "one_proxy": proxies_dict(told),
    }  # fmt: skip


def proxies_dict(told: ToldPortfolio) -> dict[str, Any] | None:
    if told.proxies is None:
        return None
    names, found = [one.name for one in told.portfolio.served], told.proxies
    return {
        "cost": found.cost,
        "best": found.best.name,
        "enough": found.enough,
        "lost_with_as_many_subnets": found.kept.loss if found.kept is not None else None,
        "spearman": {
            name: dict(zip(names, row, strict=True))
            for name, row in zip(names, found.correlations.round(6).tolist(), strict=True)
        },
        "proxies": [
            {
                "device": one.name, "mean_spearman": one.mean, "least_spearman": one.least, "front_size": len(one.front),
                "lost": one.loss, "lost_unit": told.unit, "worst": known_or_none(one.worst), "worst_device": one.worst_device,
                "without_a_subnet": list(one.without),
            }
            for one in found.every
        ],
    }  # fmt: skip


def write_portfolio(told: ToldPortfolio, folder: Path) -> list[Path]:
    """Write the four files; returns their paths."""
    table, curve, png, js = (
        folder / name for name in (PORTFOLIO_CSV, CURVE_CSV, PORTFOLIO_PNG, PORTFOLIO_JSON)
    )
    documents.write_text(table, csv_text(device_rows(told)))
    documents.write_text(curve, csv_text(curve_rows(told)))
    documents.write_text(js, json.dumps(portfolio_dict(told), indent=2) + "\n")
    save_figure(portfolio_figure(told), png)
    return [table, curve, png, js]


# -- the terminal ------------------------------------------------------------------


def portfolio_tables(told: ToldPortfolio) -> list[Table]:
    """The subnets that are kept, who has which, the curve, and one proxy."""
    made = [subnets_table(told), devices_table(told), curve_table(told)]
    return [*made, *([proxies_table(told, told.proxies)] if told.proxies is not None else [])]


def columns_table(left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    """An empty table with columns of words, then of figures."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in left:
        made.add_column(head)
    for head in right:
        made.add_column(head, justify="right")
    return made


def subnets_table(told: ToldPortfolio) -> Table:
    pool = told.portfolio.pool
    kind = {"validation split": "validation [95 %]", "predicted": "predicted", "own evaluation": "own", IN_FILE: "as in the file"}[pool.kind]  # fmt: skip
    name = pool.accuracy.replace("top", "top-")
    reports = told.portfolio.reports
    heads = (f"{name} (%)\n{kind}", *([f"{name} (%)\nreport [95 %]"] if reports else []))
    made = columns_table(("\nsubnet kept",), (*heads, "\ndevices", "\nshare"))
    for row in subnet_rows(told):
        report = (
            [share_with_interval(*(row[f"report_{pool.accuracy}{end}"] for end in ("", "_low", "_high")))]
            if reports
            else []
        )
        known = share_with_interval(*(row[pool.accuracy + end] for end in ("", "_low", "_high")))
        made.add_row(row["subnet"], known, *report, str(len(row["devices"])), f"{100 * row['weight']:.3g} %")
    return made


def share_with_interval(value: float, low: float | None, high: float | None) -> str:
    """``92.82 [92.06, 93.51]`` or, without an interval, ``92.82``."""
    interval = f" [{100 * low:.2f}, {100 * high:.2f}]" if low is not None and high is not None else ""
    return f"{100 * value:.2f}{interval}"


def devices_table(told: ToldPortfolio) -> Table:
    found = told.portfolio
    name = found.pool.accuracy.replace("top", "top-")
    goal = resolved_cost(found.asked.minimize) if found.asked.minimize is not None else None
    goals = (
        (f"{heading(goal).partition(' (')[0]}\n({heading(goal).partition(' (')[2] or ')'}",) if goal else ()
    )
    made = columns_table(
        ("\ndevice", "\nsubnet"),
        (f"{name}\n(%)", *goals, f"lost\n({told.unit})", "\ncost", "\nbudget", "left\n(%)"),
    )
    mark = " *" if len(ways(found)) > 1 else ""
    for place, one in enumerate(found.served):
        subnet = found.kept.of_device[place]
        accuracy = f"{100 * found.pool.top1[subnet]:.2f}"
        cost = [amount(goal, one.costs[goal][subnet]).split(" ")[0]] if goal else []
        made.add_row(
            one.name,
            found.pool.names[subnet],
            accuracy,
            *cost,
            f"{found.lost[place]:.2f}",
            *budget_cells(one, subnet, mark),
        )
    return made


def budget_cells(one: PortfolioDevice, subnet: int, mark: str) -> list[str]:
    """Costs with a mark where they are measured, budgets, and what is left of these, a line each."""
    costs = [
        amount(name, one.costs[name][subnet]) + (mark if one.known[name] == "measured" else "")
        for name in one.budgets
    ]
    left = [100 * (1 - one.costs[name][subnet] / limit) for name, limit in one.budgets.items()]
    budgets = [amount(name, limit) for name, limit in one.budgets.items()]
    return [
        "\n".join(costs) or "-",
        "\n".join(budgets) or "-",
        "\n".join(f"{share:.1f}" for share in left) or "-",
    ]


def curve_table(told: ToldPortfolio) -> Table:
    found, unit = told.portfolio, told.unit
    made = columns_table(
        ("\nsubnets",), (f"lost\n({unit})", f"lost at least\n({unit})", f"worst\n({unit})", "\nof device")
    )
    rows = curve_rows(told)
    for row in [row for row in rows if is_shown(row["subnets"], rows, found.asked.most)]:
        mark = " <" if row["subnets"] == min(found.asked.most, len(rows)) else ""
        if "lost" not in row:
            made.add_row(f"{row['subnets']}{mark}", "-", "-", "-", "not all are served")
            continue
        proof = f"{row['lost_at_least']:.3f}{'' if row['proven'] else ' (open)'}"
        device = row["worst_device"] if row["worst"] > NO_LOSS else "-"
        made.add_row(f"{row['subnets']}{mark}", f"{row['lost']:.3f}", proof, f"{row['worst']:.3f}", device)
    return made


def is_shown(subnets: int, rows: list[dict[str, Any]], asked: int) -> bool:
    """The first numbers up to that which loses nothing, and the one that is asked for."""
    before = rows[subnets - 2] if subnets > 1 else {}
    needed = before.get("lost", 1.0) > NO_LOSS
    return (subnets <= CURVE_ROWS and needed) or subnets == min(asked, len(rows))


def proxies_table(told: ToldPortfolio, found: Proxies) -> Table:
    unit = told.unit
    made = columns_table(
        ("\none proxy",), ("Spearman\nmean", "\nleast", "front\n(subnets)", f"lost\n({unit})", f"worst\n({unit})", "without\nany")
    )  # fmt: skip
    ranked = sorted(found.every, key=lambda one: -one.mean)
    for one in ranked[:PROXY_ROWS]:
        made.add_row(*proxy_cells(one))
    if len(ranked) > PROXY_ROWS:
        made.add_row(f"... {counted(len(ranked) - PROXY_ROWS, 'device')} more", *[""] * 6)
    return made


def proxy_cells(one: Proxy) -> list[str]:
    return [
        one.name, f"{one.mean:.3f}", f"{one.least:.3f}", str(len(one.front)), f"{one.loss:.3f}", f"{one.worst:.3f}",
        str(len(one.without)) if one.without else "-",
    ]  # fmt: skip


def portfolio_legend(told: ToldPortfolio) -> str:
    """What the tables' words mean, a sentence a line."""
    found = told.portfolio
    pool, asked = found.pool, found.asked
    goal = (
        f"the least {asked.minimize} with {pool.accuracy} of {asked.floor:g} or more"
        if asked.minimize
        else "the best accuracy"
    )
    lines = [
        f"At most {counted(asked.most, 'subnet')} of {counted(len(pool.names), 'candidate')} of {pool.source}, for {goal}.",
        f"Accuracies are {KINDS_IN_WORDS[pool.kind]}. {known_costs_in_words(found)}",
    ]
    if asked.slack:
        lines.append(
            f"Of every budget a slack of {100 * asked.slack:g} % is held back; left is what the cost leaves of all of it."
        )
    lines.append(
        "Lost is against the best candidate for each device alone, the mean by requests a day"
        + ("." if asked.minimize is None else ", in % of what all would take with these.")
    )
    if asked.minimize is None and pool.kind in PARTLY_LUCK:
        lines.append(PARTLY_LUCK[pool.kind])
    lines.append(proof_in_words(told))
    if told.proxies is not None:
        lines += proxies_in_words(told, told.proxies)
    return "\n".join(lines)


def ways(found: Portfolio) -> set[str]:
    """How costs are known: predicted, measured or both."""
    return {kind for one in found.served for kind in one.known.values()}


def known_costs_in_words(found: Portfolio) -> str:
    kinds = ways(found)
    if len(kinds) == 1:
        return f"Costs are {kinds.pop()}."
    return "Costs are predicted; those with a * are measured."


def proof_in_words(told: ToldPortfolio) -> str:
    kept: KeptFew = told.portfolio.kept
    if kept.proven:
        return f"No choice of as many loses less than {kept.loss:.3f} {told.unit}, proven by integer programming."
    return (
        f"It loses {kept.loss:.3f} {told.unit}, and no choice of as many is proven to lose less than {max(0.0, kept.bound):.3f}: "
        "time ran out; --seconds gives more."
    )


def proxies_in_words(told: ToldPortfolio, found: Proxies) -> list[str]:
    """Whether a search on one device would have been enough, and what it would have lost."""
    best, count = found.best, len(told.portfolio.served)
    near = "is" if found.enough else "is not"
    lines = [
        f"One proxy: with candidates from the front of {best.name} alone, whose order is nearest to the others', "
        f"{lost_by_proxy(best, told.unit, count)}.",
        f"Its least rank correlation is {best.least:.2f}, so one search there {near} enough by the rule of {MONOTONE:g}.",
    ]
    if found.kept is not None:
        lines.append(
            f"As many subnets from that front lose {found.kept.loss:.3f} {told.unit} in place of {told.portfolio.kept.loss:.3f}."
        )
    return lines


def lost_by_proxy(one: Proxy, unit: str, count: int) -> str:
    if len(one.without) == count:
        return "no device has a subnet"
    without = f", and {counted(len(one.without), 'device')} has none" if one.without else ""
    worst = f", {one.worst:.3f} on {one.worst_device}" if one.worst > NO_LOSS else ""
    return f"{one.loss:.3f} {unit} are lost{worst}{without}"


# -- the picture -------------------------------------------------------------------


def portfolio_figure(told: ToldPortfolio) -> Figure:
    """What is lost against the number of subnets, and on each device with those that are kept."""
    shown_devices = min(BARS, len(told.portfolio.served))
    figure, (left, right) = new_figure(1, 2, (11, max(4.2, 0.28 * shown_devices + 1.6)))
    draw_curve(left, told)
    draw_devices(right, told)
    return as_typed_texts(figure)


def draw_curve(axes: Axes, told: ToldPortfolio) -> None:
    from matplotlib.ticker import MaxNLocator

    rows = [row for row in curve_rows(told) if "lost" in row]
    numbers = [row["subnets"] for row in rows]
    axes.plot(
        numbers,
        [row["worst"] for row in rows],
        "o--",
        color="#888888",
        markersize=4,
        label="device that loses most",
    )
    axes.plot(
        numbers,
        [row["lost"] for row in rows],
        "o-",
        color=COLOURS[0],
        markersize=5,
        label="mean by requests a day",
    )
    if any(not row["proven"] for row in rows):
        low = [row["lost_at_least"] for row in rows]
        axes.fill_between(
            numbers, low, [row["lost"] for row in rows], color=COLOURS[0], alpha=0.2, label="not proven"
        )
    kept = min(told.portfolio.asked.most, len(told.portfolio.served))
    axes.scatter([kept], [told.portfolio.kept.loss], marker="*", s=220, color=COLOURS[1], edgecolor="black", zorder=5, label=f"asked for: {kept}")  # fmt: skip
    if told.proxies is not None and not told.proxies.best.without:
        best = told.proxies.best
        axes.axhline(
            best.loss, color=COLOURS[3], linestyle=":", label=f"a subnet each, from the front of {best.name}"
        )
    axes.set_xlabel("subnets maintained, at most")
    axes.set_ylabel(f"lost against a subnet of its own ({told.unit})")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="upper right")


def draw_devices(axes: Axes, told: ToldPortfolio) -> None:
    from matplotlib.patches import Patch

    found = told.portfolio
    order = np.argsort(-found.lost, kind="stable")[:BARS][::-1]
    colour = {subnet: COLOURS[i % len(COLOURS)] for i, subnet in enumerate(found.kept.kept)}
    axes.barh(
        range(len(order)),
        found.lost[order],
        color=[colour[found.kept.of_device[i]] for i in order],
    )
    axes.set_yticks(range(len(order)), [found.served[i].name for i in order])
    patches = [Patch(color=shade, label=found.pool.names[subnet]) for subnet, shade in colour.items()]
    for place, i in enumerate(order):
        axes.annotate(f"{found.lost[i]:.2f}", (found.lost[i], place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8)  # fmt: skip
    more = f" (those that lose most of {len(found.served)})" if len(found.served) > BARS else ""
    axes.set_title(
        f"{counted(len(found.kept.kept), 'subnet')} for {counted(len(found.served), 'device')}{more}",
        fontsize=10,
    )
    axes.set_xlabel(f"lost against a subnet of its own ({told.unit})")
    axes.margins(x=0.15)
    axes.set_xlim(left=0)
    axes.tick_params(axis="y", labelsize=8)
    columns = 1 + len(colour) // 9
    axes.legend(
        handles=patches, fontsize=8, title="subnet", title_fontsize=8, ncols=columns, loc="lower right"
    )
