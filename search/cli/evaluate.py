"""``oncefit evaluate``: measure a bundle on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import Bundle, Json
from supernet.errors import InputError


def evaluate(
    bundle: Bundle,
    images: Annotated[
        Path | None,
        typer.Option(help="Images, one folder a class.", metavar="DIR", show_default="the report split"),
    ] = None,
    confusion: Annotated[
        Path | None, typer.Option(help="PNG of the confusion matrix; CSV beside it.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a bundle on this machine: top-1, top-5, latency.

    What is measured is the ONNX model in ONNX Runtime. Where classes have unequally many images, accuracy is shown by
    class too.
    """
    import oncefit
    from search.cli import terminal
    from search.reports import words as readable

    if confusion is not None and confusion.suffix.lower() != ".png":
        raise InputError(f"--confusion {confusion} is a picture: give a name that ends in .png")
    summary = oncefit.open_bundle(bundle).evaluate(images)
    if confusion is not None:
        terminal.say_files(summary.write(confusion))
    if as_json:
        terminal.print_json(summary)
    else:
        terminal.show_titled(
            f"bundle {bundle}",
            readable.table(readable.of_evaluation(summary, images)),
            readable.INTERVALS + ("" if summary["calibrated"] else f"\n{readable.NOT_CALIBRATED}"),
        )
