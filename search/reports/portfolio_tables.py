"""A portfolio in a terminal: tables, and what they say in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search.feasible.few_for_many import KeptFew
from search.fleets.one_proxy import MONOTONE, Proxies, Proxy
from search.fleets.portfolio import NO_LOSS, Portfolio, PortfolioDevice
from search.fleets.portfolio_candidates import IN_FILE
from search.fleets.portfolio_file import resolved_cost
from search.reports.portfolio import ToldPortfolio, curve_rows, subnet_rows
from search.reports.units import amount, counted, heading

if TYPE_CHECKING:
    from rich.table import Table


CURVE_ROWS = 12
"""So many numbers of subnets are shown in the terminal; all are in the file."""
PROXY_ROWS = 6
"""And so many devices as the proxy of all."""
KINDS_IN_WORDS = {"validation split": "measured on the validation split", "predicted": "predicted", "own evaluation": "of your own evaluation", IN_FILE: "as the file has it"}  # fmt: skip
PARTLY_LUCK = {
    "validation split": "It is a difference of accuracies that candidates were chosen by, so partly luck, and has no interval here: the report "
    "split, where it is shown, chose nothing.",
    "predicted": "It is a difference of predictions: one that is smaller than their errors may be none.",
}
"""What is to be known of losses, by how accuracies are known."""


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
