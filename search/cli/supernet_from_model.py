"""``oncefit supernet from-model``: a supernet of a model that is trained already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.options import Json
from supernet.bounds import MOST_SEED

if TYPE_CHECKING:
    from oncefit import Supernet


def from_model(
    model: Annotated[str, typer.Argument(help="torchvision:NAME, as torchvision:resnet50.", metavar="MODEL")],
    out: Annotated[Path, typer.Option(help="Folder to write to.", metavar="DIR")],
    weights: Annotated[
        str | None,
        typer.Option(help="File, or IMAGENET1K_V1.", metavar="WEIGHTS", show_default="torchvision's"),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="a,b,c or class folders.", metavar="NAMES", show_default="ImageNet's"),
    ] = None,
    resolutions: Annotated[
        str | None,
        typer.Option(help="Image sides, as 160,192,224.", metavar="LIST", show_default="four"),
    ] = None,
    expands: Annotated[
        str, typer.Option(help="Shares of channels within blocks.", metavar="LIST")
    ] = "0.5,0.75,1",
    key: Annotated[
        str | None,
        typer.Option(help="Weights to take of several.", metavar="KEY", show_default="the average"),
    ] = None,
    untrained: Annotated[bool, typer.Option("--untrained", help="Random weights, to try it.")] = False,
    seed: Annotated[int, typer.Option(help="Of random weights.", min=0, max=MOST_SEED, metavar="N")] = 0,
    replace: Annotated[
        bool, typer.Option("--replace", help="Write over the supernet that is there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a supernet of a model that is trained already.

    Its largest subnet is the model. Others skip blocks, have fewer channels within blocks, and see smaller images; train
    it on with oncefit train --from before a search expects much of them.
    """
    import oncefit
    from search.cli import terminal
    from search.reports import words as readable

    made = oncefit.supernet_from_model(
        model, out, weights=weights, classes=classes,
        resolutions=numbers_in(resolutions, int, "--resolutions") if resolutions is not None else None,
        expands=numbers_in(expands, float, "--expands"),
        key=key, untrained=untrained, seed=seed, replace=replace,
    )  # fmt: skip
    if as_json:
        terminal.print_json(as_dict(made))
    else:
        terminal.show_titled(f"supernet {made.source}", readable.table(lines_of(made)))


def numbers_in(text: str, kind: type[int] | type[float], option: str) -> list[Any]:
    """``128,160`` as numbers. Raises InputError for what is none."""
    from supernet.errors import InputError

    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option}: got {text!r}; numbers with commas between them are possible") from None


def as_dict(made: Supernet) -> dict[str, Any]:
    ends = {"largest": made.largest(), "smallest": made.smallest()}
    costs = {name: {"arch": arch.id, **made.costs(arch)} for name, arch in ends.items()}
    return {
        "file": made.source,
        "name": made.name,
        "subnets": made.space.size,
        "classes": len(made.classes),
        **costs,
    }


def lines_of(made: Supernet) -> list[list[tuple[str, str]]]:
    """What it offers, and what its ends cost."""
    by_name = made.space.by_name
    depths = "-".join(str(d.choices[-1]) for d in made.space.dimensions if d.kind == "depth")
    shares = sorted({choice for d in made.space.dimensions if d.kind == "expand" for choice in d.choices})
    offered = [
        ("subnets", f"{made.space.size:.3g}"),
        ("image sizes", f"{', '.join(map(str, by_name['resolution'].choices))}, or any other"),
        ("blocks of each stage", f"1 to {depths}"),
        ("shares of inner channels", ", ".join(f"{share:g}" for share in shares)),
        ("classes", f"{len(made.classes):,}"),
    ]
    ends = []
    for name, arch in (("largest", made.largest()), ("smallest", made.smallest())):
        costs = made.costs(arch)
        ends.append(
            (name, f"{costs['macs'] / 1e6:,.1f} M multiply-adds, {costs['params'] / 1e6:,.2f} M parameters")
        )
    return [offered, ends]
