"""``oncefit profile``: a device made of measured latencies of whole subnets.

What stands after ``profile`` and names no command of the group is a device to be profiled:
``oncefit profile NAME --from-csv FILE`` beside ``oncefit profile kit NAME``.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from search.cli.options import DeviceFile, Json, ReplaceFile
from search.cli.profile_here import measure_here
from supernet.errors import InputError, short

if TYPE_CHECKING:
    from cost_models.device import LatencyModel
    from cost_models.profile_csv import Profiled
    from search.reports.words import Lines

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


@app.command(DEVICE, hidden=True)
def profile(
    name: Annotated[str, typer.Argument(help="What to call the device.", metavar="NAME")],
    from_csv: Annotated[
        Path | None,
        typer.Option(help="CSV of measured subnets: arch columns, a latency a column.", metavar="FILE"),
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="Column with the milliseconds.", metavar="COLUMN")
    ] = None,
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
    samples: Annotated[
        int, typer.Option(help="Subnets that the latency is fitted to.", metavar="N", min=2)
    ] = 30,
    layers: Annotated[
        bool, typer.Option("--layers", help="Measure a table of every layer, and few subnets.")
    ] = False,
    resolutions: Annotated[
        str | None,
        typer.Option(help="Its resolutions, as 128,224.", metavar="R", show_default="as time allows"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice of subnets.", metavar="K", min=0)] = 0,
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
    from cost_models.device_files import kept_devices, write_device
    from cost_models.profile_csv import AskedColumn, profile_csv
    from search.cli import terminal
    from search.cli.devices import check_place
    from search.reports import words as readable
    from supernet.catalog import open_supernet

    if from_csv is None:
        if column is not None or like:
            raise InputError("--column and --like are of --from-csv FILE, and there is none")
        setup = {"runtime": runtime, "threads": threads, "batch": batch, "precision": precision}
        table = (layers, whole_numbers(resolutions, "--resolutions") if resolutions is not None else None)
        measure_here(name, supernet, setup, samples, seed, table, out, refresh or replace, even_busy, as_json)
        return
    if (
        (runtime, threads, precision) != ("onnxruntime", 1, "fp32")
        or refresh
        or even_busy
        or layers
        or resolutions
    ):
        raise InputError(
            "--runtime, --threads, --precision, --layers, --resolutions, --refresh and --even-busy are for measuring "
            "here; --from-csv FILE was measured already"
        )
    if column is None:
        raise InputError(f"oncefit profile {name} --from-csv {from_csv} needs --column COLUMN")
    file = out if out is not None else kept_devices() / f"{name}.yaml"
    check_place(file, replace)
    asked = AskedColumn(from_csv, column, samples, seed, batch, tuple(like or ()))
    found = profile_csv(name, asked, open_supernet(supernet), terminal.say)
    write_device(found.device, file)
    if as_json:
        terminal.print_json(summary(found, file))
        return
    terminal.show_titled(
        f"device {name} in {file}",
        readable.table(rows(found)),
        f"For a search: device: {file if out is not None else name}",
    )


def whole_numbers(text: str, option: str) -> list[int]:
    """The numbers of an option such as ``128,224``. Raises InputError for what is none."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and part.isascii() for part in parts):
        raise InputError(
            f"{option}: got {short(text)}; give whole numbers with commas between them, as 128,224"
        )
    return [int(part) for part in parts]


def summary(found: Profiled, file: Path) -> dict[str, Any]:
    """What ``--json`` prints."""
    latency = fitted_model(found)
    return {
        "device": found.device.name,
        "file": str(file),
        "supernet": latency.supernet,
        "fitted_to": latency.subnets,
        "rows": list(latency.rows or ()),
        "like": list(latency.like),
        "cross_validated": {
            "median_percent": latency.error_percent,
            "worst_percent": latency.worst_error_percent,
        },
        "predicted_against_measured": asdict(found.unseen) if found.unseen is not None else None,
    }


def rows(found: Profiled) -> list[Lines]:
    """The same for people."""
    latency, unseen = fitted_model(found), found.unseen
    made = [
        ("supernet", latency.supernet),
        ("fitted to", f"{latency.subnets} measured subnets"),
        ("batch", str(latency.settings["batch"])),
        *([("with prices of", ", ".join(latency.like))] if latency.like else []),
        (
            "cross-validated error (%)",
            f"median {latency.error_percent:.1f}, worst {latency.worst_error_percent:.1f}",
        ),
    ]
    if unseen is None:
        return [made, [("other rows", "none: no error but the cross-validated one")]]
    told = [
        ("predicted against measured", f"{unseen.subnets:,} other subnets"),
        ("within 10 % (%)", f"{100 * unseen.within_10_percent:.2f}"),
        ("median error (%)", f"{unseen.median_percent:.2f}"),
        ("worst error (%)", f"{unseen.worst_percent:.1f}"),
        ("Spearman's rank correlation", f"{unseen.spearman:.4f}"),
    ]
    return [made, told]


def fitted_model(found: Profiled) -> LatencyModel:
    latency = found.device.fitted
    assert latency is not None
    return latency
