"""Carbon intensity of electricity by region, with its source and year."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from pydantic import Field

from supernet import documents
from supernet.documents import Document
from supernet.errors import unknown

GRID = documents.CONFIGS / "grid" / "carbon_intensity.yaml"


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
