"""``oncefit export``: a subnet of a run, or of a supernet, as a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.options import BatchOption, ImageSize, Json, MoreFormats, Opset, TimedThreads, out_folder
from supernet.errors import InputError

if TYPE_CHECKING:
    from oncefit import Bundle
    from search.reports.formats import FormatsAsked

BEST = "best"


def export(
    source: Annotated[str, typer.Argument(help="Run folder, or a supernet.", metavar="RUN")],
    pick: Annotated[str, typer.Option(help="best, knee, arch id or file.", metavar="WHICH")] = BEST,
    data: Annotated[
        str | None,
        typer.Option(help="Images to calibrate and measure on.", metavar="DIR", show_default="the run's"),
    ] = None,
    supernet: Annotated[
        str | None,
        typer.Option(help="Supernet's name or YAML file.", metavar="NAME", show_default="the run's"),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Device to predict costs for.", metavar="NAME", show_default="the run's"),
    ] = None,
    uncalibrated: Annotated[
        bool,
        typer.Option(
            "--uncalibrated",
            help="Neither calibrate nor measure.",
        ),
    ] = False,
    format: MoreFormats = None,
    batch: BatchOption = None,
    image_size: ImageSize = None,
    opset: Opset = None,
    threads: TimedThreads = 1,
    storage: Annotated[
        str | None, typer.Option(help="Optuna storage.", metavar="URL", show_default="where the run has it")
    ] = None,
    out: Annotated[Path | None, out_folder("RUN/bundles/ARCH")] = None,
    as_json: Json = False,
) -> None:
    """Write a subnet of a run as a bundle: weights, ONNX, card.

    A supernet's name in place of RUN exports any of its subnets without a search. A subnet's file is
    whatever oncefit cost reads. The bundle is read back and verified before it is in place, and so are
    its formats.
    """
    import oncefit
    from search.cli import terminal
    from search.reports import formats as of_formats
    from search.reports import words as readable

    if data is not None and uncalibrated:
        raise InputError(
            f"--data {data} is for calibrating, and --uncalibrated is for no images; give one of them"
        )
    if format is None and (batch, image_size, opset) != (None, None, None):
        raise InputError(
            "--batch, --image-size and --opset are for --format; give formats, or leave them out"
        )
    written: FormatsAsked = {
        "formats": format, "batch": of_formats.batch_given(batch), "image_size": image_size, "opset": opset, "threads": threads,
    }  # fmt: skip
    if Path(source).is_dir() or ("/" in source and not source.endswith((".yaml", ".yml"))):
        if device is not None:
            raise InputError(f"{source} is a run, whose costs are of its own device; leave --device out")
        run = oncefit.open_run(
            source, storage=storage, supernet=supernet, data=data, measure=not uncalibrated
        )
        bundle = run.export(pick, out, calibrated=not uncalibrated, **written)
    else:
        bundle = of_supernet(source, pick, data, supernet, storage, device, out, not uncalibrated, written)
    if as_json:
        terminal.print_json(dict(bundle.summary))
    else:
        terminal.show_titled(
            f"bundle {bundle.summary['folder']}",
            readable.table(readable.of_export(bundle.summary)),
            readable.INTERVALS if bundle.summary["calibrated"] else readable.NOT_CALIBRATED,
        )
        if found := bundle.summary.get("formats"):
            terminal.show_titled("formats", of_formats.format_table(found), of_formats.format_notes(found))


def of_supernet(
    name: str,
    pick: str,
    data: str | None,
    supernet: str | None,
    storage: str | None,
    device: str | None,
    out: Path | None,
    calibrated: bool,
    written: FormatsAsked,
) -> Bundle:
    """The bundle of an arch without a search. Raises InputError where none is given."""
    import oncefit

    try:
        opened = oncefit.open_supernet(name, data=data)
    except InputError as error:
        raise InputError(f"{name} is no folder of a run, nor a supernet: {error}") from None
    if supernet is not None or storage is not None:
        raise InputError(f"{name} is a supernet; --supernet and --storage are for runs, leave them out")
    if pick in (BEST, "knee"):
        raise InputError(
            f"{name} is a supernet, and nothing was searched in it: give a subnet of it, as --pick FILE, in any of "
            "the encodings that oncefit cost reads; or a run folder"
        )
    return opened.export(pick, out, device=device, calibrated=calibrated, **written)
