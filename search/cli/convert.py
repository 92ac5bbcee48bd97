"""``oncefit convert``: a bundle in the formats of other runtimes."""

from __future__ import annotations

from typing import Annotated

import typer

from search.cli.options import BatchOption, Bundle, FormatNames, ImageSize, Json, Opset, TimedThreads


def convert(
    bundle: Bundle,
    format: FormatNames,
    batch: BatchOption = None,
    image_size: ImageSize = None,
    opset: Opset = None,
    threads: TimedThreads = 1,
    data: Annotated[
        str | None, typer.Option(help="Folder of its data set.", metavar="DIR", show_default="by its card")
    ] = None,
    supernet: Annotated[
        str | None,
        typer.Option(help="Supernet's name or YAML file.", metavar="NAME", show_default="by its card"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a bundle in formats of other runtimes, into the bundle.

    Each is read back by its own runtime and compared with torch before any of them is in place.
    """
    import oncefit
    from search.cli import terminal
    from search.reports import formats as of_formats

    made = oncefit.convert(
        bundle, format, batch=of_formats.batch_given(batch), image_size=image_size, opset=opset, threads=threads,
        data=data, supernet=supernet,
    )  # fmt: skip
    if as_json:
        terminal.print_json(dict(made.summary))
        return
    found = made.summary["formats"]
    terminal.show_titled(
        f"formats of {made.folder}", of_formats.format_table(found), of_formats.format_notes(found)
    )
