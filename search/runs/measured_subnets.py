"""Measured subnets to train or test a predictor with: from CSV files, and from runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from search.predictors.measured import Measured, from_csv, joined, labels, of_rows
from search.runs.opening import open_run
from search.runs.study import candidates
from supernet.archs.arch import FLOAT32
from supernet.errors import InputError
from supernet.families.catalog import Supernet


def read_all(
    places: Sequence[Path], supernet: Supernet, say: Callable[[str], None] = lambda _: None
) -> Measured:
    """All rows of CSV files and run folders, a group each; ``say`` gets the unit of each file's top-1.

    Raises InputError for what is not of ``supernet``.
    """
    found = [
        from_run(place, supernet, group) if place.is_dir() else from_csv(place, supernet, group, say)
        for place, group in zip(places, labels(places), strict=True)
    ]
    return joined(found, supernet.family.space)


def from_run(folder: Path, supernet: Supernet, group: str | None = None) -> Measured:
    """The candidates of a run that were measured on the validation split, in float32.

    Raises InputError for a run of another network, and for one that measured nothing.
    """
    run = open_run(folder)
    if run.supernet.fingerprint != supernet.fingerprint:
        raise InputError(
            f"{folder} is a run of {run.supernet.name} with the network {run.supernet.fingerprint}, not of "
            f"{supernet.name} ({supernet.fingerprint}); give runs and files of one supernet"
        )
    space = supernet.family.space.trained
    rows = [
        (space.arch(candidate.arch.network.values), candidate.validation.top1)
        for candidate in candidates(run.study(), run.problem)
        if candidate.validation is not None and candidate.arch.precision == FLOAT32
    ]
    if not rows:
        raise InputError(f"{folder} has no measured candidate: its accuracies are predicted, or none is done")
    return of_rows(rows, space, group or folder.name)
