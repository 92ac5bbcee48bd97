"""``oncefit data``: folders of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import Json

app = typer.Typer(help="Look at folders of images.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Look at folders of images."""


@app.command("check")
def check_data(
    folder: Annotated[Path, typer.Argument(help="Folder of images.", metavar="DIR")],
    supernet: Annotated[
        str | None, typer.Option(help="Supernet they are for.", metavar="NAME", show_default="none")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="PNG of images as the supernet sees them.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what is wrong with a folder of images, and what to do.

    Every file is decoded: damaged ones, copies, what looks like copies, images in two splits, classes that differ, sizes,
    colours. The exit code is 2 where something is an error.
    """
    import oncefit
    from search.cli import terminal
    from search.reports import data_words
    from search.reports.plots import save_figure

    with terminal.resumable():
        found = oncefit.check_data(folder, supernet=supernet, progress=True)
    if picture is not None:
        save_figure(found.plot(), picture)
        terminal.say_files([picture])
    if as_json:
        terminal.print_json(found.to_dict())
    else:
        title = "\n".join([f"images in {folder}", *data_words.of_data_use(found.found)])
        terminal.show_titled(title, data_words.parts_table(found.found))
        terminal.show_titled(
            "images of each class",
            data_words.classes_table(found.found),
            data_words.findings_text(found.found),
        )
    if found.errors:
        raise typer.Exit(2)
