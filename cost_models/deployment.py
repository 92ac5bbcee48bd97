"""What a carbon ledger is told: a deployment and what was spent for it, as a YAML file.

region: FRA                     # grid of the devices; else that of the run's device
devices: 1000                   # how many run it
requests_per_day: 2000          # of each of them
life_days: 1095
training: {hours: 1200, kg_per_hour: 0.129, shared_by: 40}
search: {hours: 0.5, watts: {low: 40, value: 65, high: 100}, region: DEU}
finetuning: {kwh: 3.2}
embodied: {kg: 0.8}             # of each device, the share that this use has of it
baseline: largest               # or an arch of the run, a bundle's folder, {mj: 8.1} or {mg: 0.6}
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, model_validator

from cost_models.carbon_ledger import electricity_kg, shared, worked_kg
from cost_models.energy import MG_PER_G, MJ_PER_KWH
from cost_models.grid import Place, carbon_intensity
from cost_models.grid_hours import read_hourly, schedule, window_at
from cost_models.ranges import Figure, Range, exactly
from cost_models.tracking import Tracked, read_tracked
from supernet import documents
from supernet.amounts import Count, ShownName
from supernet.documents import Document
from supernet.errors import InputError

MEASURED, ESTIMATED, GIVEN = "measured", "estimated", "given"


@dataclass(frozen=True)
class Emitted:
    """Kilograms of CO2e, and how they are known: ``measured``, ``estimated`` or ``given``, and of what."""

    kg: Range
    known: str
    of: str


class Emission(Document):
    """Something done once: as kilograms of CO2e, kilowatt-hours, hours of some watts, or a file of a tracked run.

    ``region`` is where the electricity was from; ``hourly`` a CSV of intensities instead, at whose best hours, or from
    ``start`` on, the work was done. A share of one in ``shared_by`` counts.
    """

    kg: Figure | None = None
    kwh: Figure | None = None
    hours: float | None = Field(default=None, gt=0)
    watts: Figure | None = None
    kg_per_hour: Figure | None = None
    tracked: str | None = None
    region: Place | None = None
    hourly: str | None = None
    start: str | None = None
    shared_by: Count = 1
    source: str | None = None

    @model_validator(mode="after")
    def check_one_way(self) -> Emission:
        ways = [self.kg is not None, self.kwh is not None, self.kg_per_hour is not None, self.watts is not None,
                self.tracked is not None]  # fmt: skip
        if sum(ways) != 1:
            raise ValueError("give one of kg, kwh, tracked, watts with hours, or kg_per_hour with hours")
        if (self.watts is not None or self.kg_per_hour is not None) != (self.hours is not None):
            raise ValueError("hours come with watts or kg_per_hour, and these with hours")
        if self.region is not None and self.kwh is None and self.watts is None:
            raise ValueError("region is the grid of kwh or watts, and there are none")
        if self.start is not None and self.hourly is None:
            raise ValueError("start is an hour of the file that hourly names, and there is none")
        if self.hourly is not None and (self.region is not None or self.watts is None):
            raise ValueError("hourly is the grid while hours at some watts pass, in place of region")
        return self

    def emitted(self, region: Place | None, folder: Path) -> Emitted:
        """What it emitted; ``region`` is where its electricity was from unless it says so. Paths are from ``folder``."""
        whole = self._whole(self.region or region, folder)
        told = f"{whole.of}{f'; {self.source}' if self.source else ''}"
        return one_share(Emitted(whole.kg, whole.known, told), self.shared_by)

    def _whole(self, region: Place | None, folder: Path) -> Emitted:
        if self.kg is not None:
            return Emitted(self.kg, GIVEN, "kilograms")
        if self.tracked is not None:
            return of_tracked(read_tracked(folder / self.tracked))
        if self.hours is not None and self.kg_per_hour is not None:
            return Emitted(
                worked_kg(self.hours, self.kg_per_hour), GIVEN,
                f"{self.hours:,g} h of {self.kg_per_hour.value:g} kg an hour",
            )  # fmt: skip
        if self.hourly is not None:
            return self._at_hours(folder)
        return by_electricity(self.hours, self.watts, self.kwh, region)

    def _at_hours(self, folder: Path) -> Emitted:
        assert self.hourly is not None
        assert self.watts is not None
        assert self.hours is not None
        series = read_hourly(folder / self.hourly)
        window = (
            window_at(series, self.hours, self.start) if self.start else schedule(series, self.hours).best
        )
        kwh = self.watts * (self.hours / 1000)
        return Emitted(
            electricity_kg(kwh, exactly(window.grams_per_kwh)), ESTIMATED,
            f"{self.hours:,g} h x {self.watts.value:g} W from {window.start} on, at {window.grams_per_kwh:.0f} g/kWh",
        )  # fmt: skip


def one_share(whole: Emitted, by: int) -> Emitted:
    """What counts for one of ``by`` deployments."""
    if by == 1:
        return whole
    return Emitted(shared(whole.kg, by), whole.known, f"{whole.of}; one of {by:,} shares")


def by_electricity(
    hours: float | None, watts: Range | None, kwh: Range | None, region: Place | None
) -> Emitted:
    """Kilowatt-hours, or hours of some watts, on a region's grid. Raises InputError without a region."""
    if region is None:
        raise InputError(
            "electricity has no region: give region: beside kwh or watts, or for the whole deployment"
        )
    grid = carbon_intensity(region).range
    if kwh is not None:
        return Emitted(electricity_kg(kwh, grid), ESTIMATED, f"{kwh.value:g} kWh in {region}")
    assert hours is not None
    assert watts is not None
    told = f"{hours:,.3g} h x {watts.value:.3g} W in {region}"
    return Emitted(electricity_kg(watts * (hours / 1000), grid), ESTIMATED, told)


