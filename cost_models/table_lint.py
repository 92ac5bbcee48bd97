"""What is wrong with latency tables as people have them: refused where it cannot be meant, else warned about.

All is told from the entries and their keys: a block's key holds its shapes, so that its multiply-adds are known.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cost_models.device import LatencyTable
from cost_models.published_tables import UNITS_MS, PublishedEntries, PublishedEntry
from supernet.arrays import Floats
from supernet.errors import InputError, short
from supernet.messages import Say

SLOWEST, FASTEST = 3e4, 3e9
"""Multiply-adds a millisecond of any device that runs such networks, a microcontroller to a server's GPU."""
FLAT, SLOWEST_LAUNCH_MS, WORK_RANGE = 0.5, 10, 5
"""Where the time of blocks grows with a lower exponent of their work, launching them is what takes time: at batch 1 the
published GPUs have 0.0, and take under a millisecond a block. Tables of phones have 1.0. Work so many times apart tells it."""
OF_FILES, OF_ENTRIES = 30, 100
"""How many times as fast as the others a file or an entry may be (published ones: 1.5 times); a unit is off by 1,000."""
STEADIEST, SHAKIEST = 2e-4, 0.5
"""Standard deviation over mean, median of a file, of measurements as they are made."""
OF_DEVIATIONS, OF_VARIANCES = 1.2, 1.5
"""What grows with a lower exponent than the first may be deviations, with a higher one than the second variances."""
SHAKY = 0.1
"""A median of variances that makes more than this share of the mean is a reason to look at the exponent."""
ENOUGH, RANGE = 20, 10
"""So many entries, of means so many times as large as the least, tell an exponent."""
SAME_ROWS, DIGITS = 3, 5
"""So many equal rows, of means with so many digits, are no coincidence."""
KEYS_SHOWN = 3
BLOCK = re.compile(r"-input:(\d+)x\d+x(\d+)-output:(\d+)x\d+x(\d+)-expand:(\d+(?:\.\d+)?)-kernel:(\d+)-")

Severity = Literal["refused", "warning"]
Files = Mapping[str, PublishedEntries]
"""The entries of each file, by its path."""


@dataclass(frozen=True)
class Finding:
    """What is wrong in which file, at which keys."""

    severity: Severity
    file: str
    keys: tuple[str, ...]
    words: str

    def __str__(self) -> str:
        first = ", ".join(short(key) for key in self.keys[:KEYS_SHOWN])
        more = f" and {len(self.keys) - KEYS_SHOWN:,} more" if len(self.keys) > KEYS_SHOWN else ""
        return f"{self.file}: {first}{more}{': ' if self.keys else ''}{self.words}"


def lint(files: Files, unit: str, others: Mapping[str, LatencyTable], say: Say) -> None:
    """Say the warnings. Raises InputError with all that is refused."""
    found = findings(files, unit, others)
    for finding in found:
        if finding.severity == "warning":
            say(f"warning: {finding}")
    if refused := [str(finding) for finding in found if finding.severity == "refused"]:
        more = f"; and {len(refused) - KEYS_SHOWN} more" if len(refused) > KEYS_SHOWN else ""
        raise InputError("; ".join(refused[:KEYS_SHOWN]) + more)


def findings(files: Files, unit: str, others: Mapping[str, LatencyTable]) -> list[Finding]:
    """All that is found, by kind and file."""
    found = [*of_units(files, unit)]
    for file, entries in files.items():
        found += [*of_keys(file, entries), *of_counts(file, entries), *of_spreads(file, entries)]
        found += of_copies(file, entries, unit, others)
    return found


# -- units ------------------------------------------------------------------------


