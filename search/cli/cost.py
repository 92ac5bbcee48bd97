"""``oncefit cost``: what one network costs, given as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.options import Region
from supernet.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from cost_models.variants import Variant
    from supernet.ofa_format.reader import Network


def cost(
    file: Annotated[Path, typer.Argument(help="net.config, arch, or settings of ofa.", metavar="FILE")],
    image_size: Annotated[
        int | None,
        typer.Option(help="Side of the images.", metavar="N", show_default="by FILE or run.config"),
    ] = None,
    supernet: Annotated[
        str | None,
        typer.Option(help="Supernet: name or YAML file.", metavar="NAME", show_default="by FILE"),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Device name or YAML file; host is this machine.", metavar="NAME")
    ] = None,
    region: Region = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, and nothing else, on stdout.")
    ] = False,
) -> None:
    """Show what one subnet costs, given as a file.

    FILE is a net.config of ofa, MCUNet or NAT, settings of ofa or NAT (ks, e, d, r), an arch or the
    arch.json of a bundle, or a subnet of mmrazor or AttentiveNAS.
    A device's latency and energy are predicted for a subnet of a shipped supernet.
    """
    from cost_models.variants import any_in_region
    from search.cli import terminal
    from supernet.catalog import open_supernet
    from supernet.ofa_format import reader

    subject = reader.read(file, image_size, open_supernet(supernet) if supernet is not None else None)
    found = summary(subject, file, any_in_region(device, region))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        terminal.show_titled(f"{subject.name} in {file}", cost_table(subject, found))


def summary(subject: Network, file: Path, device: str | Variant | None) -> dict[str, Any]:
    """What ``--json`` prints; what is not known is left out. Raises InputError for a device without a point."""
    from cost_models.compute import of_layers

    costs: dict[str, float] = {**of_layers(subject.layers)}
    found: dict[str, Any] = {"file": str(file), "network": subject.name, "image_size": subject.image_size}
    if subject.point is not None:
        supernet, arch = subject.point
        found |= {"supernet": supernet.name, "arch_id": arch.id, "arch": arch.to_dict()}
    if device is not None:
        name, predicted = costs_of_device(subject, file, device)
        found["device"] = name
        costs |= predicted
    return found | {"costs": costs}


def costs_of_device(subject: Network, file: Path, given: str | Variant) -> tuple[str, dict[str, float]]:
    """A device's own name, and what it predicts for the subject; a table knows ``latency_ms_std`` too."""
    from cost_models.device import device_costs
    from cost_models.devices import open_device
    from cost_models.latency import latency_std_ms
    from cost_models.latency_tables import listed
    from cost_models.protocol import Target
    from cost_models.registry import build
    from search.cli.terminal import say

    if subject.point is None:
        raise InputError(
            f"{file} at {subject.image_size} pixels is no subnet of a shipped supernet, and a device's latency model "
            "is of one: leave --device out for multiply-adds, parameters and peak memory"
        )
    supernet, arch = subject.point
    device = open_device(given, supernet, say)
    if device.table is not None and arch.resolution not in device.table.resolutions:
        raise InputError(
            f"the latency table of device {device.name!r} has no resolution {arch.resolution}; "
            f"give another --image-size, one of {listed(device.table.resolutions)}"
        )
    # a table that lacks layers of other archs still prices this one
    target = Target(supernet.restricted({dimension: (choice,) for dimension, choice in arch.choices}), device)
    predicted = {cost: build(cost, target)(arch) for cost in device_costs(device)}
    if device.table is not None:
        predicted["latency_ms_std"] = latency_std_ms(target)(arch)
    return device.name, predicted


def cost_table(subject: Network, found: Mapping[str, Any]) -> Table:
    """The subject, then its costs: whole numbers exactly and scaled, those of a device as they are predicted."""
    from cost_models.registry import OF_A_DEVICE
    from search.reports import words as readable

    costs = found["costs"]
    what = [("image size", f"{subject.image_size} x {subject.image_size}")]
    if subject.point is None:
        what.append(("subnet of", "no shipped supernet at this size"))
    else:
        supernet, arch = subject.point
        what += [("subnet of", supernet.name), ("arch", arch.id), ("choices", str(arch))]
    memory = costs["peak_memory_bytes"]
    exact = [
        ("multiply-adds", f"{costs['macs']:,} = {costs['macs'] / 1e6:,.3f} M"),
        ("parameters", f"{costs['params']:,} = {costs['params'] / 1e6:,.3f} M"),
        ("peak memory", f"{memory:,} bytes = {memory / 1024:,.1f} KiB"),
    ]
    predicted = {name: costs[name] for name in OF_A_DEVICE if name in costs}
    stds = {name: costs[f"{name}_std"] for name in predicted if f"{name}_std" in costs}
    device = readable.of_subnet({}, predicted, found.get("device"), stds=stds)[1]
    return readable.table([what, exact, *([device] if device else [])])
