"""``oncefit train``: a supernet by progressive shrinking."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import Json, out_folder


def train(
    recipe: Annotated[
        Path, typer.Argument(help="YAML file, as configs/training/fmnist_mbv3.yaml.", metavar="RECIPE")
    ],
    alone: Annotated[
        str | None, typer.Option(help="Train one subnet only: small, medium or large.", metavar="SIZE")
    ] = None,
    track_carbon: Annotated[
        bool, typer.Option("--track-carbon", help="Keep what the training emits (needs codecarbon).")
    ] = False,
    out: Annotated[Path | None, out_folder("runs/training/RECIPE")] = None,
    as_json: Json = False,
) -> None:
    """Train a supernet by progressive shrinking.

    The same command resumes a killed training.
    """
    import oncefit
    from search.cli import terminal
    from search.reports import words as readable

    with terminal.resumable():
        trained = oncefit.train(recipe, alone=alone, out=out, track_carbon=track_carbon, progress=True)
    if as_json:
        terminal.print_json(asdict(trained) | {"weights": str(trained.weights)})
    else:
        terminal.show_titled(
            f"weights {trained.weights}\nsha256  {trained.sha256}",
            readable.table(readable.of_training(trained.validation)),
            f"Measured on the validation split. {readable.INTERVAL}",
        )
