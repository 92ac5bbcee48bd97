"""The command line. Heavy packages are imported inside the commands that use them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from search.cli import (
    compare,
    cost,
    demo,
    device,
    devices,
    evaluate,
    export,
    predictor,
    search,
    train,
    verify,
    weights,
)
from supernet.errors import InputError

app = typer.Typer(
    name="oncefit",
    help="One pretrained once-for-all supernet, fitted to every device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"oncefit {version('oncefit')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=show_version, is_eager=True),
    ] = False,
) -> None:
    """One pretrained once-for-all supernet, fitted to every device."""


app.command()(search.search)
app.command()(export.export)
app.command()(verify.verify)
app.command()(evaluate.evaluate)
app.command()(compare.compare)
app.command()(cost.cost)
app.command()(device.device)
app.command()(train.train)
app.command()(demo.demo)
app.add_typer(predictor.app, name="predictor")
app.add_typer(weights.app, name="weights")
app.add_typer(devices.app, name="devices")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point: wrong input is one paragraph and exit code 2; Ctrl-C is 130."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    try:
        app(given, prog_name="oncefit")
    except InputError as error:
        if debug:
            import traceback

            traceback.print_exc()
        sys.stderr.write(f"oncefit: {error}\n")
        raise SystemExit(2) from None
    raise SystemExit(0)


if __name__ == "__main__":
    main()
