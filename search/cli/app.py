"""The command line. Heavy packages are imported inside the commands that use them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, NoReturn

import typer

from search.cli import (
    bundle,
    carbon,
    compare,
    convert,
    cost,
    data,
    demo,
    device,
    devices,
    doctor,
    evaluate,
    export,
    finetune,
    fleet,
    plot,
    predictor,
    profile,
    profile_kit,
    report,
    reselect,
    search,
    sizes,
    supernet,
    supernet_from_model,
    supernet_new,
    train,
    verify,
    weights,
    work,
)
from supernet.errors import InputError, paragraph, refused_by_system, short
from supernet.printable import STEERING, printable

app = typer.Typer(
    name="oncefit",
    help="One pretrained once-for-all supernet, fitted to every device.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
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
app.command()(reselect.reselect)
app.command()(fleet.fleet)
app.command()(work.work)
app.command()(export.export)
app.command()(convert.convert)
app.command()(verify.verify)
app.command()(evaluate.evaluate)
app.command()(compare.compare)
app.command()(report.report)
app.command()(plot.plot)
app.command()(cost.cost)
app.command()(sizes.sizes)
app.command()(carbon.carbon)
app.command()(device.device)
app.command()(train.train)
app.command()(finetune.finetune)
app.command()(demo.demo)
app.command()(doctor.doctor)
app.add_typer(bundle.app, name="bundle")
app.add_typer(data.app, name="data")
app.add_typer(predictor.app, name="predictor")
supernet.app.command("new")(supernet_new.new_supernet)
supernet.app.command("show")(supernet_new.show_supernet)
supernet.app.command("from-model")(supernet_from_model.from_model)
app.add_typer(supernet.app, name="supernet")
app.add_typer(weights.app, name="weights")
app.add_typer(devices.app, name="devices")
profile.app.command("kit")(profile_kit.kit)
profile.app.command("import")(profile_kit.import_result)
app.add_typer(profile.app, name="profile")


@cache
def parser() -> Callable[..., object]:
    """All commands with their options, made once a process: it takes as long as many a command."""
    return typer.main.get_command(app)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point: wrong input is one paragraph and exit code 2; Ctrl-C is 130."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    try:
        check_text(given)
        parser()(given, prog_name="oncefit")
    except (InputError, OSError, RuntimeError) as error:
        told = error if isinstance(error, InputError) else refused_by_system(error)
        if told is None:
            raise
        if debug:
            import traceback

            sys.stderr.write(printable(traceback.format_exc()))
        sys.stderr.write(f"oncefit: {printable(paragraph(str(told)))}\n")
        raise SystemExit(2) from None
    raise SystemExit(0)


def check_text(arguments: Sequence[str]) -> None:
    """Raises InputError for an argument that is empty, and for one with what is not UTF-8 or steers a terminal.

    As a path an empty text is the folder that one is in, and every id begins with it: a variable that was not set
    would be taken for a choice.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, equals, value = (
            argument.partition("=") if argument.startswith("--") else (before, "=", argument)
        )
        if equals and not value.strip():
            of = f"{option} is given" if option.startswith("--") else "an argument is"
            raise InputError(f"{of} {value!r}, which is empty; give a value, or leave it out")
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise InputError(f"{short(argument)} is not UTF-8 text; rename the file, or mend the locale")
        if STEERING.search(argument):
            raise InputError(
                f"{short(argument)} has characters that no text may hold; rename what is called so"
            )


if __name__ == "__main__":
    main()
