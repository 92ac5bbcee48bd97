"""``oncefit bundle``: what is done with a bundle after its export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import Bundle, Json, out_folder

app = typer.Typer(help="Change bundles.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Change bundles."""


@app.command("update")
def update(
    bundle: Bundle,
    weights: Annotated[Path, typer.Argument(help="Weights that were changed elsewhere.", metavar="WEIGHTS")],
    data: Annotated[
        str | None, typer.Option(help="Folder of its data set.", metavar="DIR", show_default="by its card")
    ] = None,
    supernet: Annotated[
        str | None,
        typer.Option(help="Supernet's name or YAML file.", metavar="NAME", show_default="by its card"),
    ] = None,
    out: Annotated[Path | None, out_folder("BUNDLE-updated")] = None,
    as_json: Json = False,
) -> None:
    """Take weights that were changed elsewhere into a new bundle.

    Names, shapes and types are checked, accuracy is measured, and the new card says which tensors changed and which
    bundle they were of.
    """
    import oncefit
    from search.cli import terminal
    from search.reports import words as readable

    made = oncefit.open_bundle(bundle, supernet=supernet).update(weights, data=data, out=out)
    if as_json:
        terminal.print_json(dict(made.summary))
    else:
        terminal.show_titled(
            f"bundle {made.folder}",
            readable.table(readable.of_export(made.summary)),
            f"{readable.of_update(made.summary['updated'])}\n{readable.INTERVALS}",
        )
