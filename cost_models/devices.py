"""Devices: who runs a subnet, how fast, on how much power, on which grid.

A device is a YAML file in ``configs/devices`` or anywhere. ``host`` is this machine:
its file holds power and region, and its latency model is fitted once for each
supernet and kept in a cache folder, where imported latency tables are too.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Discriminator, Field, Tag

from cost_models import profiling
from cost_models.latency import LatencyModel, check_space, fit, latency_ms
from cost_models.latency_tables import LatencyTable, read_latency_table
from cost_models.protocol import Target
from cost_models.published_tables import FORMATS
from supernet import documents
from supernet.amounts import Count
from supernet.cache import default_cache
from supernet.catalog import Supernet
from supernet.documents import Document
from supernet.errors import InputError, unknown

HOST = "host"
FIT_SUBNETS = 32
"""Subnets that the host's latency is fitted to; more take longer and help little."""
FIT_SEED = 0
BUSY_PERCENT = 10.0
"""Spread of repeated measurements above which a fit comes from a busy machine, and is not kept."""
NOT_KEPT: dict[Path, Device] = {}
"""Fits of this process that are in no file, by where they would be: a demo measures a busy machine once."""
NAME = r"\w[\w-]*(\.[\w-]+)*"
"""What a device may be called: its file is named after it."""
LINE = 110
GRID = documents.CONFIGS / "grid" / "carbon_intensity.yaml"

Report = Callable[[str], None]
"""Takes a line for people about what goes on."""


class Power(Document):
    """Figures of the energy estimate: watts drawn all the time, picojoules for each operation."""

    static_w: float = Field(ge=0)
    pj_per_mac: float = Field(ge=0)
    pj_per_byte: float = Field(ge=0)
    source: str


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
    with how many threads of what it was measured.
    """

    name: str
    runtime: str | None = None
    threads: Count | None = None
    region: str | None = None
    power: Power | None = None
    cpu: str | None = None
    date: str | None = None
    versions: dict[str, str] = {}
    latency: Latency | None = None

    @property
    def digest(self) -> str:
        """Sixteen hex digits that change with any of its figures."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    @property
    def fitted(self) -> LatencyModel | None:
        """Its latency model where that was fitted, and has an error."""
        return self.latency if isinstance(self.latency, LatencyModel) else None

    @property
    def table(self) -> LatencyTable | None:
        """Its latency table where it has one, with standard deviations."""
        return self.latency if isinstance(self.latency, LatencyTable) else None


def device_costs(device: Device) -> tuple[str, ...]:
    """The costs of :data:`cost_models.registry.OF_A_DEVICE` that a device's figures suffice for."""
    energy = device.latency is not None and device.power is not None
    can = {
        "latency_ms": device.latency is not None,
        "energy_mj": energy,
        "co2e_mg": energy and device.region is not None,
    }
    return tuple(name for name, possible in can.items() if possible)


class RegionIntensity(Document):
    country: str
    grams_per_kwh: float = Field(gt=0)
    year: int
    source: str | None = None


class GridFile(Document):
    """``configs/grid/carbon_intensity.yaml``; a region without a source has the file's."""

    source: str
    regions: dict[str, RegionIntensity]


class CarbonIntensity(NamedTuple):
    """Grams of CO2 equivalent for each kilowatt-hour of a region's electricity."""

    grams_per_kwh: float
    source: str
    year: int


def open_device(name_or_path: str, supernet: Supernet, report: Report, refresh: bool = False) -> Device:
    """The device of a name or a YAML file, fit for ``supernet``; ``host`` is measured where it must be.

    Raises InputError for an unknown name, a wrong file, a latency model of another space, and
    for ``refresh``, which measures anew, of another device than ``host``.
    """
    if name_or_path == HOST:
        return host_device(supernet, report, refresh)
    if refresh:
        raise InputError(f"--refresh measures {HOST} again; {name_or_path} is read from its file")
    device = documents.read(device_file(name_or_path), Device)
    if device.latency is not None:
        check_space(device.latency, supernet, device.name)
    return device


def device_file(name_or_path: str) -> Path:
    """The file of a device that ships, that was imported, or at a path."""
    try:
        return documents.find("devices", name_or_path, more=kept_devices())
    except InputError:
        if name_or_path not in FORMATS:
            raise
        raise InputError(
            f"device {name_or_path!r} is not here yet: oncefit devices import {name_or_path} DIR makes it "
            "of its published latency tables in a folder DIR"
        ) from None


