"""A first look at a supernet in words and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from search.reports.data_words import new_table
from search.reports.units import counted, heading, scaled, short_number

if TYPE_CHECKING:
    from rich.table import Table

    from cost_models.first_look import FirstLook, StageLook

MEDIAN = "The median is of 10,000 subnets whose choices are drawn uniformly; the ends are exact."
KINDS_SHOWN = ("width", "depth", "kernel", "expand")
HEADINGS = ("layers", "map", "channels", *KINDS_SHOWN, "SE", "MACs (M)", "params (k)")
MOST_LISTED = 6
"""So many resolutions are all named."""


def of_look_json(found: FirstLook) -> dict[str, Any]:
    """All of it as JSON can hold it."""
    return asdict(found)


def of_look(found: FirstLook) -> list[str]:
    """Lines on the supernet as a whole."""
    colours = {1: "grey", 3: "RGB"}.get(found.channels, counted(found.channels, "channel"))
    sides = ", ".join(map(str, found.resolutions))
    if len(found.resolutions) > MOST_LISTED:
        sides = f"{found.resolutions[0]} to {found.resolutions[-1]} ({len(found.resolutions)} sizes)"
    return [
        found.name,
        f"{short_count(found.subnets)} subnets for {colours} images of {found.classes:,} classes, side {sides}",
        f"{found.weights:,} weights in all, a file of {found.weights_bytes / 1e6:.2f} MB",
    ]


def short_count(number: int) -> str:
    """``13,824``, or of more than a million ``8.9e+09``."""
    return f"{number:,}" if number < 1_000_000 else f"{number:.2g}"


def costs_of_look(found: FirstLook) -> Table:
    """A row a cost."""
    made = new_table("of one subnet", "least", "median", "greatest")
    for name, spread in found.costs.items():
        figures = (spread.least, spread.median, spread.greatest)
        made.add_row(heading(name), *(short_number(scaled(name, figure)) for figure in figures))
    return made


def stages_of_look(found: FirstLook) -> Table:
    """A row for each stage of the largest subnet, and its choices."""
    made = new_table(*headings_of(found), narrow=True)
    for stage in found.stages:
        made.add_row(*stage_row(stage, headings_of(found)))
    return made


def headings_of(found: FirstLook) -> list[str]:
    """Without those that are of nothing here."""
    kinds = {kind for stage in found.stages for kind in stage.choices}
    return [name for name in HEADINGS if name in kinds or name not in KINDS_SHOWN]


def stage_row(stage: StageLook, headings: Sequence[str]) -> list[str]:
    cells = {
        "layers": stage.name,
        "map": f"{stage.in_size}->{stage.out_size}"
        if stage.in_size != stage.out_size
        else f"{stage.out_size}",
        "channels": f"{stage.width:,}",
        "SE": "yes" if stage.gated else "",
        "MACs (M)": f"{scaled('macs', stage.macs):.2f}",
        "params (k)": f"{scaled('params', stage.params):.1f}",
    }
    cells |= {kind: ranged_choices(choices) for kind, choices in stage.choices.items()}
    return [cells.get(name, "") for name in headings]


def ranged_choices(choices: Sequence[int | float]) -> str:
    """``3 5 7``, or ``1-4`` for whole numbers in a row."""
    if len(choices) > 2 and list(choices) == list(range(int(choices[0]), int(choices[-1]) + 1)):
        return f"{choices[0]}-{choices[-1]}"
    return " ".join(f"{choice:g}" for choice in choices)
