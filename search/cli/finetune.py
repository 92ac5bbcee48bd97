"""``oncefit finetune``: a subnet trained on, on images of its user's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import Json, out_folder
from supernet.bounds import MOST, MOST_SEED


def finetune(
    source: Annotated[str, typer.Argument(help="Bundle folder, or a run's.", metavar="BUNDLE")],
    data: Annotated[Path, typer.Option(help="Images, with train/.", metavar="DIR")],
    epochs: Annotated[
        int | None, typer.Option(help="At most.", min=1, max=MOST, metavar="N", show_default="recipe's")
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(help="YAML file of keys to change.", metavar="FILE", show_default="shipped"),
    ] = None,
    distil: Annotated[
        bool, typer.Option("--distil/--no-distil", help="Learn from the largest too.", show_default="off")
    ] = False,
    precision: Annotated[
        str, typer.Option(help="int8: train in simulated 8 bits.", metavar="fp32|int8")
    ] = "fp32",
    device_type: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", metavar="TYPE")] = "auto",
    seed: Annotated[
        int | None, typer.Option(help="Seed.", min=0, max=MOST_SEED, metavar="N", show_default="recipe's")
    ] = None,
    supernet: Annotated[
        str | None, typer.Option(help="Its name or YAML file.", metavar="NAME", show_default="by the card")
    ] = None,
    out: Annotated[Path | None, out_folder("in runs/finetuned")] = None,
    as_json: Json = False,
) -> None:
    """Train a subnet on, on images of yours, as a new bundle.

    Classes are those of the images. Accuracy before and after is of the same report images.
    The same command resumes a killed one.
    """
    import oncefit
    from search.cli import terminal
    from search.reports import words as readable
    from supernet.training.processes import is_first_process

    with terminal.resumable():
        bundle = oncefit.finetune(
            source, data, epochs=epochs, seed=seed, recipe=recipe, distil=distil, precision=precision,
            device_type=device_type, supernet=supernet, out=out, progress=True,
        )  # fmt: skip
    if not is_first_process():
        return
    if as_json:
        terminal.print_json(dict(bundle.summary))
    else:
        terminal.show_titled(
            f"bundle {bundle.summary['folder']}",
            readable.table(readable.of_finetuning(bundle.summary)),
            readable.INTERVAL,
        )
