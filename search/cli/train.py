"""``oncefit train``: a supernet, on images that ship or on a person's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from search.cli.options import Json, out_folder
from supernet.bounds import MOST, MOST_LAYERS, MOST_SEED
from supernet.errors import InputError


def train(
    recipe: Annotated[
        Path | None,
        typer.Argument(
            help="YAML file, as configs/training/fmnist_mbv3.yaml.", metavar="[RECIPE]", show_default=False
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Adapt this supernet, by name or file, to DIR.", metavar="NAME"),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Images, with train/.", metavar="DIR", show_default="the recipe's"),
    ] = None,
    changes: Annotated[
        Path | None,
        typer.Option(
            "--recipe", help="With --from: YAML of changes.", metavar="FILE", show_default="shipped"
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="With --from.", min=1, max=MOST, metavar="N", show_default="recipe's")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="With --from.", min=0, max=MOST_SEED, metavar="N", show_default="recipe's"),
    ] = None,
    alone: Annotated[
        str | None, typer.Option(help="Train one subnet only: small, medium or large.", metavar="SIZE")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="Of torch.", min=1, max=MOST_LAYERS, metavar="N", show_default="the recipe's"),
    ] = None,
    device_type: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", metavar="TYPE")] = "auto",
    track_carbon: Annotated[
        bool, typer.Option("--track-carbon", help="Keep what the training emits (needs codecarbon).")
    ] = False,
    out: Annotated[Path | None, out_folder("in runs/training")] = None,
    as_json: Json = False,
) -> None:
    """Train a supernet by a RECIPE, or adapt one to images of yours.

    The same command resumes a killed training.
    """
    import oncefit
    from search.cli import terminal
    from search.reports import words as readable
    from supernet.training.processes import is_first_process

    common: dict[str, Any] = {
        "threads": threads, "device_type": device_type, "out": out, "track_carbon": track_carbon, "progress": True,
    }  # fmt: skip
    with terminal.resumable():
        if start is not None:
            folder = images_to_adapt_to(start, recipe, data, alone)
            trained = oncefit.adapt(start, folder, recipe=changes, epochs=epochs, seed=seed, **common)
        else:
            path = recipe_alone(recipe, {"--recipe": changes, "--epochs": epochs, "--seed": seed})
            trained = oncefit.train(path, data=data, alone=alone, **common)
    if not is_first_process():
        return
    if as_json:
        terminal.print_json(readable.plain_training(trained))
    else:
        terminal.show_titled(
            f"weights {trained.weights}\nsha256  {trained.sha256}",
            readable.table(readable.of_training(trained.validation)),
            f"Measured on the validation split. {readable.INTERVAL}{readable.after_training(trained)}",
        )


def images_to_adapt_to(start: str, recipe: Path | None, data: Path | None, alone: str | None) -> Path:
    """The folder of images. Raises InputError where a supernet is to be adapted, and something else is asked for too."""
    if recipe is not None:
        raise InputError(
            f"{recipe} trains a supernet from scratch, and --from {start} begins with its weights; give one of them. "
            "What changes the recipe of --from is given with --recipe FILE"
        )
    if alone is not None:
        raise InputError(
            f"--alone {alone} trains one subnet from scratch, and --from {start} a whole supernet; give one of them"
        )
    if data is None:
        raise InputError(f"--from {start} needs images to adapt it to; give a folder with --data DIR")
    return data


def recipe_alone(recipe: Path | None, others: Mapping[str, object]) -> Path:
    """The recipe. Raises InputError where there is none, and for options that are of ``--from``."""
    if recipe is None:
        raise InputError(
            "give a RECIPE to train by, as configs/training/fmnist_mbv3.yaml, or --from SUPERNET --data DIR to adapt one"
        )
    given = [option for option, value in others.items() if value is not None]
    if given:
        raise InputError(
            f"{given[0]} is for --from SUPERNET; what {recipe} says is changed there, in the file"
        )
    return recipe
