"""``oncefit demo``: the main job, from end to end, on the embedded supernet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import Json, Region
from supernet.bounds import MOST, check_at_most


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.", metavar="DIR")] = Path("runs/demo"),
    trials: Annotated[int, typer.Option(min=1, help="Subnets each search measures.", metavar="N")] = 40,
    region: Region = None,
    as_json: Json = False,
) -> None:
    """Do the main job on the embedded supernet, from end to end.

    Fit this machine's latency, search, evaluate, export, compare.
    """
    from search.cli import terminal
    from search.cli.walkthrough import run_demo

    check_at_most(trials, MOST, "--trials")
    with terminal.resumable():
        figures = run_demo(out, trials, terminal, as_json, region)
    if as_json:
        terminal.print_json(figures)
