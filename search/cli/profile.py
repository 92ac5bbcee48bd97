"""``oncefit profile``: a device made of measured latencies of whole subnets.

What stands after ``profile`` and names no command of the group is a device to be profiled:
``oncefit profile NAME --from-csv FILE`` beside ``oncefit profile kit NAME``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from search.cli.device import tell_kept
from search.cli.options import DeviceFile, Json, ReplaceFile
from supernet.errors import InputError, short

ALL_SAMPLES = "all"
"""What stands in the place of a number of samples for all of them."""
OF_CSV = ("column", "unit", "like", "replace")
OF_HERE = ("runtime", "threads", "precision", "layers", "resolutions", "energy", "refresh", "even_busy")
"""Options of one way to measure that the other has no use for."""

DEVICE = "device"
"""The command that is meant where none is named."""


class DeviceUnlessNamed(TyperGroup):
    """A group of commands where a first word that is none of them is the argument of :data:`DEVICE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = [
            *ctx.help_option_names,
            *(name for name, command in self.commands.items() if not command.hidden),
        ]
        return super().parse_args(ctx, args if args and args[0] in named else [DEVICE, *args])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return "" if name == DEVICE else name, command, rest  # a usage line says what people type


app = typer.Typer(cls=DeviceUnlessNamed, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Make a device of measured latencies.

    NAME in place of COMMAND measures this machine, or takes --from-csv FILE: oncefit profile NAME --help says how.
    """


def samples_in(text: str) -> int | None:
    """A number of samples; None for all."""
    if text == ALL_SAMPLES:
        return None
    try:
        return int(text)
    except ValueError:
        raise InputError(
            f"--samples: got {text!r}; it is a number of subnets, or {ALL_SAMPLES} of --from-csv"
        ) from None


def whole_numbers(text: str | None, option: str) -> list[int] | None:
    """The numbers of an option such as ``128,224``. Raises InputError for what is none."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and part.isascii() for part in parts):
        raise InputError(
            f"{option}: got {short(text)}; give whole numbers with commas between them, as 128,224"
        )
    return [int(part) for part in parts]


@app.command(DEVICE, hidden=True)
def profile(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What to call the device.", metavar="NAME")],
    from_csv: Annotated[
        Path | None,
        typer.Option(help="CSV of measured subnets: arch columns, a latency a column.", metavar="FILE"),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(help="Column of FILE with the latency.", metavar="COLUMN", show_default="the only one"),
    ] = None,
    unit: Annotated[str, typer.Option(help="Unit of that column: ms, us or s.", metavar="UNIT")] = "ms",
    like: Annotated[
        list[str] | None,
        typer.Option(help="Device, column of FILE, or all its others, to lend prices.", metavar="DEVICE"),
    ] = None,
    supernet: Annotated[
        str, typer.Option(help="Supernet: name or YAML file.", metavar="NAME")
    ] = "fmnist_mbv3",
    runtime: Annotated[str, typer.Option(help="Runtime to measure with.", metavar="NAME")] = "onnxruntime",
    threads: Annotated[int, typer.Option(help="Threads it runs with.", metavar="N", min=1)] = 1,
    precision: Annotated[str, typer.Option(help="fp32, bf16 or int8.", metavar="P")] = "fp32",
    batch: Annotated[int, typer.Option(help="Images in one measured inference.", metavar="B", min=1)] = 1,
    samples: Annotated[str, typer.Option(help="Subnets to fit to; of FILE also all.", metavar="N")] = "30",
    layers: Annotated[
        bool, typer.Option("--layers", help="Measure a table of every layer, and few subnets.")
    ] = False,
    resolutions: Annotated[
        str | None,
        typer.Option(help="Its resolutions, as 128,224.", metavar="R", show_default="as time allows"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice of subnets.", metavar="K", min=0)] = 0,
    energy: Annotated[
        bool, typer.Option("--energy", help="Fit power figures to this machine's meter.")
    ] = False,
    out: DeviceFile = None,
    replace: ReplaceFile = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Measure this machine again, and write over the device.")
    ] = False,
    even_busy: Annotated[
        bool, typer.Option("--even-busy", help="Keep what a busy machine measured, marked as that.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a device of measured latencies of whole subnets, chosen for what they tell.

    They are measured here, now, by onnxruntime, openvino, torch, litert or executorch. With --from-csv they were
    measured already; the others of the file tell the error. Further commands: oncefit profile COMMAND --help.
    """
    import oncefit
    from search.cli import terminal

    count = samples_in(samples)
    check_options(ctx, from_csv is not None, count)
    if from_csv is not None:
        found = oncefit.profile_from_csv(
            name, from_csv, column, supernet, like=like or (), samples=count, seed=seed, batch=batch, unit=unit,
            out=out, replace=replace,
        )  # fmt: skip
        tell_kept(found, as_json)
        return
    assert count is not None
    try:
        found = oncefit.profile(
            name, supernet, runtime=runtime, threads=threads, batch=batch, precision=precision, samples=count,
            layers=layers, resolutions=whole_numbers(resolutions, "--resolutions"), seed=seed, energy=energy,
            out=out, refresh=refresh, even_busy=even_busy, progress=True,
        )  # fmt: skip
    except KeyboardInterrupt:
        terminal.say("stopped; nothing was written")
        raise SystemExit(130) from None
    tell_kept(found, as_json)


def check_options(ctx: typer.Context, csv: bool, samples: int | None) -> None:
    """Raises InputError for options of the other way to measure."""
    given = {name for name in (*OF_CSV, *OF_HERE) if was_typed(ctx, name)}
    if csv and given & set(OF_HERE):
        raise InputError(
            f"{listed_options(OF_HERE)} are for measuring here; --from-csv FILE was measured already"
        )
    if not csv and (given & set(OF_CSV) or samples is None):
        raise InputError(
            f"{listed_options(OF_CSV)} and --samples {ALL_SAMPLES} are of --from-csv FILE, and there is none; "
            "--refresh measures this machine again and writes over the device"
        )


def was_typed(ctx: typer.Context, name: str) -> bool:
    """Whether an option was typed, be it with the value that it has without."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def listed_options(names: Sequence[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)
