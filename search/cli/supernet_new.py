"""``oncefit supernet new``, ``show``: one for one's own images, and a first look at any."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.options import Json

if TYPE_CHECKING:
    import oncefit


def new_supernet(
    name: Annotated[str, typer.Argument(help="Its name.", metavar="NAME")],
    max_macs: Annotated[
        float, typer.Option(help="Multiply-adds of the largest subnet.", metavar="N", show_default=False)
    ],
    max_params: Annotated[
        float | None, typer.Option(help="Weights of the whole supernet.", metavar="N", show_default="any")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Side of the images.", metavar="N", show_default="by --data")
    ] = None,
    channels: Annotated[
        int | None,
        typer.Option(help="1 for grey images, 3 for RGB.", metavar="N", show_default="by --data, or 3"),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="a,b,c or a list's name, as imagenet.", metavar="A,B", show_default="by --data"),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of images with train/.", metavar="DIR", show_default="none")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="YAML file to write.", metavar="FILE", show_default="NAME.yaml")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the YAML of a supernet for images of yours.

    Its widths, depths, kernels and resolutions are chosen for the size of the images, so that the largest subnet is just
    within --max-macs. A training recipe is written beside it. With --data, mean and std are measured on images in train/.
    """
    import oncefit
    from search.cli import terminal
    from supernet.making.new_supernet import recipe_path

    made = oncefit.new_supernet(
        name, max_macs=max_macs, max_params=max_params, image_size=image_size, channels=channels,
        classes=classes, data=data, out=out,
    )  # fmt: skip
    file = Path(str(made.source))
    terminal.say_files([file, recipe_path(file)])
    show_look(made, as_json, next_commands(file, recipe_path(file), str(data or "DIR")))


def show_supernet(
    name: Annotated[str, typer.Argument(help="Supernet: name or YAML file.", metavar="NAME")],
    as_json: Json = False,
) -> None:
    """Show what a supernet is built of, and what its subnets cost."""
    import oncefit

    show_look(oncefit.open_supernet(name), as_json)


def show_look(supernet: oncefit.Supernet, as_json: bool, commands: str = "") -> None:
    from search.cli import terminal
    from search.reports import supernet_words as readable

    found = supernet.first_look()
    if as_json:
        terminal.print_json(readable.of_look_json(found))
        return
    terminal.show_titled("\n".join(readable.of_look(found)), readable.costs_of_look(found), readable.MEDIAN)
    terminal.show_titled(
        "\nThe largest subnet, and what others choose from:", readable.stages_of_look(found), commands
    )


def next_commands(file: Path, recipe: Path, data: str) -> str:
    """What to type next."""
    lines = [
        f"oncefit data check {quote(data)} --supernet {quote(str(file))}",
        f"oncefit train {quote(str(recipe))} --data {quote(data)}",
    ]
    return "\n".join(["Next, type:", *(f"  {line}" for line in lines)])
