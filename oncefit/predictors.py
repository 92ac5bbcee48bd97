"""Accuracy predictors: listed, opened, imported, trained, and held against measured subnets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oncefit.supernets import Supernet, as_supernet
from supernet.accuracy import PredictedAccuracy
from supernet.archs.arch import Arch
from supernet.bounds import MOST_SEED, check_at_most
from supernet.errors import InputError
from supernet.messages import Say, say

if TYPE_CHECKING:
    from search.predictors.measured import Measured
    from search.predictors.protocol import Predictor as Made
    from search.predictors.protocol import PredictorCard
    from search.predictors.scores import Scores

MEASURED_SPLIT = "the images that its rows were measured on"
EVERYTHING = "all together"

Sources = Sequence[str | Path]
"""CSV files of measured subnets, and run folders (docs/predictors.md)."""


@dataclass(frozen=True, repr=False)
class Predictor:
    """A predictor in a file; ``held_out_by`` are its held-out scores by fold and by file, of one that was trained now."""

    made: Made
    file: Path
    name: str
    held_out_by: Mapping[str, Scores] = field(default_factory=dict)

    @property
    def card(self) -> PredictorCard:
        """What it is for, what it was trained on, and how well it predicts."""
        return self.made.card

    @property
    def digest(self) -> str:
        """Sixteen hex digits that change with any of its numbers."""
        from search.predictors.files import digest

        return digest(self.made)

    def predict(
        self, archs: Sequence[Arch], *, supernet: str | Path | Supernet | None = None
    ) -> list[PredictedAccuracy]:
        """Predicted top-1 of archs as a fraction, with its standard deviation where that is known.

        Raises InputError for a supernet that it was not made for.
        """
        from search.predictors.files import check_made_for

        opened = self._supernet(supernet)
        check_made_for(self.card, opened.described, self.file)
        space = opened.described.family.space
        return list(self.made.predict(space, space.encode(archs)))

    def test(
        self,
        sources: Sources,
        *,
        supernet: str | Path | Supernet | None = None,
        exclude: Sources = (),
        say: Say = say,
    ) -> Mapping[str, Scores]:
        """Scores against measured subnets: of each file, and of all rows where there are several.

        Subnets in the files to ``exclude`` are left out. Raises InputError for what is not of its supernet.
        """
        from search.predictors.files import check_made_for
        from search.runs.measured_subnets import read_all

        opened = self._supernet(supernet).described
        check_made_for(self.card, opened, self.file)
        rows = read_all(paths(sources), opened, say)
        if exclude:
            rows = rows.without(read_all(paths(exclude), opened, say))
            if not len(rows):
                raise InputError("no row is left: every subnet of the files is in those to exclude")
        figures = by_group(self.made, rows)
        warn_outside(self.card, rows, say)
        return figures

    def _supernet(self, given: str | Path | Supernet | None) -> Supernet:
        from supernet import documents

        if given is None and self.card.supernet not in documents.names("supernets"):
            raise InputError(
                f"{self.name} is for {self.card.supernet}, which does not ship; give that supernet's YAML file with "
                "--supernet"
            )
        return as_supernet(given if given is not None else self.card.supernet)

    def __repr__(self) -> str:
        return f"Predictor({self.card.name!r} of {self.card.supernet}, {str(self.file)!r})"


def list_predictors(*, say: Say = say) -> Mapping[str, PredictorCard]:
    """The cards of those known by name: those that ship, and one's own. ``say`` is told of files that cannot be read."""
    from search.predictors import files

    cards = {}
    for name in files.predictor_names():
        try:
            cards[name] = files.read_predictor(files.find_predictor(name)).card
        except InputError as error:
            say(f"warning: the predictor {name} is left out: {error}")
    return cards


def open_predictor(name: str | Path) -> Predictor:
    """A predictor by its name or file. Raises InputError that lists the names there are."""
    from search.predictors import files

    path = files.find_predictor(str(name))
    return Predictor(files.read_predictor(path), path, str(name))