def of_tracked(found: Tracked) -> Emitted:
    """What was tracked while it ran."""
    known = MEASURED if found.measured else ESTIMATED
    return Emitted(exactly(found.kg), known, f"{found.kwh:.3g} kWh in {found.seconds:,.0f} s, {found.how}")


class Inference(Document):
    """One inference, in millijoules or in milligrams of CO2e; of a baseline of its own making, also its training."""

    mj: Figure | None = None
    mg: Figure | None = None
    name: ShownName | None = None
    training: Emission | None = None

    @model_validator(mode="after")
    def check_one(self) -> Inference:
        if (self.mj is None) == (self.mg is None):
            raise ValueError("give mj, millijoules, or mg, milligrams of CO2e, of one inference")
        return self

    def energy_or_none(self) -> Range | None:
        return self.mj

    def mg_in(self, region: Place | None) -> Range:
        """Milligrams of CO2e of one inference on a grid. Raises InputError for energy without a region."""
        if self.mg is not None:
            return self.mg
        assert self.mj is not None
        if region is None:
            raise InputError(
                "one inference is given in millijoules, so the deployment needs its grid: region: FRA"
            )
        return self.mj * carbon_intensity(region).range * (MG_PER_G / MJ_PER_KWH)


class Deployment(Document):
    """See :mod:`cost_models.deployment`; ``inference`` is for a ledger without a run."""

    requests_per_day: float = Field(gt=0)
    life_days: float = Field(gt=0)
    devices: Count = 1
    region: Place | None = None
    inference: Inference | None = None
    baseline: str | Inference | None = None
    training: Emission | None = None
    search: Emission | None = None
    finetuning: Emission | None = None
    embodied: Emission | None = None

    @model_validator(mode="after")
    def check_requests(self) -> Deployment:
        if not 0 < self.requests < math.inf:
            raise ValueError("requests_per_day x life_days x devices is beyond what a number holds")
        return self

    @property
    def requests(self) -> float:
        """All requests of all devices in their life."""
        return self.requests_per_day * self.life_days * self.devices


def read_deployment(path: Path | None, overrides: dict[str, object]) -> tuple[Deployment, Path]:
    """The deployment of a YAML file with what was given beside it, and the folder that its paths are from.

    Raises InputError for a wrong file and for what neither says.
    """
    data = documents.load(path) if path is not None else {}
    given = {key: value for key, value in overrides.items() if value is not None}
    data = {**data, **given}
    where = str(path) if path is not None else "the deployment"
    options = {"requests_per_day": "--requests-per-day", "life_days": "--life-days"}
    missing = [option for key, option in options.items() if key not in data]
    if missing and path is None:
        raise InputError(
            f"a ledger needs {' and '.join(missing)} (or a YAML file with them: --deployment FILE): inference is "
            "requests a day x life x devices"
        )
    return documents.check(data, Deployment, where), path.parent if path is not None else Path()
