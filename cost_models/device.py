"""A device as a value: who runs a subnet, how fast, on how much power, on which grid."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from cost_models.grid import Place
from cost_models.measurements import Measurements
from cost_models.published_tables import Entries
from cost_models.ranges import Figure
from supernet.amounts import Count, ShownName
from supernet.archs.arch import FLOAT32
from supernet.documents import Document


class ResolutionTable(Document):
    """The entries of a published file, ``[mean, standard deviation]`` in milliseconds, and its hash.

    Of what was measured here there is no hash, and the figures are of medians of rounds.
    """

    file: str
    sha256: str | None = None
    entries: Entries


class WholeFit(Document):
    """How the latency of whole subnets follows from the sum of a table: ``intercept_ms + factor * sum``.

    The intercept may be below zero: layers alone pay for borders that a network has not. ``launch_ms`` is what a call
    takes that computes nothing; it was taken off every entry, as a whole subnet has it once. The errors are as those of
    a :class:`LatencyModel`.
    """

    intercept_ms: float
    factor: float = Field(ge=0)
    launch_ms: float = Field(ge=0)
    subnets: int
    tested: int
    error_percent: float
    worst_error_percent: float
    folds: int
    spread_percent: float
    held_out: tuple[float, ...]
    settings: dict[str, str | int | float] = {}


class LatencyTable(Document):
    """Latencies of blocks and layers that cover a supernet at some resolutions: published, or measured here.

    ``whole`` is what measured whole subnets make of their sum; without it the sum is the latency.
    """

    kind: Literal["lookup_table"] = "lookup_table"
    supernet: str
    fingerprint: str
    format: str
    whole: WholeFit | None = None
    tables: dict[int, ResolutionTable]

    @property
    def resolutions(self) -> tuple[int, ...]:
        return tuple(sorted(self.tables))

    def count_entries(self) -> int:
        """Of all resolutions together."""
        return sum(len(part.entries) for part in self.tables.values())

    @property
    def keys(self) -> frozenset[str]:
        """Of all entries; what looks alike at several resolutions has one."""
        return frozenset(key for part in self.tables.values() for key in part.entries)

    @property
    def has_deviations(self) -> bool:
        """Whether all entries have a standard deviation."""
        return all(std is not None for part in self.tables.values() for _, std in part.entries.values())


class LatencyModel(Document):
    """What was fitted, to what, and how well; coefficients are milliseconds per unit of a feature.

    ``error_percent`` is the median absolute relative error of the ``tested`` random subnets, each
    by a fit that had not seen it, and ``worst_error_percent`` the largest; ``spread_percent`` how
    much slower the median round of measurements was than the quietest, median over the subnets:
    the state of the machine.

    ``held_out`` are log(measured / predicted) of all subnets, each by a fit that had not seen it, in
    rising order; ``scale_percent`` is the standard deviation of the relative errors without outliers.
    ``freedom`` is what cross-validation let prices differ from the prior by, ``like`` whose prices
    that was made of. ``rows`` are the lines of the file that was fitted to, from 1 for its heading.
    """

    kind: Literal["layer_sum"] = "layer_sum"
    supernet: str
    fingerprint: str
    intercept_ms: float = Field(ge=0)
    coefficients: dict[str, float]
    subnets: int
    tested: int | None = None
    error_percent: float
    worst_error_percent: float | None = None
    folds: int
    spread_percent: float
    settings: dict[str, str | int | float] = {}
    held_out: tuple[float, ...] | None = None
    scale_percent: float | None = None
    freedom: float | None = None
    like: tuple[str, ...] = ()
    rows: tuple[int, ...] | None = None


class PowerFit(Document):
    """That the figures were fitted to a meter's and when, to how many subnets, and the error of subnets not seen.

    ``spread_percent`` is how much more the median round took than the least, median over the subnets.
    """

    meter: str
    date: str
    subnets: int
    error_percent: float
    worst_error_percent: float
    spread_percent: float


class Power(Document):
    """Figures of the energy estimate: watts drawn all the time, picojoules for each operation.

    Each may be a range, ``{low: 1.0, value: 1.9, high: 3.5}``. Without ``fitted`` they are assumptions.
    """

    static_w: Figure
    pj_per_mac: Figure
    pj_per_byte: Figure
    source: str
    fitted: PowerFit | None = None


FIGURES = ("static_w", "pj_per_mac", "pj_per_byte", "source")
"""What a person writes of power."""


def latency_kind(value: object) -> object:
    """What tells the kinds of latency apart; that of a fitted model need not be written."""
    default = LatencyModel.model_fields["kind"].default
    return value.get("kind", default) if isinstance(value, dict) else getattr(value, "kind", default)


Latency = Annotated[
    Annotated[LatencyModel, Tag("layer_sum")] | Annotated[LatencyTable, Tag("lookup_table")],
    Discriminator(latency_kind),
]


class Device(Document):
    """``configs/devices/*.yaml`` and the fitted and imported devices in the cache.

    What is not known is absent: a published latency table says nothing of power, and often not
    with how many threads of what it was measured. ``measurements`` are the raw times that a latency was
    fitted to; no cost is computed from them. ``at`` is the same device at other precisions than its own, by their names.
    """

    name: ShownName
    runtime: str | None = None
    threads: Count | None = None
    region: Place | None = None
    power: Power | None = None
    cpu: str | None = None
    date: str | None = None
    versions: dict[str, str] = {}
    latency: Latency | None = None
    measurements: Measurements | None = None
    at: dict[str, Device] | None = None

    @property
    def digest(self) -> str:
        """Sixteen hex digits that change with any figure that a cost depends on."""
        text = self.model_dump_json(
            exclude_none=True, exclude={"measurements": True, "at": {"__all__": {"measurements": True}}}
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def precision(self) -> str:
        """What its latency was measured in; float32 where nothing says so."""
        if self.measurements is not None:
            return self.measurements.setup.precision
        return str(self.fit.settings.get("precision", FLOAT32)) if self.fit is not None else FLOAT32

    def at_precision(self, name: str) -> Device | None:
        """The device as it is at a precision; None where nothing is known of it there."""
        return self if name == self.precision else (self.at or {}).get(name)

    @property
    def fitted(self) -> LatencyModel | None:
        """Its latency model where that was fitted, and has an error."""
        return self.latency if isinstance(self.latency, LatencyModel) else None

    @property
    def fit(self) -> LatencyModel | WholeFit | None:
        """What was fitted to measured whole subnets, and has an error: its latency model, or that of its table."""
        return self.table.whole if self.table is not None else self.fitted

    @property
    def power_meter(self) -> str | None:
        """The meter that its power figures were fitted to; None where they are assumed, or not known."""
        return self.power.fitted.meter if self.power is not None and self.power.fitted is not None else None

    @property
    def table(self) -> LatencyTable | None:
        """Its latency table where it has one, with standard deviations."""
        return self.latency if isinstance(self.latency, LatencyTable) else None


def device_costs(device: Device, precisions: Sequence[str] = ()) -> tuple[str, ...]:
    """The costs of :data:`cost_models.registry.OF_A_DEVICE` that a device's figures suffice for, at all precisions."""
    if precisions:
        there = [device.at_precision(name) for name in precisions]
        known = [device_costs(found) if found is not None else () for found in there]
        return tuple(cost for cost in known[0] if all(cost in costs for costs in known))
    energy = device.latency is not None and device.power is not None
    can = {
        "latency_ms": device.latency is not None,
        "energy_mj": energy,
        "co2e_mg": energy and device.region is not None,
    }
    return tuple(name for name, possible in can.items() if possible)
