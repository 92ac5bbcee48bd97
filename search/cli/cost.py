"""``oncefit cost``: what one network costs, given as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.options import Region
from supernet.errors import InputError, some

if TYPE_CHECKING:
    from rich.table import Table

    from cost_models.variants import Variant
    from supernet.arch import Arch
    from supernet.catalog import Supernet
    from supernet.layers import Layer

FORMS = (
    'a net.config of ofa ({"name": ..., "blocks": [...], ...}), the arch.json of a bundle, '
    'or an arch ({"space": ..., "choices": {...}})'
)


@dataclass(frozen=True)
class Subject:
    """The network of a file at an image size; ``point`` is the supernet and arch that it is, if it is one's."""

    name: str
    image_size: int
    layers: tuple[Layer, ...]
    point: tuple[Supernet, Arch] | None


def cost(
    file: Annotated[Path, typer.Argument(help="net.config of ofa, or an arch in JSON.", metavar="FILE")],
    image_size: Annotated[
        int | None,
        typer.Option(help="Side of the images.", metavar="N", show_default="by FILE or run.config"),
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

    FILE is a net.config of ofa, the arch.json of a bundle, or an arch in JSON.
    A device's latency and energy are predicted for a subnet of a shipped supernet.
    """
    from cost_models.variants import any_in_region
    from search.cli import terminal

    subject = open_subject(file, image_size)
    found = summary(subject, file, any_in_region(device, region))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        terminal.show_titled(f"{subject.name} in {file}", table(subject, found))


def open_subject(file: Path, image_size: int | None = None) -> Subject:
    """The network in a file, at ``image_size`` or, without one, at that of the arch or of a run.config beside it."""
    from supernet import net_config

    data = net_config.load(file)
    if "arch" in data or "choices" in data:
        return of_arch(data, file, image_size)
    if "blocks" not in data:
        raise InputError(f"{file} is none of: {FORMS}; its keys are {some(data) or 'none'}")
    config = net_config.parse(data, str(file))
    size = net_config.image_size_beside(file) if image_size is None else image_size
    if size is None:
        raise InputError(
            f"{file} does not say how large its images are: give --image-size N, "
            f'or put a {net_config.RUN_CONFIG} with {{"image_size": N}} beside it'
        )
    return Subject(config.name, size, config.layers(size), net_config.arch_of(config, size))


def of_arch(data: Mapping[str, Any], file: Path, image_size: int | None) -> Subject:
    """The network of an arch or of a bundle's arch.json. Raises InputError for one of another network."""
    from supernet.catalog import open_supernet

    arch = data.get("arch", data)
    space = arch.get("space") if isinstance(arch, dict) else None
    if not isinstance(space, str):
        raise InputError(f"{file} holds no arch, which names its space; a file may be {FORMS}")
    supernet = open_supernet(space)
    fingerprint = data.get("fingerprint", supernet.fingerprint)
    if fingerprint != supernet.fingerprint:
        raise InputError(
            f"{file} is of a network called {space} with fingerprint {fingerprint}, "
            f"but the one that ships has {supernet.fingerprint}: they are different networks"
        )
    found = supernet.space.from_dict(arch)
    if image_size is not None:
        found = supernet.space.arch({**found.values, "resolution": image_size})
    return Subject(supernet.name, found.resolution, supernet.layers(found), (supernet, found))


def summary(subject: Subject, file: Path, device: str | Variant | None) -> dict[str, Any]:
    """What ``--json`` prints; what is not known is left out. Raises InputError for a device without a point."""
    from cost_models.compute import of_layers

    costs: dict[str, float] = {**of_layers(subject.layers)}
    found: dict[str, Any] = {"file": str(file), "network": subject.name, "image_size": subject.image_size}
    if subject.point is not None:
        supernet, arch = subject.point
        found |= {"supernet": supernet.name, "arch_id": arch.id, "arch": arch.to_dict()}
    if device is not None:
        name, predicted = of_device(subject, file, device)
        found["device"] = name
        costs |= predicted
    return found | {"costs": costs}


def of_device(subject: Subject, file: Path, given: str | Variant) -> tuple[str, dict[str, float]]:
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


def table(subject: Subject, found: Mapping[str, Any]) -> Table:
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
