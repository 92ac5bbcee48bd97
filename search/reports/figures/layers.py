"""The chosen subnet and the largest, block by block: what each block is, and its share of the costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cost_models.device import LatencyModel
from cost_models.latency import layer_ms
from search.reports.figures.plots import COLOURS, as_typed_texts, new_figure
from search.reports.units import amount
from search.runs.results import Result
from search.runs.run import Run
from supernet.archs.arch import Arch
from supernet.archs.layers import Layer, grouped
from supernet.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EVERY_TIME = "every inference"
"""What a latency model counts whatever the layers are."""
PER_ROW = 0.27
"""Inches of height for a block."""


@dataclass(frozen=True)
class DrawnBlock:
    """A block's choices and its output in words, and its shares of the subnet's costs as fractions, by cost."""

    name: str
    told: str
    shares: Mapping[str, float]


def layers_figure(result: Result) -> Figure:
    """The blocks of the chosen subnet beside those of the largest. Raises InputError for a network that describes no layers."""
    run = result.run
    if not run.supernet.segments:
        raise InputError(
            f"{run.supernet.name} describes no layers, so they cannot be drawn; take another --kind"
        )
    largest = run.supernet.space.largest()
    found = {"chosen": result.chosen.arch, "largest": largest}
    blocks = {name: drawn_blocks(run, arch) for name, arch in found.items()}
    names = block_rows([one.name for one in blocks["largest"]], [one.name for one in blocks["chosen"]])
    figure, panels = new_figure(1, 2, (10.4, 1.6 + PER_ROW * len(names)))
    widest = 100 * max(share for of in blocks.values() for one in of for share in one.shares.values())
    for axes, (name, arch) in zip(panels, found.items(), strict=True):
        draw_blocks(axes, names, {one.name: one for one in blocks[name]}, widest)
        axes.set_title(title_of(run, name, arch), fontsize=9.5)
    panels[0].set_yticks(range(len(names)), names, fontsize=8)
    panels[1].set_yticks(range(len(names)), [""] * len(names))
    handles, labels = panels[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    figure.suptitle(
        f"{run.supernet.name}, from the image to the classes: choices of each block; channels × side² of what it gives",
        fontsize=11,
    )
    return as_typed_texts(figure)


def block_rows(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Blocks in order, those of two subnets."""
    return [*names, *(name for name in others if name not in names)]


def title_of(run: Run, name: str, arch: Arch) -> str:
    """What a subnet costs in all."""
    costs = {cost: run.costs[cost](arch) for cost in ("macs", "latency_ms") if cost in run.costs}
    told = [amount(cost, value) for cost, value in costs.items()]
    where = f" predicted for {run.where}" if "latency_ms" in costs else ""
    return f"{name} {arch.id}\n{', '.join([*told])}{where}"


def drawn_blocks(run: Run, arch: Arch) -> list[DrawnBlock]:
    """The blocks of an arch in order; shares of latency only where the device's model is a sum over layers."""
    every = run.supernet.layers(arch)
    device = run.device_of(arch)
    latency = device.latency if device is not None and "latency_ms" in run.costs else None
    macs = sum(layer.macs for layer in every)
    ms: dict[str, float] = {}
    if device is not None and isinstance(latency, LatencyModel):
        ms = {layer.name: layer_ms(latency, layer, device.name) for layer in every}
    total = sum(ms.values()) + (latency.intercept_ms if isinstance(latency, LatencyModel) else 0.0)
    found = []
    for name, group in grouped(every):
        shares = {"macs": sum(layer.macs for layer in group) / macs} if macs else {}
        if ms and total > 0:
            shares["latency_ms"] = sum(ms[layer.name] for layer in group) / total
        found.append(DrawnBlock(name, told_block(run, arch, name, group), shares))
    if isinstance(latency, LatencyModel) and latency.intercept_ms and total > 0:
        found.append(DrawnBlock(EVERY_TIME, "", {"latency_ms": latency.intercept_ms / total}))
    return found


def told_block(run: Run, arch: Arch, name: str, group: Sequence[Layer]) -> str:
    """Its choices, then the channels and the side of what it gives: ``kernel 5, expand 4; 16 × 14²``."""
    segment = next((one for one in run.supernet.segments if one.name == name), None)
    own = segment.dimensions if segment is not None else ()
    values = arch.network.values
    parts = [(one.split(".")[0], values[one]) for one in own if "." in one and one in values]
    choices = {what: value for what, value in parts if what != "depth"}
    size = f"{group[-1].out_channels} × {group[-1].out_size}²"
    if not choices and (kernel := max(layer.kernel for layer in group)) > 1:
        choices = {"kernel": kernel}
    told = ", ".join(f"{what} {value:g}" for what, value in choices.items())
    resolution = (
        f"image {arch.resolution}²"
        if group[0].name == run.supernet.layers(arch)[0].name and "resolution" in values
        else ""
    )
    return "; ".join(part for part in (resolution, told, size) if part)


def draw_blocks(axes: Axes, names: Sequence[str], blocks: Mapping[str, DrawnBlock], widest: float) -> None:
    """A row a block: its shares as bars and what it is in words; one that is left out says so."""
    kinds = {"macs": ("share of MACs", COLOURS[0]), "latency_ms": ("share of predicted latency", COLOURS[1])}
    drawn = [cost for cost in kinds if any(cost in one.shares for one in blocks.values())]
    height = 0.76 / len(drawn)
    for place, cost in enumerate(drawn):
        label, colour = kinds[cost]
        rows = [row for row, name in enumerate(names) if name in blocks and cost in blocks[name].shares]
        values = [100 * blocks[names[row]].shares[cost] for row in rows]
        at = [row - 0.38 + height * (place + 0.5) for row in rows]
        axes.barh(at, values, height, color=colour, label=label)
    for row, name in enumerate(names):
        told = blocks[name].told if name in blocks else "left out"
        longest = 100 * max(blocks[name].shares.values(), default=0.0) if name in blocks else 0.0
        axes.annotate(
            told, (longest, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=7.5,
            color="black" if name in blocks else "#888888",
        )  # fmt: skip
    axes.set_xlim(0, 1.8 * widest)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("share of this subnet's own total (%)", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(alpha=0.3, axis="x")
