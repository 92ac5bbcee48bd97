"""``oncefit data``: folders of images."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from search.cli.options import Json

app = typer.Typer(
    help="Look at folders of images, and split them.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def group() -> None:
    """Look at folders of images, and split them."""


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
    from search.reports.figures.plots import save_figure

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


@app.command("split")
def split_data(
    source: Annotated[
        Path, typer.Argument(help="Folder of class folders, or a TAR or ZIP of it.", metavar="DIR")
    ],
    out: Annotated[Path, typer.Option(help="New folder to write.", metavar="DIR")],
    validation: Annotated[float, typer.Option(help="Share of each class.", metavar="X")] = 0.1,
    report: Annotated[float, typer.Option(help="Share of each class.", metavar="X")] = 0.1,
    calibration: Annotated[int, typer.Option(help="Images of train/ for it.", metavar="N")] = 2000,
    link: Annotated[bool, typer.Option("--link", help="Hard links in place of copies.")] = False,
    as_json: Json = False,
) -> None:
    """Split one folder of images a class into all that is needed.

    That is train/, calibration/ (some of train/ again), validation/ and report/. Which file goes where follows from the sha256
    of its bytes alone, so that copies stay together and every machine gets the same splits. Every file is decoded; nothing is
    written where one cannot be.
    """
    import oncefit
    from search.cli import terminal
    from search.reports import data_words

    with terminal.resumable():
        made = oncefit.split_images(
            source,
            out,
            validation=validation,
            report=report,
            calibration=calibration,
            link=link,
            progress=True,
        )
    if as_json:
        terminal.print_json(made.to_dict())
        return
    note = [*made.told, f"Next, type:\n  oncefit data check {quote(str(out))}"]
    terminal.show_titled(f"{source} in {out}", data_words.split_table(made.written), "\n".join(note))
