"""Carbon intensity of electricity: by region, with its source, year and licence, or a figure of one's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from pydantic import Field, field_validator

from cost_models.ranges import Figure, Range, exactly
from supernet import documents
from supernet.amounts import NameOrPath, ShownName
from supernet.documents import Document
from supernet.errors import InputError, unknown

GRID = documents.CONFIGS / "grid" / "carbon_intensity.yaml"
WORLD = "WORLD"
OWN_FIGURE = "give a figure of your own, region: {grams_per_kwh: 100, source: ...}"
"""What helps where there is none; in a device's file, a variant of one, or a deployment."""
OWN = "own"
"""What a grid with a figure of one's own is called where it has no name."""


class OwnGrid(Document):
    """A region of one's own, as ``{grams_per_kwh: 320, source: my contract}``; the figure may be a range."""

    grams_per_kwh: Figure
    source: str
    name: ShownName = OWN
    year: int | None = None

    @field_validator("grams_per_kwh")
    @classmethod
    def check_positive(cls, found: Range) -> Range:
        if not found.value > 0:
            raise ValueError("a grid's intensity is greater than 0")
        return found

    def __str__(self) -> str:
        return self.name


Place = NameOrPath | OwnGrid
"""A key of :data:`GRID`, or a grid of one's own."""


class RegionIntensity(Document):
    """``source`` and ``licence`` are those of the file where they are absent."""

    country: str
    grams_per_kwh: float = Field(gt=0)
    year: int
    source: str | None = None
    licence: str | None = None


class Neighbour(Document):
    """The region ``uses`` whose grid that of a country is taken for, and who says that the two belong together."""

    country: str
    uses: str
    source: str


class GridFile(Document):
    """``configs/grid/carbon_intensity.yaml``; ``left_out`` says of regions why they have no figure."""

    source: str
    licence: str
    left_out: dict[str, str] = {}
    neighbours: dict[str, Neighbour] = {}
    regions: dict[str, RegionIntensity]


@dataclass(frozen=True)
class CarbonIntensity:
    """Grams of CO2 equivalent for each kilowatt-hour of a region's electricity."""

    grams_per_kwh: float
    source: str
    year: int | None
    range: Range
    licence: str | None = None
    grid_of: str | None = None
    """The country whose grid it is, where that is not the region's own."""


def carbon_intensity(region: Place) -> CarbonIntensity:
    """Grams of CO2e per kilowatt-hour in a region, with source, year and licence.

    Raises InputError for an unknown region.
    """
    if isinstance(region, OwnGrid):
        own = region.grams_per_kwh
        return CarbonIntensity(own.value, region.source, region.year, own)
    grid = open_grid()
    if region in grid.left_out:
        raise InputError(f"region {region} has no figure: {grid.left_out[region]}; {OWN_FIGURE}")
    if region in grid.neighbours:
        found, near = carbon_intensity(grid.neighbours[region].uses), grid.neighbours[region]
        owner = grid.regions[near.uses].country
        lent = f"the grid of {near.country} is taken to be that of {owner}: {near.source}"
        return replace(found, source=f"{found.source}; {lent}", grid_of=owner)
    if region not in grid.regions:
        raise InputError(f"{unknown('region', region, {**grid.regions, **grid.neighbours})}; {OWN_FIGURE}")
    known = grid.regions[region]
    grams = known.grams_per_kwh
    return CarbonIntensity(
        grams, known.source or grid.source, known.year, exactly(grams), known.licence or grid.licence
    )


@lru_cache(maxsize=1)
def open_grid() -> GridFile:
    return documents.read(GRID, GridFile)
