"""A device made of a column of a CSV file: a few of its rows are fitted to, the others tell the error."""

from __future__ import annotations

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
from cost_models.profiling import LatencyMeasurement
from cost_models.protocol import Target
from supernet.arrays import Floats
from supernet.catalog import Supernet
from supernet.errors import InputError
from supernet.messages import Say

LEAST_SAMPLES = 5
"""With fewer subnets there is nothing to leave out and predict."""
WITHIN_SHARE = 0.1
ALL = "all"
"""Every other column of the file, for ``--like``."""
OF_A_TABLE = 400
"""Subnets that a layer table is asked about, to take over what its layers cost."""


@dataclass(frozen=True)
class AskedColumn:
    """Which latencies to fit: ``like`` names other columns of the file, :data:`ALL` of them, or devices."""

    file: Path
    column: str
    samples: int = 30
    seed: int = 0
    batch: int = 1
    like: tuple[str, ...] = ()


@dataclass(frozen=True)
class Errors:
    """Predicted against measured latencies of subnets that were not fitted to."""

    subnets: int
    within_10_percent: float
    median_percent: float
    worst_percent: float
    spearman: float


@dataclass(frozen=True)
class Profiled:
    """The device; the errors on all rows that it was not fitted to, None where there are none."""

    device: Device
    unseen: Errors | None


def profile_csv(name: str, asked: AskedColumn, supernet: Supernet, say: Say) -> Profiled:
    """The device of a column, fitted to designed rows.

    Raises InputError for a wrong name, file or column, too few samples, and for devices that cannot be likened to.
    """
    check_name(name)
    rows = read_latency_csv(asked.file, supernet)
    times = rows.column(asked.column)
    whole = supernet.restricted({})
    codes = whole.space.encode(list(rows.archs))
    chosen = chosen_rows(asked, whole, rows, times)
    like = lenders(asked, rows, whole, say)
    archs = [rows.archs[row] for row in chosen]
    measured = [LatencyMeasurement(ms, ms, ms, 1) for ms in map(float, times[chosen])]
    settings: dict[str, str | int | float] = {
        "file": asked.file.name,
        "column": asked.column,
        "batch": asked.batch,
        "seed": asked.seed,
    }
    model = fit(whole, archs, measured, settings, like=like)
    model = model.model_copy(update={"rows": tuple(sorted(rows.lines[row] for row in chosen))})
    device = Device(name=name, latency=model)
    left = unseen_rows(codes, times, chosen)
    predicted = latency_ms(Target(whole, device)).batch(codes[left])
    return Profiled(device, errors_of(predicted, times[left]) if len(left) else None)


def chosen_rows(asked: AskedColumn, supernet: Supernet, rows: LatencyRows, times: Floats) -> list[int]:
    """Rows of distinct subnets that were measured. Raises InputError where there are fewer than asked for."""
    firsts = {arch: row for row, arch in reversed(list(enumerate(rows.archs))) if not np.isnan(times[row])}
    there = sorted(firsts.values())
    if not LEAST_SAMPLES <= asked.samples <= len(there):
        raise InputError(
            f"--samples {asked.samples}: column {asked.column} of {rows.file} has {len(there):,} measured subnets, "
            f"and a fit needs at least {LEAST_SAMPLES}"
        )
    codes = supernet.space.encode([rows.archs[row] for row in there])
    return [
        there[place]
        for place in choose_rows(supernet, codes, asked.samples, np.random.default_rng(asked.seed))
    ]


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


def lenders(asked: AskedColumn, rows: LatencyRows, supernet: Supernet, say: Say) -> dict[str, Floats]:
    """Prices of the devices that the asked one may be like, by name."""
    names = [
        name
        for given in asked.like
        for name in ([n for n in rows.names if n != asked.column] if given == ALL else [given])
    ]
    if asked.column in names:
        raise InputError(f"--like {asked.column} is the column that is fitted; name others")
    found = {}
    for name in dict.fromkeys(names):
        in_file = name in rows.names
        say(f"prices of {name}: {'all its rows' if in_file else 'a device of its own'}")
        found[name] = column_prices(rows, name, supernet) if in_file else device_prices(name, supernet, say)
    return found


def column_prices(rows: LatencyRows, name: str, supernet: Supernet) -> Floats:
    times = rows.column(name)
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
