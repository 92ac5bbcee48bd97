"""How figures are shown to people; inside, units are those in the names."""

from __future__ import annotations

from collections.abc import Mapping

from supernet.accuracy import NINETY_PERCENT, Accuracy, PredictedAccuracy


def percent(accuracy: Accuracy | None, name: str) -> str:
    """``93.12 [92.60, 93.60]`` or a dash where it was not measured."""
    if accuracy is None:
        return "-"
    value, low, high = (100 * getattr(accuracy, name + end) for end in ("", "_low", "_high"))
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def predicted_percent(accuracy: PredictedAccuracy | None) -> str:
    """``81.93``, or ``76.12 ± 0.14`` where nine in ten measured values are expected; a dash for none."""
    if accuracy is None:
        return "-"
    spread = f" ± {100 * NINETY_PERCENT * accuracy.std:.2f}" if accuracy.std is not None else ""
    return f"{100 * accuracy.top1:.2f}{spread}"


def counted(number: int, noun: str) -> str:
    """``1 candidate``, ``10,000 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


SCALES: Mapping[str, tuple[float, str]] = {
    "macs": (1e6, "MACs (M)"),
    "params": (1e3, "parameters (k)"),
    "peak_memory_bytes": (1024, "peak memory (KiB)"),
    "weights_bytes": (1024, "weights (KiB)"),
    "latency_ms": (1, "latency (ms)"),
    "energy_mj": (1, "energy (mJ)"),
    "co2e_mg": (1e-3, "CO2e (µg)"),
    "latency_p80_ms": (1, "latency, 80 % bound (ms)"),
    "latency_p90_ms": (1, "latency, 90 % bound (ms)"),
    "latency_p95_ms": (1, "latency, 95 % bound (ms)"),
    "latency_p99_ms": (1, "latency, 99 % bound (ms)"),
}
"""How costs are shown to people: divisor and heading."""


def scaled(name: str, value: float) -> float:
    return value / SCALES.get(name, (1.0, name))[0]


def short_number(value: float) -> str:
    """Four significant digits, and whole numbers where these would take an exponent."""
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def heading(name: str) -> str:
    """A cost's name and unit for a table or an axis."""
    return SCALES.get(name, (1.0, name))[1]


def amount(name: str, value: float) -> str:
    """A cost with its unit, for people: ``0.12 ms``, ``2 M MACs``."""
    label, _, unit = heading(name).removesuffix(")").partition(" (")
    if not unit:
        return f"{short_number(value)} {label}"
    bound = label.partition(", ")[2]
    said = f" {label}" if len(unit) == 1 else f" ({bound})" if bound else ""
    return f"{short_number(scaled(name, value))} {unit}{said}"
