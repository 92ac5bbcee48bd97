"""``oncefit export``: a subnet of a run as a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import Json, Run, out_folder


def export(
    run: Run,
    pick: Annotated[str, typer.Option(help="best, knee or an arch id.", metavar="WHICH")] = "best",
    data: Annotated[
        str | None,
        typer.Option(help="Images to calibrate and measure on.", metavar="DIR", show_default="the run's"),
    ] = None,
    supernet: Annotated[
        str | None,
        typer.Option(help="Supernet's name or YAML file.", metavar="NAME", show_default="the run's"),
    ] = None,
    uncalibrated: Annotated[
        bool,
        typer.Option(
            "--uncalibrated",
            help="Neither calibrate nor measure.",
        ),
    ] = False,
    storage: Annotated[
        str | None, typer.Option(help="Optuna storage.", metavar="URL", show_default="where the run has it")
    ] = None,
    out: Annotated[Path | None, out_folder("RUN/bundles/ARCH")] = None,
    as_json: Json = False,
) -> None:
    """Write a subnet of a run as a bundle: weights, ONNX, card.

    It is read back and verified before it is in place.
    """
    from search.cli import terminal
    from search.reports import words as readable
    from search.reports.export import From, export_bundle

    given = From(supernet, data, calibrated=not uncalibrated)
    bundle, summary = export_bundle(run, pick, storage, out, terminal.say, given)
    if as_json:
        terminal.print_json(summary)
    else:
        terminal.show_titled(
            f"bundle {bundle}",
            readable.table(readable.of_export(summary)),
            readable.INTERVALS if summary["calibrated"] else readable.NOT_CALIBRATED,
        )
