"""``oncefit work``: make trials of a search that somebody else began, here or on another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import storage_url


def work(
    run: Annotated[
        Path | None, typer.Argument(help="Run folder, where this machine sees it.", metavar="RUN")
    ] = None,
    storage: Annotated[str | None, storage_url(False)] = None,
    study: Annotated[
        str | None, typer.Option(help="The study's name there, without RUN.", metavar="NAME")
    ] = None,
    supernet: Annotated[
        str | None, typer.Option(help="Supernet, where it is elsewhere here.", metavar="FILE")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Images, where they are elsewhere here.", metavar="DIR")
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Wait so long for the search to begin.", metavar="SECONDS")
    ] = 0,
    check: Annotated[bool, typer.Option("--check", help="Only see whether this machine could.")] = False,
    until_stdin_closes: Annotated[bool, typer.Option("--until-stdin-closes", hidden=True)] = False,
) -> None:
    """Make trials of a search that was begun elsewhere.

    Until the search has all; a worker may leave at any time.

    Begun with oncefit search --storage URL --study NAME, or in a folder RUN that both see.
    """
    import oncefit
    from search.cli import terminal
    from search.cli.leaving import stopped_by

    with (
        terminal.resumable("stopped; what was measured is kept, others go on"),
        stopped_by(until_stdin_closes),
    ):
        made = oncefit.work(
            run,
            storage=storage,
            study=study,
            supernet=supernet,
            data=data,
            wait=wait,
            check=check,
            progress=True,
        )
    name = run if run is not None else f"the study {study}"
    terminal.say(
        f"this machine can work on {name}" if check else f"subnets evaluated here for {name}: {made}"
    )
