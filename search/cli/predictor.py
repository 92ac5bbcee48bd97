"""``oncefit predictor``: accuracy predictors, listed, shown, imported, trained and tested."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.options import Json
from supernet.bounds import MOST_SEED, check_at_most
from supernet.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from search.predictors.measured import Measured
    from search.predictors.protocol import HeldOut, Predictor, PredictorCard
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

MEASURED_SPLIT = "the images that its rows were measured on"
EVERYTHING = "all together"


@app.command("list")
def list_predictors(as_json: Json = False) -> None:
    """Show the predictors that are known by name.

    Files that cannot be read are named on standard error.
    """
    from search.cli import terminal
    from search.predictors import files

    cards = {}
    for name in files.predictor_names():
        try:
            cards[name] = files.read_predictor(files.find_predictor(name)).card
        except InputError as error:
            terminal.say(f"warning: the predictor {name} is left out: {error}")
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
    from search.cli import terminal
    from search.predictors import files
    from search.reports import words as readable

    path = files.find_predictor(name)
    predictor = files.read_predictor(path)
    if as_json:
        terminal.print_json(
            {"file": str(path), "digest": files.digest(predictor)} | predictor.card.model_dump(mode="json")
        )
    else:
        terminal.show_titled(f"predictor {predictor.card.name} in {path}", readable.table(rows_of(predictor)))


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
    from search.predictors import mlp
    from supernet.catalog import open_supernet

    path, opened = target(name, out, replace), open_supernet(supernet)
    state = read_state(file)
    made = mlp.import_published(
        name, state, opened.family.space, opened.fingerprint, split, f"imported from {file.name}",
        file_sha256(file),
    )  # fmt: skip
    keep(made, path, as_json)


@app.command()
def train(
    name: NewName,
    sources: Sources,
    supernet: SupernetName,
    split: Annotated[
        str, typer.Option(help="Images whose top-1 it predicts.", metavar="TEXT", show_default="theirs")
    ] = MEASURED_SPLIT,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.", metavar="N")] = 0,
    out: Out = None,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Fit a predictor to measured subnets.

    Shows held-out figures by random fold and by file; those of the folds go on its card.
    """
    from search.cli import terminal
    from search.predictors import training
    from search.runs.measured_subnets import read_all
    from supernet.catalog import open_supernet

    check_at_most(seed, MOST_SEED, "--seed")
    path, opened = target(name, out, replace), open_supernet(supernet)
    rows = read_all(sources, opened, terminal.say)
    terminal.say(f"fitting to {len(rows):,} rows of {len(rows.merged()):,} subnets")
    made, figures = training.train_predictor(
        opened, rows, name=name, split=split, seed=seed, say=terminal.say
    )
    if not as_json:
        terminal.show_titled("held out, predicted against measured", scores_table(figures), SCORES_NOTE)
    keep(made, path, as_json, {"held_out_by": scores_dict(figures)})


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
    from search.cli import terminal
    from search.predictors import files
    from search.runs.measured_subnets import read_all
    from supernet import documents
    from supernet.catalog import open_supernet

    card = files.read_predictor(files.find_predictor(name)).card
    if supernet is None and card.supernet not in documents.names("supernets"):
        raise InputError(
            f"{name} is for {card.supernet}, which does not ship; give that supernet's YAML file with --supernet"
        )
    opened = open_supernet(supernet or card.supernet)
    predictor = files.open_predictor(name, opened)
    rows = read_all(sources, opened, terminal.say)
    if exclude:
        rows = rows.without(read_all(exclude, opened, terminal.say))
        if not len(rows):
            raise InputError("no row is left: every subnet of the files is in those to exclude")
    figures = by_group(predictor, rows)
    warn_outside(card, rows)
    if as_json:
        terminal.print_json({"predictor": name, "scores": scores_dict(figures)})
    else:
        terminal.show_titled(
            f"{card.name}: predicted top-1 against measured", scores_table(figures), SCORES_NOTE
        )


SCORES_NOTE = (
    "RMSE and largest error in points of top-1. Covered: the share of measurements within the\n"
    "predictor's 90 % interval, where it has one."
)


def by_group(predictor: Predictor, rows: Measured) -> dict[str, Scores]:
    """Scores of each file, and of all rows where there are several."""
    from search.predictors.scores import score

    groups = list(dict.fromkeys(rows.groups))
    parts = {name: rows.of(name) for name in groups}
    if len(parts) > 1:
        parts[EVERYTHING] = rows
    return {name: score(predictor.predict(rows.space, part.codes), part.top1) for name, part in parts.items()}


def warn_outside(card: PredictorCard, rows: Measured) -> None:
    """Say how many rows lie outside the predictor's domain."""
    from search.cli import terminal

    space = rows.space
    for name, seen in card.domain.items():
        columns = [i for i, d in enumerate(space.dimensions) if name in (d.name, d.kind)]
        outside = sum(
            any(space.dimensions[c].choices[row[c]] not in seen for c in columns) for row in rows.codes
        )
        if outside:
            terminal.say(
                f"warning: {outside} of {len(rows)} rows have another {name} than {card.name} was trained on "
                f"({', '.join(map(str, seen))}); it knows nothing of those"
            )


def read_state(path: Path) -> dict[str, Any]:
    """The arrays of a state dict. Raises InputError for a file that holds anything else."""
    from supernet.conversion import read_tensors

    state = read_tensors(path, str(path))
    return {name: tensor.float().numpy() for name, tensor in state.items()}


def file_sha256(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def target(name: str, out: Path | None, replace: bool) -> Path:
    """The file that a new predictor goes to. Raises InputError where it cannot or may not be written."""
    from search.predictors import files
    from supernet.atomic import check_writable

    check_name(name)
    if out is None and (files.PRETRAINED_PREDICTORS / f"{name}{files.SUFFIX}").exists():
        raise InputError(
            f"{name} is a predictor that ships; give yours another name, or a file of its own with --out"
        )
    path = out or files.predictor_folder() / f"{name}{files.SUFFIX}"
    if path.suffix != files.SUFFIX:
        raise InputError(f"a predictor's file ends in {files.SUFFIX}, got {path}")
    check_writable(path.parent)
    if path.exists() and not replace:
        raise InputError(f"{path} is there already; --replace writes over it")
    return path


def check_name(name: str) -> None:
    """Raises InputError for a name that a device may not have either, or that is not plain ASCII."""
    from cost_models.devices import NAME
    from search.predictors import files
    from search.runs.config import NO_PREDICTOR

    if name == NO_PREDICTOR:
        raise InputError(f"{NO_PREDICTOR} stands for no predictor in a search; give yours another name")
    if not re.fullmatch(NAME, name, re.ASCII) or name.startswith("_") or name.endswith(files.SUFFIX):
        raise InputError(
            "a predictor's name is made of the letters a to z, digits, '_', '-' and inner dots, and begins with a "
            f"letter or digit, got {name!r}; --out takes a file"
        )


def keep(made: Predictor, path: Path, as_json: bool, more: Mapping[str, Any] | None = None) -> None:
    """Write a predictor's file and say where it is."""
    from search.cli import terminal
    from search.predictors import files
    from search.reports import words as readable

    files.write_predictor(made, path)
    if as_json:
        terminal.print_json({"file": str(path)} | made.card.model_dump(mode="json") | dict(more or {}))
    else:
        terminal.show_titled(f"predictor {made.card.name}", readable.table(rows_of(made)))
    terminal.say_files([path])


def rows_of(predictor: Predictor) -> list[list[tuple[str, str]]]:
    """A card in words."""
    card = predictor.card
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