def import_predictor(
    name: str,
    file: str | Path,
    supernet: str | Path | Supernet,
    *,
    split: str | None = None,
    out: str | Path | None = None,
    replace: bool = False,
) -> Predictor:
    """Take over one of OFA's published predictors under a name, or into a file ``out``.

    ``split`` says on which images the top-1 is that it predicts. Raises InputError for a file of another format,
    and where there is one of that name, unless ``replace`` is given.
    """
    from search.predictors import mlp

    path, opened, source = target(name, out, replace), as_supernet(supernet).described, Path(file)
    state = read_state(source)
    made = mlp.import_published(
        name, state, opened.family.space, opened.fingerprint, split, f"imported from {source.name}",
        file_sha256(source),
    )  # fmt: skip
    return kept_predictor(made, path, name)


def train_predictor(
    name: str,
    sources: Sources,
    supernet: str | Path | Supernet,
    *,
    split: str | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    replace: bool = False,
    say: Say = say,
) -> Predictor:
    """Fit a predictor to measured subnets and keep it under a name, or in a file ``out``.

    ``split`` says on which images their top-1 was measured, for the card.
    Raises InputError for too few subnets, what is not of the supernet, and a name that is taken.
    """
    from search.predictors import training
    from search.runs.measured_subnets import read_all

    check_at_most(seed, MOST_SEED, "--seed")
    path, opened = target(name, out, replace), as_supernet(supernet).described
    rows = read_all(paths(sources), opened, say)
    say(f"fitting to {len(rows):,} rows of {len(rows.merged()):,} subnets")
    made, figures = training.train_predictor(
        opened, rows, name=name, split=split or MEASURED_SPLIT, seed=seed, say=say
    )
    return kept_predictor(made, path, name, figures)


def kept_predictor(
    made: Made, path: Path, name: str, held_out_by: Mapping[str, Scores] | None = None
) -> Predictor:
    from search.predictors import files

    files.write_predictor(made, path)
    return Predictor(made, path, name, held_out_by or {})


def paths(sources: Sources) -> list[Path]:
    return [Path(one) for one in ([sources] if isinstance(sources, (str, Path)) else sources)]


def by_group(predictor: Made, rows: Measured) -> dict[str, Scores]:
    """Scores of each file, and of all rows where there are several."""
    from search.predictors.scores import score

    groups = list(dict.fromkeys(rows.groups))
    parts = {name: rows.of(name) for name in groups}
    if len(parts) > 1:
        parts[EVERYTHING] = rows
    return {name: score(predictor.predict(rows.space, part.codes), part.top1) for name, part in parts.items()}


def warn_outside(card: PredictorCard, rows: Measured, say: Say) -> None:
    """Say how many rows lie outside the predictor's domain."""
    space = rows.space
    for name, seen in card.domain.items():
        columns = [i for i, d in enumerate(space.dimensions) if name in (d.name, d.kind)]
        outside = sum(
            any(space.dimensions[c].choices[row[c]] not in seen for c in columns) for row in rows.codes
        )
        if outside:
            say(
                f"warning: {outside} of {len(rows)} rows have another {name} than {card.name} was trained on "
                f"({', '.join(map(str, seen))}); it knows nothing of those"
            )


def read_state(path: Path) -> dict[str, Any]:
    """The arrays of a state dict. Raises InputError for a file that holds anything else."""
    from supernet.weights.conversion import read_tensors

    state = read_tensors(path, str(path))
    return {name: tensor.float().numpy() for name, tensor in state.items()}


def file_sha256(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def target(name: str, out: str | Path | None, replace: bool) -> Path:
    """The file that a new predictor goes to. Raises InputError where it cannot or may not be written."""
    from search.predictors import files
    from supernet.atomic import check_writable

    check_predictor_name(name)
    if out is None and (files.PRETRAINED_PREDICTORS / f"{name}{files.SUFFIX}").exists():
        raise InputError(
            f"{name} is a predictor that ships; give yours another name, or a file of its own with --out"
        )
    path = Path(out) if out is not None else files.predictor_folder() / f"{name}{files.SUFFIX}"
    if path.suffix != files.SUFFIX:
        raise InputError(f"a predictor's file ends in {files.SUFFIX}, got {path}")
    check_writable(path.parent)
    if path.exists() and not replace:
        raise InputError(f"{path} is there already; --replace writes over it")
    return path


def check_predictor_name(name: str) -> None:
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