def of_units(files: Files, unit: str) -> Iterator[Finding]:
    """Files whose blocks are beyond all devices, or unlike the other files; entries that are unlike their file."""
    rates = {file: rates_of(entries, unit) for file, entries in files.items()}
    medians = {file: statistics.median(found.values()) for file, found in rates.items() if found}
    for file, median in medians.items():
        rest = [other for name, other in medians.items() if name != file]
        beside = statistics.median(rest) if rest else median
        if not SLOWEST <= median <= FASTEST:
            yield Finding("refused", file, (), beyond(median, unit))
        elif slow := slow_launches(rates[file], files[file], unit):
            yield Finding("warning", file, (), slow)
        elif not 1 / OF_FILES <= median / beside <= OF_FILES:
            yield Finding(
                "refused", file, (),
                f"its blocks take {times(beside / median)} as long for a multiply-add as those of the other resolutions: "
                "its unit is another one",
            )  # fmt: skip
        odd = [key for key, rate in rates[file].items() if not 1 / OF_ENTRIES <= rate / median <= OF_ENTRIES]
        for key in odd:
            yield Finding(
                "refused", file, (key,),
                f"mean: got {files[file][key].mean:g} {unit}, which is {times(median / rates[file][key])} as long for a "
                "multiply-add as the median of its file: its unit is another one, or it was measured wrongly",
            )  # fmt: skip


def beyond(rate: float, unit: str) -> str:
    """What is said of a file in a unit that no device has, and which unit fits."""
    fits = [name for name, scale in UNITS_MS.items() if SLOWEST <= rate * UNITS_MS[unit] / scale <= FASTEST]
    likely = f"; in {' or '.join(fits)} it would be usual: --unit {fits[0]}" if fits else ""
    return (
        f"read in {unit}, its blocks do {rate:.1e} multiply-adds in a millisecond, and devices do {SLOWEST:.0e} to "
        f"{FASTEST:.0e}{likely}"
    )


def slow_launches(rates: Mapping[str, float], entries: PublishedEntries, unit: str) -> str | None:
    """What is said where blocks take as long whatever their work is, and longer than to launch them takes anywhere.

    Such a device is fast, so that in a unit that is off by 1,000 its rates are still those of a slow one.
    """
    means = np.array([entries[key].mean * UNITS_MS[unit] for key in rates])
    slope = exponent_of(np.array([rates[key] for key in rates]) * means, means, WORK_RANGE)
    typical = float(np.median(means)) if len(means) else 0.0
    if slope is None or slope >= FLAT or typical <= SLOWEST_LAUNCH_MS:
        return None
    smaller = "us" if unit == "ms" else "ms"
    return (
        f"read in {unit}, its blocks take {typical:.3g} ms whatever their work is (time grows as work to the power of "
        f"{slope:.1f}), as where launching them is what takes time, and that takes at most {SLOWEST_LAUNCH_MS} ms on any "
        f"device; in {smaller} it would be usual: --unit {smaller}"
    )


def times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 1 else f"1/{1 / ratio:,.0f}"


def rates_of(entries: PublishedEntries, unit: str) -> dict[str, float]:
    """Multiply-adds a millisecond of each block."""
    known = {key: block_macs(key) for key in entries}
    return {key: macs / (entries[key].mean * UNITS_MS[unit]) for key, macs in known.items() if macs}


def block_macs(key: str) -> float:
    """Multiply-adds of an inverted residual without its gate, by its key; 0 for what is none.

    ``expand`` is a ratio, or the channels where it is more than a ratio can be.
    """
    found = BLOCK.search(key)
    if found is None:
        return 0.0
    size, channels, out_size, out_channels, expand, kernel = map(float, found.groups())
    wide = expand if expand >= channels else expand * channels
    first = size**2 * channels * wide if wide != channels else 0.0
    return first + out_size**2 * wide * (kernel**2 + out_channels)


# -- keys, counts and spreads ---------------------------------------------------------


def of_keys(file: str, entries: PublishedEntries) -> Iterator[Finding]:
    """Keys that differ in blanks, in capitals or in the order of their parts only."""
    alike: dict[str, list[str]] = {}
    for key in entries:
        alike.setdefault(plain_key(key), []).append(key)
    for keys in alike.values():
        if len(keys) > 1:
            yield Finding("refused", file, tuple(keys), "these keys are of one layer; remove all but one")


def plain_key(key: str) -> str:
    """A key without blanks and capitals, its parts in order."""
    name, *parts = re.sub(r"\s+", "", key).lower().split("-")
    return "-".join([name, *sorted(parts)])


