"""``oncefit profile kit`` and ``oncefit profile import``: a device that is elsewhere, measured there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.device import tell_kept
from search.cli.options import DeviceFile, Json, ReplaceFile

Supernet = Annotated[str, typer.Option(help="Supernet: name or YAML file.", metavar="NAME")]


def kit(
    name: Annotated[str, typer.Argument(help="What to call the device.", metavar="NAME")],
    supernet: Supernet = "fmnist_mbv3",
    samples: Annotated[
        int,
        typer.Option(help="Subnets that are measured.", metavar="N", min=8, max=1000),
    ] = 30,
    threads: Annotated[
        int, typer.Option(help="Threads that a subnet runs on.", metavar="N", min=1, max=1024)
    ] = 1,
    batch: Annotated[int, typer.Option(help="Images at once.", metavar="B", min=1, max=4096)] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the choice.", metavar="K", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="ZIP file to write.", metavar="FILE")] = Path("kit.zip"),
    as_json: Json = False,
) -> None:
    """Write a kit that measures a device which is elsewhere.

    There it needs Python, numpy and onnxruntime only, and writes result.json, of which oncefit profile import makes
    the device.
    """
    import oncefit
    from search.cli import terminal
    from search.reports import words as readable

    made = oncefit.make_kit(name, supernet, samples=samples, threads=threads, batch=batch, seed=seed, out=out)
    if as_json:
        terminal.print_json(made.to_dict())
        return
    terminal.show_titled(
        f"kit for {name} in {out}",
        readable.table(made.sections()),
        "On the device: unpack it, python -m pip install numpy onnxruntime, python measure.py. "
        "Here, with what that wrote: oncefit profile import result.json",
    )


def import_result(
    result: Annotated[Path, typer.Argument(help="What measure.py wrote.", metavar="RESULT")],
    name: Annotated[
        str | None,
        typer.Option(help="What to call the device.", metavar="NAME", show_default="as the kit says"),
    ] = None,
    supernet: Annotated[
        str | None,
        typer.Option(help="Supernet of the kit.", metavar="NAME", show_default="as the kit says"),
    ] = None,
    kit: Annotated[
        Path | None, typer.Option(help="Refuse a result that is not of this kit.", metavar="FILE")
    ] = None,
    out: DeviceFile = None,
    replace: ReplaceFile = False,
    as_json: Json = False,
) -> None:
    """Make a device of the result of a kit.

    A result that is damaged, partial, changed or of another kit or supernet is refused.
    """
    import oncefit

    found = oncefit.import_kit_result(result, name=name, supernet=supernet, kit=kit, out=out, replace=replace)
    tell_kept(found, as_json)
