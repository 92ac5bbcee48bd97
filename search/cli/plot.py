"""``oncefit plot``: a picture of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def plot(
    run: Annotated[Path, typer.Argument(help="Run folder.", metavar="RUN")],
    kind: Annotated[
        str,
        typer.Option(
            help="front, history, importance, layers or timeline.", metavar="KIND", show_default=False
        ),
    ] = "front",
    format: Annotated[
        str | None, typer.Option(help="png or svg.", metavar="FORMAT", show_default="that of --out, or png")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write.", metavar="FILE", show_default="RUN/KIND.png")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="Optuna storage.", metavar="URL", show_default="where the run has it")
    ] = None,
) -> None:
    """Draw a picture of a run.

    front, which is drawn where nothing is said; history: how the search went; importance: which choices matter;
    layers: the chosen subnet block by block beside the largest; timeline: when each trial ran, and by which process.
    Nothing is measured for it.
    """
    import oncefit
    from search.cli import terminal
    from search.reports.figures.pictures import check_kind, picture_file

    check_kind(kind)
    path = picture_file(run, kind, format, out)
    oncefit.open_run(run, storage=storage, measure=False).plot(kind, path)
    terminal.say(f"wrote {path} ({path.stat().st_size / 1e3:.0f} kB)")
