"""``oncefit predictor``: accuracy predictors, listed, shown, imported, trained and tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.options import Json

if TYPE_CHECKING:
    from rich.table import Table

    from oncefit.predictors import Predictor
    from search.predictors.protocol import HeldOut, PredictorCard
    from search.predictors.scores import Scores

app = typer.Typer(
    help="List, import, train and test accuracy predictors.", no_args_is_help=True, rich_markup_mode=None
)

Name = Annotated[str, typer.Argument(help="Predictor's name or file.", metavar="PREDICTOR")]
NewName = Annotated[str, typer.Argument(help="What it will be called.", metavar="NAME")]
SupernetName = Annotated[
    str, typer.Option("--supernet", help="Supernet that it is for: name or YAML file.", metavar="NAME")
]
Sources = Annotated[
    list[Path],
    typer.Argument(help="CSV files, or run folders.", metavar="FILE"),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="File to write.", metavar="FILE", show_default="NAME in the cache folder"),
]

Replace = Annotated[bool, typer.Option("--replace", help="Write over the file that is there.")]


@app.command("list")
def list_predictors(as_json: Json = False) -> None:
    """Show the predictors that are known by name.

    Files that cannot be read are named on standard error.
    """
    import oncefit
    from search.cli import terminal
    from search.predictors import files

    cards = oncefit.list_predictors()
    if as_json:
        terminal.print_json({name: card.model_dump(mode="json") for name, card in cards.items()})
        return
    rows = [[name, card.supernet, domain(card), error_of(card.held_out)] for name, card in cards.items()]
    terminal.show_titled(
        f"predictors; one's own are in {files.predictor_folder()}",
        figures_table(("predictor", "supernet", "trained on", "RMSE (points)"), rows),
    )


@app.command()
def info(name: Name, as_json: Json = False) -> None:
    """Show what a predictor is for, and how well it predicts."""
    import oncefit
    from search.cli import terminal
    from search.reports import words as readable

    found = oncefit.open_predictor(name)
    if as_json:
        terminal.print_json(
            {"file": str(found.file), "digest": found.digest} | found.card.model_dump(mode="json")
        )
    else:
        terminal.show_titled(
            f"predictor {found.card.name} in {found.file}", readable.table(rows_of(found.card))
        )


@app.command("import")
def import_predictor(
    name: NewName,
    file: Annotated[Path, typer.Argument(help="Checkpoint, or safetensors file.", metavar="FILE")],
    supernet: SupernetName,
    split: Annotated[
        str | None,
        typer.Option(help="Images whose top-1 it predicts.", metavar="TEXT", show_default="OFA's"),
    ] = None,
    out: Out = None,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Take over one of OFA's predictors.

    It knows the two formats that OFA published, for MobileNetV3 and for ResNet50, and the two files.
    """
    import oncefit

    tell(oncefit.import_predictor(name, file, supernet, split=split, out=out, replace=replace), as_json)


@app.command()
def train(
    name: NewName,
    sources: Sources,
    supernet: SupernetName,
    split: Annotated[
        str | None,
        typer.Option(help="Images whose top-1 it predicts.", metavar="TEXT", show_default="theirs"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.", metavar="N")] = 0,
    out: Out = None,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Fit a predictor to measured subnets.

    Shows held-out figures by random fold and by file; those of the folds go on its card.
    """
    import oncefit
    from search.cli import terminal

    made = oncefit.train_predictor(name, sources, supernet, split=split, seed=seed, out=out, replace=replace)
    if not as_json:
        terminal.show_titled(
            "held out, predicted against measured", scores_table(made.held_out_by), SCORES_NOTE
        )
    tell(made, as_json, {"held_out_by": scores_dict(made.held_out_by)})


@app.command("test")
def hold_against(
    name: Name,
    sources: Sources,
    supernet: Annotated[
        str | None,
        typer.Option(help="Supernet: name or YAML file.", metavar="NAME", show_default="the predictor's"),
    ] = None,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(help="File whose subnets are left out; may be repeated.", metavar="FILE"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Hold a predictor against measured subnets.

    Files are CSV files of measured subnets, as DyNAS-T and oncefit write them, or run folders.
    """
    import oncefit
    from search.cli import terminal

    predictor = oncefit.open_predictor(name)
    figures = predictor.test(sources, supernet=supernet, exclude=exclude or ())
    if as_json:
        terminal.print_json({"predictor": name, "scores": scores_dict(figures)})
    else:
        terminal.show_titled(
            f"{predictor.card.name}: predicted top-1 against measured", scores_table(figures), SCORES_NOTE
        )


SCORES_NOTE = (
    "RMSE and largest error in points of top-1. Covered: the share of measurements within the\n"
    "predictor's 90 % interval, where it has one."
)


def tell(made: Predictor, as_json: bool, more: Mapping[str, Any] | None = None) -> None:
    """What was made, and where it is."""
    from search.cli import terminal
    from search.reports import words as readable

    if as_json:
        terminal.print_json({"file": str(made.file)} | made.card.model_dump(mode="json") | dict(more or {}))
    else:
        terminal.show_titled(f"predictor {made.card.name}", readable.table(rows_of(made.card)))
    terminal.say_files([made.file])


def rows_of(card: PredictorCard) -> list[list[tuple[str, str]]]:
    """A card in words."""
    found = [
        ("predicts", f"top-1 on {card.split}"),
        ("of", f"{card.supernet} (network {card.fingerprint})"),
        ("trained on", domain(card)),
        ("source", card.source),
        ("kind", card.kind),
    ]
    held = card.held_out
    if held is None:
        return [found, [("held-out error", "not published")]]
    return [found, [
        ("held out", f"{held.rows:,} subnets, {held.folds}-fold"),
        ("RMSE (points)", f"{held.rmse_points:.3f}"),
        ("largest error (points)", f"{held.largest_error_points:.3f}"),
        ("Kendall tau", "not defined" if held.kendall_tau is None else f"{held.kendall_tau:.3f}"),
        ("Spearman", "not defined" if held.spearman is None else f"{held.spearman:.3f}"),
    ]]  # fmt: skip


def domain(card: PredictorCard) -> str:
    from search.predictors.files import listed_choices

    return (
        "; ".join(f"{name} {listed_choices(seen)}" for name, seen in card.domain.items()) or "the whole space"
    )


def error_of(held: HeldOut | None) -> str:
    return f"{held.rmse_points:.3f}" if held is not None else "not published"


def scores_dict(figures: Mapping[str, Scores]) -> dict[str, dict[str, float]]:
    """Scores for JSON, without those that are not known."""
    return {
        name: {key: value for key, value in asdict(found).items() if value is not None and value == value}
        for name, found in figures.items()
    }


def scores_table(figures: Mapping[str, Scores]) -> Table:
    rows = [
        [
            name, f"{s.rows:,}", f"{s.rmse_points:.3f}", f"{s.largest_error_points:.2f}",
            f"{s.kendall_tau:.3f}", f"{s.spearman:.3f}",
            f"{100 * s.coverage:.0f} %" if s.coverage is not None else "-",
        ]
        for name, s in figures.items()
    ]  # fmt: skip
    return figures_table(("", "rows", "RMSE", "largest", "Kendall", "Spearman", "covered"), rows)


def figures_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Words left, figures right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE)
    for i, heading in enumerate(headings):
        figures = all(row[i][:1].isdigit() or row[i] in ("-", "nan") for row in rows) and i > 0
        made.add_column(heading, justify="right" if figures else "left", overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    return made