def import_device(format_name: str, tables: Path, supernet: Supernet, name: str) -> Device:
    """A device of published latency tables, which are read from a folder or a file and cover ``supernet``.

    Raises InputError for a name that means something else, an unknown format, wrong files and
    for what they lack.
    """
    if name in documents.names("devices"):
        raise InputError(f"{name} is a device that ships; give the imported one another name with --name")
    if not re.fullmatch(NAME, name):
        raise InputError(
            f"a device's name is made of letters, digits, '_', '-' and inner dots, got {name!r}; give one with --name"
        )
    return Device(name=name, latency=read_latency_table(format_name, tables, supernet))


def host_device(supernet: Supernet, report: Report, refresh: bool = False) -> Device:
    """This machine, with a latency model for ``supernet``: the cached one, or measured now (about 15 s).

    A fit of a busy machine is good until this process ends, and not kept for the next.
    """
    host = documents.read(documents.find("devices", HOST), Device)
    path = cached_path(supernet)
    if not refresh and path in NOT_KEPT:
        return NOT_KEPT[path]
    if not refresh and path.is_file():
        try:
            kept = documents.read(path, Device)
            if kept.latency is not None:
                latency_ms(Target(supernet, kept))  # has a coefficient for every layer
        except InputError as error:
            report(f"the kept fit of this host is of no use and is made anew: {error}")
        else:
            if kept.latency is not None and kept.latency.fingerprint == supernet.fingerprint:
                # power and region are read afresh: who edits the device's file expects to see it
                return kept.model_copy(update={"power": host.power, "region": host.region})
    device = fit_host(host, supernet, report, date.today().isoformat())
    NOT_KEPT[path] = device
    spread = device.fitted.spread_percent if device.fitted is not None else 0.0
    if spread > BUSY_PERCENT:
        report(
            f"this machine is busy: repeated measurements spread by {spread:.1f} %, more than {BUSY_PERCENT:g} %. "
            "The fit is used now and not kept; measure again when it is quiet"
        )
        return device
    try:
        write_device(device, path)
    except InputError as error:
        report(f"the fit of this host is not kept: {error} (ONCEFIT_CACHE names the folder)")
    else:
        report(f"kept in {path}")
        del NOT_KEPT[path]
    return device


def fit_host(host: Device, supernet: Supernet, report: Report, today: str) -> Device:
    """Measure this machine: ``host`` with CPU, versions, date and a latency model for ``supernet``."""
    archs = profiling.choose_archs(supernet.space, FIT_SUBNETS, np.random.default_rng(FIT_SEED))
    report(
        f"measuring this host's latency on {len(archs)} subnets of {supernet.name}, about 15 s when it is quiet"
    )
    measured = profiling.profile(supernet, archs, report)
    latency = fit(supernet, archs, measured, profiling.settings())
    report(
        f"fitted: median error {latency.error_percent:.1f} % on subnets not seen, "
        f"spread of repeated measurements {latency.spread_percent:.1f} %"
    )
    found = {"cpu": profiling.cpu_name(), "versions": profiling.versions(), "date": today, "latency": latency}
    return host.model_copy(update={**found, "runtime": profiling.RUNTIME, "threads": profiling.THREADS})


def write_device(device: Device, path: Path) -> None:
    """Write a device's YAML file, whole or not at all."""
    flow = None if device.table is not None else False  # None: a line for each entry
    documents.write_text(path, documents.dump(device.model_dump(exclude_none=True), flow, LINE))


def kept_devices() -> Path:
    """The folder of fitted and imported devices."""
    return default_cache() / "devices"


def cached_path(supernet: Supernet) -> Path:
    """Where this host's fit for a supernet is kept; another CPU, version or setting is another file."""
    made_with: Mapping[str, object] = {
        "cpu": profiling.cpu_name(), "versions": profiling.versions(), "settings": profiling.settings(),
        "subnets": FIT_SUBNETS, "seed": FIT_SEED,
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps(made_with, sort_keys=True).encode()).hexdigest()[:8]
    return kept_devices() / f"{HOST}-{supernet.fingerprint}-{digest}.yaml"


def carbon_intensity(region: str) -> CarbonIntensity:
    """Grams of CO2e per kilowatt-hour in a region, with source and year.

    Raises InputError for an unknown region.
    """
    grid = open_grid()
    if region not in grid.regions:
        raise unknown("region", region, grid.regions)
    found = grid.regions[region]
    return CarbonIntensity(found.grams_per_kwh, found.source or grid.source, found.year)


@lru_cache(maxsize=1)
def open_grid() -> GridFile:
    return documents.read(GRID, GridFile)
