"""``oncefit verify``: check a bundle."""

from __future__ import annotations

from typing import Annotated

import typer

from search.cli.options import Bundle, Json


def verify(
    bundle: Bundle,
    supernet: Annotated[
        str | None,
        typer.Option(help="Supernet's name or YAML file.", metavar="NAME", show_default="by its card"),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Folder of its data set.", metavar="DIR", show_default="by its card")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a bundle: hashes, and ONNX Runtime against torch.

    Logits are compared on real images, top-1 on the whole report split. So are those of each of its
    other formats, on its own runtime; what is not installed is named, with what to type.
    """
    import oncefit
    from search.cli import terminal
    from search.reports import words as readable
    from search.reports.formats import verified_lines, verified_title

    summary = oncefit.open_bundle(bundle).verify(supernet=supernet, data=data)
    formats = summary.get("formats", {})
    if as_json:
        terminal.print_json(summary)
    else:
        terminal.show_titled(
            f"bundle {bundle} is sound{verified_title(formats)}",
            readable.table([*readable.of_verification(summary), verified_lines(formats)]),
            readable.INTERVAL if summary["calibrated"] else readable.NOT_CALIBRATED,
        )
