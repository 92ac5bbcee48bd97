"""A device made of measured subnets in a column of a CSV file: some rows are fitted to, the others tell the error.

How the file is read is in :mod:`cost_models.latency_csv`, how a model is fitted in :mod:`cost_models.latency_fit`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cost_models.device import Device, LatencyModel, LatencyTable
from cost_models.devices import check_name, open_device
from cost_models.fit_design import choose_rows
from cost_models.latency import latency_ms
from cost_models.latency_csv import LatencyRows, read_latency_csv
from cost_models.latency_fit import fit, prices_of, prices_of_many
from cost_models.protocol import Target
from cost_models.published_tables import UNITS_MS
from cost_models.timing import of_rounds
from supernet.archs.arch import Arch
from supernet.arrays import Floats
from supernet.errors import InputError, some, unknown
from supernet.families.catalog import Supernet
from supernet.messages import Say

LEAST_SAMPLES = 5
"""With fewer subnets there is nothing to leave out and predict."""
WITHIN_SHARE = 0.1
ALL = "all"
"""Every other column of the file, for ``--like``; every subnet, for ``--samples``."""
OF_A_TABLE = 400
"""Subnets that a layer table is asked about, to take over what its layers cost."""


@dataclass(frozen=True)
class AskedColumn:
    """Which latencies to fit: ``like`` names other columns of the file, :data:`ALL` of them, or devices.

    ``column`` may be None where there is only one. ``samples`` of its subnets are fitted to, None for all.
    """

    file: Path
    column: str | None
    samples: int | None = 30
    seed: int = 0
    batch: int = 1
    like: tuple[str, ...] = ()
    unit: str = "ms"


@dataclass(frozen=True)
class Errors:
    """Predicted against measured latencies of subnets that were not fitted to."""

    subnets: int
    within_10_percent: float
    median_percent: float
    worst_percent: float
    spearman: float


@dataclass(frozen=True)
class CsvDevice:
    """The device; the errors on all rows that it was not fitted to, None where there are none."""

    device: Device
    unseen: Errors | None


def device_of_csv(name: str, asked: AskedColumn, supernet: Supernet, say: Say) -> CsvDevice:
    """The device of a column. A subnet that stands in several rows counts once, by their median.

    Raises InputError for a wrong name, file, column or unit, too few samples, and for devices that cannot be likened to.
    """
    check_name(name)
    if asked.unit not in UNITS_MS:
        raise unknown("unit of latencies", asked.unit, UNITS_MS)
    rows = read_latency_csv(asked.file, supernet)
    column = asked.column if asked.column is not None else only_column(rows)
    times = rows.column(column) * UNITS_MS[asked.unit]
    whole = supernet.restricted({})
    codes = whole.space.encode(list(rows.archs))
    rows_of = rows_by_arch(rows, times)
    archs = chosen_archs(asked, column, whole, rows, rows_of)
    like = lenders(asked, column, rows, whole, say)
    measured = [of_rounds([float(times[row]) for row in rows_of[arch]]) for arch in archs]
    settings: dict[str, str | int | float] = {
        "file": asked.file.name, "column": column, "batch": asked.batch, "seed": asked.seed,
    }  # fmt: skip
    model = fit(whole, archs, measured, settings, like=like)
    chosen = [row for arch in archs for row in rows_of[arch]]
    lines = tuple(sorted(rows.lines[row] for row in chosen))
    device = Device(name=name, latency=model.model_copy(update={"rows": lines}))
    left = unseen_rows(codes, times, chosen)
    predicted = latency_ms(Target(whole, device)).batch(codes[left])
    return CsvDevice(device, errors_of(predicted, times[left]) if len(left) else None)


def only_column(rows: LatencyRows) -> str:
    """Raises InputError where a file has several columns of latencies, or none."""
    if len(rows.names) != 1:
        raise InputError(
            f"{rows.file} has latencies in {some(rows.names) or 'no column'}: --column NAME says which is meant"
        )
    return rows.names[0]


def rows_by_arch(rows: LatencyRows, times: Floats) -> dict[Arch, list[int]]:
    """The rows in which each subnet was measured, in the order of the file."""
    found: dict[Arch, list[int]] = {}
    for row, arch in enumerate(rows.archs):
        if not math.isnan(times[row]):
            found.setdefault(arch, []).append(row)
    return found


def chosen_archs(
    asked: AskedColumn, column: str, supernet: Supernet, rows: LatencyRows, rows_of: dict[Arch, list[int]]
) -> list[Arch]:
    """The subnets to fit to. Raises InputError where there are fewer than asked for, or too few."""
    there = list(rows_of)
    samples = asked.samples if asked.samples is not None else len(there)
    if not LEAST_SAMPLES <= samples <= len(there):
        raise InputError(
            f"--samples {ALL if asked.samples is None else asked.samples}: column {column} of {rows.file} has {len(there):,} measured subnets, "
            f"and a fit needs at least {LEAST_SAMPLES}"
        )
    if asked.samples is None:
        return there
    codes, rng = supernet.space.encode(there), np.random.default_rng(asked.seed)
    return [there[place] for place in choose_rows(supernet, codes, samples, rng)]


def unseen_rows(codes: npt.NDArray[np.int16], times: Floats, chosen: Sequence[int]) -> npt.NDArray[np.intp]:
    """Measured rows whose subnets are not those of ``chosen``."""
    known = {codes[row].tobytes() for row in chosen}
    new = [row for row in np.flatnonzero(~np.isnan(times)) if codes[row].tobytes() not in known]
    return np.array(new, dtype=np.intp)


def errors_of(predicted_ms: Floats, measured_ms: Floats) -> Errors:
    """How far predictions are from measurements, relative to these; and whether their order is the same."""
    from scipy.stats import spearmanr

    off = np.abs(predicted_ms / measured_ms - 1)
    return Errors(
        len(off),
        float(np.mean(off <= WITHIN_SHARE)),
        100 * float(np.median(off)),
        100 * float(off.max()),
        float(spearmanr(predicted_ms, measured_ms)[0]) if len(off) > 1 else float("nan"),
    )


# -- other devices -----------------------------------------------------------------------


def lenders(
    asked: AskedColumn, column: str, rows: LatencyRows, supernet: Supernet, say: Say
) -> dict[str, Floats]:
    """Prices of the devices that the asked one may be like, by name."""
    names = [
        name
        for given in asked.like
        for name in ([n for n in rows.names if n != column] if given == ALL else [given])
    ]
    if column in names:
        raise InputError(f"--like {column} is the column that is fitted; name others")
    found = {}
    for name in dict.fromkeys(names):
        in_file = name in rows.names
        say(f"prices of {name}: {'all its rows' if in_file else 'a device of its own'}")
        if in_file:
            times = rows.column(name) * UNITS_MS[asked.unit]
            found[name] = column_prices(rows, times, supernet)
        else:
            found[name] = device_prices(name, supernet, say)
    return found


def column_prices(rows: LatencyRows, times: Floats, supernet: Supernet) -> Floats:
    there = np.flatnonzero(~np.isnan(times))
    return prices_of_many(supernet, [rows.archs[row] for row in there], times[there])


def device_prices(name: str, supernet: Supernet, say: Say) -> Floats:
    """Those of its fitted model, or what fits the sums of its layer table."""
    device = open_device(name, supernet, say)
    if isinstance(device.latency, LatencyModel):
        return prices_of(device.latency, supernet)
    if not isinstance(device.latency, LatencyTable):
        raise InputError(f"--like {name}: the device has no latency")
    part = supernet.restricted({"resolution": device.latency.resolutions})
    codes = part.space.sample(OF_A_TABLE, np.random.default_rng(0))
    times = latency_ms(Target(part, device)).batch(codes)
    return prices_of_many(supernet, part.space.decode(codes), times)
