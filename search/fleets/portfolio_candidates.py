"""The candidates of a portfolio, with their accuracies: of a run, of a search for several devices, or of a CSV file."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cost_models.device import Device
from cost_models.latency_csv import LatencyRows, read_latency_csv, table_of
from search.fleets.fleet import is_fleet, open_fleet, remember
from search.fleets.portfolio_file import PortfolioFile
from search.predictors.files import open_predictor
from search.predictors.top1_columns import COLUMNS, entry_of, fractions
from search.runs.opening import open_run
from search.runs.results import settled
from search.runs.run import Run
from search.runs.study import Candidate
from supernet.accuracy import NINETY_PERCENT, Accuracy, PredictedAccuracy
from supernet.archs.arch import Arch
from supernet.arrays import Floats
from supernet.errors import InputError, some
from supernet.families.catalog import Supernet, open_supernet
from supernet.messages import Say

NAMING = ("arch_id", "candidate", "name", "subnet", "id")
"""Columns that call a candidate something, where no supernet says what they are; the first that is there counts."""
IN_FILE = "of the file"
"""How accuracies in a CSV file are known."""


@dataclass(frozen=True)
class CandidatePool:
    """Candidates with an entry each of ``names``, ``top1``, ``low`` and ``high``, which are NaN where not known.

    ``archs`` are empty where no supernet is known. ``kind`` says what accuracies are; ``columns`` are those of a CSV
    file; ``devices`` and ``budgets`` those of a search for several, by name.
    """

    source: str
    names: tuple[str, ...]
    top1: Floats
    low: Floats
    high: Floats
    kind: str
    accuracy: str = "top1"
    supernet: Supernet | None = None
    archs: tuple[Arch, ...] = ()
    columns: Mapping[str, Floats] = field(default_factory=dict)
    runs: Mapping[str, Run] = field(default_factory=dict)
    """By the name of the device: several of a search for several, one of a run."""

    @property
    def devices(self) -> dict[str, Device]:
        """Those that were searched for, by name."""
        return {name: run.device for name, run in self.runs.items() if run.device is not None}


def read_pool(asked: PortfolioFile, say: Say) -> CandidatePool:
    """The candidates that are asked for. Raises InputError for a folder or a file that has none."""
    if asked.candidates is not None:
        return of_csv(Path(asked.candidates), asked, say)
    assert asked.run is not None
    folder = Path(asked.run)
    if is_fleet(folder):
        fleet = open_fleet(folder)
        remember(fleet)
        return of_runs(folder, fleet.runs)
    run = open_run(folder)
    return of_runs(folder, {run.where or folder.name: run})


# -- runs --------------------------------------------------------------------------


def of_runs(folder: Path, runs: Mapping[str, Run]) -> CandidatePool:
    """Every candidate of any of the runs, once; accuracies are those that decide there."""
    first = next(iter(runs.values()))
    found: dict[str, Candidate] = {}
    for run in runs.values():
        for candidate in settled(run, run.study()):
            found.setdefault(candidate.arch.id, candidate)
    if not found:
        raise InputError(f"{folder} has no candidate yet; the same oncefit search goes on with it")
    accuracy = first.axes[0].name
    bounds = np.array([interval(candidate, accuracy) for candidate in found.values()])
    return CandidatePool(
        str(folder),
        tuple(found),
        np.array([candidate.value(accuracy) for candidate in found.values()]),
        bounds[:, 0],
        bounds[:, 1],
        first.kind,
        accuracy,
        first.supernet,
        tuple(candidate.arch for candidate in found.values()),
        runs=runs,
    )


def interval(candidate: Candidate, accuracy: str) -> tuple[float, float]:
    """95 % of a measured accuracy; of a predicted one nine in ten; NaN where neither is known."""
    judged = candidate.judgement
    if isinstance(judged, Accuracy):
        return getattr(judged, f"{accuracy}_low"), getattr(judged, f"{accuracy}_high")
    return (
        nine_in_ten(judged.top1, judged.std)
        if isinstance(judged, PredictedAccuracy)
        else (math.nan, math.nan)
    )


def nine_in_ten(top1: float, std: float | None) -> tuple[float, float]:
    if std is None:
        return math.nan, math.nan
    return top1 - NINETY_PERCENT * std, top1 + NINETY_PERCENT * std


# -- CSV files ---------------------------------------------------------------------


def of_csv(path: Path, asked: PortfolioFile, say: Say) -> CandidatePool:
    """The rows of a CSV file; several of one candidate count once, by the median of each column.

    Without a supernet every row is a candidate that is called as its file calls it.
    """
    if asked.supernet is None and asked.predictor is not None:
        raise InputError(f"predictor: {asked.predictor} takes archs; say of which supernet: supernet: NAME")
    supernet = open_supernet(asked.supernet) if asked.supernet is not None else None
    rows = read_latency_csv(path, supernet) if supernet is not None else rows_by_name(path)
    keys: Sequence[Hashable] = rows.archs or names_of(rows)
    known = np.arange(len(keys))
    if asked.predictor is not None:
        assert supernet is not None
        top1, std, known = top1_predicted(rows, supernet, asked.predictor, say)
        kind = "predicted"
    else:
        top1, std, kind = top1_in_file(rows, say), np.full(len(keys), np.nan), IN_FILE
    low, high = given_bounds(rows, "low"), given_bounds(rows, "high")
    if asked.predictor is not None:
        low, high = top1 - NINETY_PERCENT * std, top1 + NINETY_PERCENT * std
    groups: dict[Hashable, list[int]] = {}
    for row in known.tolist():
        groups.setdefault(keys[row], []).append(row)
    columns = {name: merged(rows.column(name), groups) for name in rows.names}
    archs = tuple(key for key in groups if isinstance(key, Arch))
    names = tuple(key.id if isinstance(key, Arch) else str(key) for key in groups)
    top1, low, high = (merged(values, groups) for values in (top1, low, high))
    return CandidatePool(
        path.name, names, top1, low, high, kind, supernet=supernet, archs=archs, columns=columns
    )


def rows_by_name(path: Path) -> LatencyRows:
    """The rows of a CSV file whose subnets nobody needs to know."""
    columns, lines, rows = table_of(path)
    return LatencyRows(
        str(path), (), tuple(lines), {name: tuple(row[name] for row in rows) for name in columns}
    )


def names_of(rows: LatencyRows) -> list[str]:
    column = next((name for name in NAMING if name in rows.texts), None)
    return list(rows.texts[column]) if column is not None else [f"line {line}" for line in rows.lines]


def merged(values: Floats, groups: Mapping[Hashable, list[int]]) -> Floats:
    """The median of each group's values that are known."""
    found = [values[rows][~np.isnan(values[rows])] for rows in groups.values()]
    return np.array([float(np.median(known)) if len(known) else math.nan for known in found])


