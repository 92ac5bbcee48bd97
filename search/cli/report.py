"""``oncefit report``: what a run found, or several, as one page of HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from supernet.errors import InputError

PORT = 8350


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folder; several are compared.", metavar="RUN")],
    out: Annotated[
        Path | None,
        typer.Option(help="HTML file to write.", metavar="FILE", show_default="RUN/report.html"),
    ] = None,
    cost: Annotated[
        str | None, typer.Option(help="Cost to compare in.", metavar="COST", show_default="that of the runs")
    ] = None,
    at: Annotated[
        list[float] | None,
        typer.Option(help="Budget of that cost; may be repeated.", metavar="NUMBER", show_default="four"),
    ] = None,
    deployment: Annotated[
        Path | None, typer.Option(help="YAML file of a deployment, for its carbon.", metavar="FILE")
    ] = None,
    measure_ends: Annotated[
        bool, typer.Option("--measure-ends", help="Measure the smallest and largest subnet too.")
    ] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Follow a running search, on this machine only.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(help="Port of --serve, 0 for any.", metavar="N", show_default=str(PORT))
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="Optuna storage.", metavar="URL", show_default="where the runs have it")
    ] = None,
) -> None:
    """Write a page that tells what a run found.

    One HTML file, with charts, that needs no network. Of several runs it is a comparison. With --serve the
    page is at http://127.0.0.1, and follows the search.
    """
    if port is not None and not serve:
        raise InputError(f"--port {port} is for --serve; give that too, or leave it out")
    if serve:
        follow(
            runs,
            PORT if port is None else port,
            storage,
            deployment,
            out is not None or measure_ends or bool(cost or at),
        )
        return
    import oncefit
    from search.cli import terminal

    written = oncefit.report(
        runs, out, cost=cost, at=at or [], deployment=deployment, measure_ends=measure_ends, storage=storage
    )
    terminal.say(f"wrote {written} ({written.stat().st_size / 1e6:.1f} MB)")


def follow(
    runs: list[Path], port: int, storage: str | None, deployment: Path | None, with_others: bool
) -> None:
    """Serve the page of one run until Ctrl-C. Raises InputError for several runs, and beside options of a file."""
    from search.cli import terminal
    from search.reports.page.live import LOOPBACK, Followed, live_server
    from search.reports.page.making import serving_of

    if len(runs) != 1:
        raise InputError(f"--serve follows one run, and there are {len(runs)}; give one of them")
    if with_others:
        raise InputError(
            "--serve writes and measures nothing: leave --out, --cost, --at and --measure-ends out"
        )
    server = live_server(Followed(runs[0], storage, serving_of(deployment)), port)
    terminal.say(
        f"{runs[0]} is at http://{LOOPBACK}:{server.server_address[1]}/ for this machine; Ctrl-C ends it"
    )
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            terminal.say("stopped; the search is not touched")
