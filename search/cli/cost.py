"""``oncefit cost``: what one network costs, given as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.options import Json, Region

if TYPE_CHECKING:
    from rich.table import Table

    from oncefit import NetworkCosts


def cost(
    file: Annotated[str, typer.Argument(help="net.config, arch, or settings of ofa.", metavar="FILE")],
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
    as_json: Json = False,
) -> None:
    """Show what one subnet costs, given as a file.

    FILE is a net.config of ofa, MCUNet or NAT, settings of ofa or NAT (ks, e, d, r), an arch or the
    arch.json of a bundle, or a subnet of mmrazor or AttentiveNAS; or such a text itself, in braces.
    A device's latency and energy are predicted for a subnet of a shipped supernet.
    """
    import oncefit
    from search.cli import terminal

    found = oncefit.cost(file, image_size=image_size, supernet=supernet, device=device, region=region)
    if as_json:
        terminal.print_json(found.to_dict())
    else:
        terminal.show_titled(f"{found.network.name} in {found.file}", cost_table(found))


def cost_table(found: NetworkCosts) -> Table:
    """The subject, then its costs: whole numbers exactly and scaled, those of a device as they are predicted."""
    from cost_models.registry import OF_A_DEVICE
    from search.reports import words as readable

    costs, ranges = readable.split_ranges(found.costs)
    what = [("image size", f"{found.image_size} x {found.image_size}")]
    if found.arch is None:
        what.append(("subnet of", "no shipped supernet at this size"))
    else:
        what += [
            ("subnet of", str(found.supernet)), ("arch", found.arch.id), ("choices", str(found.arch)),
        ]  # fmt: skip
    memory = costs["peak_memory_bytes"]
    exact = [
        ("multiply-adds", f"{costs['macs']:,} = {costs['macs'] / 1e6:,.3f} M"),
        ("parameters", f"{costs['params']:,} = {costs['params'] / 1e6:,.3f} M"),
        ("peak memory", f"{memory:,} bytes = {memory / 1024:,.1f} KiB"),
    ]
    predicted = {name: costs[name] for name in OF_A_DEVICE if name in costs}
    stds = {name: costs[f"{name}_std"] for name in predicted if f"{name}_std" in costs}
    device = readable.of_subnet(
        {}, predicted, found.device, stds=stds, ranges=ranges, power_meter=found.power_meter
    )[1]
    return readable.table([what, exact, *([device] if device else [])])