def top1_in_file(rows: LatencyRows, say: Say) -> Floats:
    """Top-1 in the file, as fractions. Raises InputError where it has none."""
    named = [name for name in COLUMNS if name in rows.texts]
    if not named:
        raise InputError(
            f"{rows.file} has no top-1: it needs a column {some(COLUMNS)}, or predictor: NAME and supernet: NAME predict it; "
            f"its columns are {some(rows.texts)}"
        )
    lines = [{name: rows.texts[name][i] for name in named} for i in range(len(rows.lines))]
    entries = [entry_of(row, line) for row, line in zip(lines, rows.lines, strict=True)]
    return fractions(entries, rows.file, say)


def given_bounds(rows: LatencyRows, end: str) -> Floats:
    """The column ``top1_low`` or ``top1_high``, as fractions; NaN where there is none."""
    texts = rows.texts.get(f"top1_{end}")
    if texts is None:
        return np.full(len(rows.lines), np.nan)
    values = rows.column(f"top1_{end}")
    return values / 100 if np.nanmax(values) > 1 else values


def top1_predicted(
    rows: LatencyRows, supernet: Supernet, name: str, say: Say
) -> tuple[Floats, Floats, np.ndarray]:
    """Top-1 and its deviation by row, NaN where it is not known, and the rows that the predictor knows something of."""
    predictor = open_predictor(name, supernet)
    domain = predictor.card.domain
    dimensions = {d.name: d.kind for d in supernet.family.space.dimensions}

    def is_inside(arch: Arch) -> bool:
        seen = ((domain.get(key) or domain.get(dimensions[key]), value) for key, value in arch.choices)
        return all(allowed is None or value in allowed for allowed, value in seen)

    known = np.flatnonzero([is_inside(arch) for arch in rows.archs])
    if len(known) < len(rows.archs):
        say(
            f"{len(rows.archs) - len(known):,} of {len(rows.archs):,} rows are left out: {predictor.card.name} was trained "
            f"only on {', '.join(f'{key} {some(values)}' for key, values in domain.items())}"
        )
    if not len(known):
        raise InputError(f"{rows.file}: {predictor.card.name} knows none of its subnets")
    whole = supernet.restricted({}).space
    found = predictor.predict(whole, whole.encode([rows.archs[row] for row in known]))
    top1, std = np.full(len(rows.archs), np.nan), np.full(len(rows.archs), np.nan)
    top1[known] = found.top1
    if found.std is not None:
        std[known] = found.std
    return top1, std, known