def of_counts(file: str, entries: PublishedEntries) -> Iterator[Finding]:
    """Entries of one measurement."""
    if once := tuple(key for key, entry in entries.items() if entry.count == 1):
        yield Finding(
            "warning", file, once, "count: 1: one measurement is as good as its luck, and has no spread"
        )


def of_spreads(file: str, entries: PublishedEntries) -> Iterator[Finding]:
    """Deviations that are variances, or the other way round; files that hold both, or some."""
    named = {
        name: {k: e for k, e in entries.items() if getattr(e, name) is not None} for name in ("std", "var")
    }
    for name, found in named.items():
        if found and (wrong := misnamed(name, found)):
            yield Finding("warning", file, tuple(found), wrong)
    if all(named.values()):
        fewer = min(named, key=lambda name: len(named[name]))
        yield Finding(
            "warning", file, tuple(named[fewer]), f"has {fewer} where the others have another spread"
        )
    without = tuple(key for key, entry in entries.items() if entry.deviation is None)
    if 0 < len(without) < len(entries):
        yield Finding(
            "warning", file, without, "has no std or var, and the others have: no deviation can be added up"
        )


def misnamed(name: str, entries: Mapping[str, PublishedEntry]) -> str | None:
    """What is said where the spreads of a file make little sense as ``name``, and more as the other one.

    Deviations grow as the means do, variances as their squares: on the published tables of the Note10 the slope between
    their logarithms is 1.0.
    """
    values = np.array([float(getattr(entry, name)) for entry in entries.values()])
    means = np.array([entry.mean for entry in entries.values()])
    as_std, as_var = float(np.median(values / means)), float(np.median(np.sqrt(values) / means))
    slope = exponent_of(means, values, RANGE)
    if name == "std":
        wrong = not STEADIEST <= as_std <= SHAKIEST or (slope is not None and slope > OF_VARIANCES)
        here, there, other = as_std, as_var, "var"
    else:
        shaky = as_var > SHAKY and slope is not None and slope < OF_DEVIATIONS
        wrong = not STEADIEST <= as_var <= SHAKIEST or shaky
        here, there, other = as_var, as_std, "std"
    if not wrong or not STEADIEST <= there <= SHAKIEST:
        return None
    grows = f" and grows as the mean to the power of {slope:.1f}" if slope is not None else ""
    return (
        f"{name}: read as a {name} it is {100 * here:.2g} % of the mean (median){grows}; as a {other} it would be "
        f"{100 * there:.2g} %: it may be a {other} under the name of a {name}"
    )


def exponent_of(amounts: Floats, values: Floats, apart: float) -> float | None:
    """The exponent with which values grow with amounts; None where these are too few, or not so many times apart."""
    there = values > 0
    if there.sum() < ENOUGH or amounts[there].max() < apart * amounts[there].min():
        return None
    return float(np.polyfit(np.log(amounts[there]), np.log(values[there]), 1)[0])


# -- copies -----------------------------------------------------------------------------


def of_copies(
    file: str, entries: PublishedEntries, unit: str, others: Mapping[str, LatencyTable]
) -> Iterator[Finding]:
    """Rows that are those of another device: some of them are a mixture, all of them the same table again."""
    scale = UNITS_MS[unit]
    for name, table in others.items():
        theirs = {(key, mean) for part in table.tables.values() for key, (mean, _) in part.entries.items()}
        known = {key for key, _ in theirs}
        long = [key for key, entry in entries.items() if key in known and digits(entry.mean) >= DIGITS]
        same = tuple(key for key in long if (key, entries[key].mean * scale) in theirs)
        if len(same) == len(long) >= SAME_ROWS:
            yield Finding(
                "warning",
                file,
                (),
                f"all of its {len(same):,} rows equal those of device {name}: the same table",
            )
        elif len(same) >= SAME_ROWS:
            yield Finding(
                "refused",
                file,
                same,
                f"these rows equal those of device {name}, and the others do not: two devices in one table",
            )


def digits(value: float) -> int:
    """Significant digits as they are written."""
    return len(repr(value).partition("e")[0].replace(".", "").strip("0"))
