"""A portfolio as a picture: what each number of subnets loses, and on which devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from search.reports.figures.plots import COLOURS, as_typed_texts, new_figure
from search.reports.portfolio import ToldPortfolio, curve_rows
from search.reports.units import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


BARS = 20
"""Devices by name in the picture; of more, those that lose most."""


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
