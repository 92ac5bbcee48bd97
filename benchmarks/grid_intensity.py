"""Writes configs/grid/carbon_intensity.yaml anew from the data that the installed codecarbon carries.

    pip install codecarbon==3.3.2
    python benchmarks/grid_intensity.py            # compares; --write writes

No figure is typed: each country's is the ``carbon_intensity`` of codecarbon's global_energy_mix.json, which is
Our World in Data's; that of the world is codecarbon's ``world_average``. A country whose figure is zero is left
out and named: its grid's life-cycle emissions were rounded away, and unknown is never zero. Countries that are not
there at all are taken for the grid of a neighbour where the emission inventory EDGAR counts both as one, and else left
out by name.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from cost_models.grid import GRID
from supernet import documents

DATA = "codecarbon/data/private_infra"
HEAD = """\
# Grams of CO2 equivalent for each kilowatt-hour of electricity, by ISO 3166 alpha-3 code.
# Yearly averages of production, life cycle: for an estimate, not for an audit.
# Written by benchmarks/grid_intensity.py --write.
"""
LICENCE = (
    "CC BY 4.0 (Our World in Data, built on Ember's Yearly Electricity Data and the Energy Institute's Statistical "
    "Review of World Energy); codecarbon, which packages it, is MIT"
)
WORLD_SOURCE = (
    "International Energy Agency, Global Energy & CO2 Status Report 2019 (the year 2018), "
    "the world average that codecarbon {version} uses"
)
WORLD_YEAR = 2018
WORLD_LICENCE = "a single figure, cited; codecarbon, which packages it, is MIT"


EDGAR = (
    "EDGAR, the emission inventory of the European Commission's Joint Research Centre, counts {both} as one (GHG "
    "emissions of all world countries)"
)
NEIGHBOURS = {
    "AND": ("Andorra", "ESP", "Spain and Andorra"),
    "LIE": ("Liechtenstein", "CHE", "Switzerland and Liechtenstein"),
    "MCO": ("Monaco", "FRA", "France and Monaco"),
    "SMR": ("San Marino", "ITA", "Italy, San Marino and the Holy See"),
    "VAT": ("Vatican City", "ITA", "Italy, San Marino and the Holy See"),
}
"""Countries without a figure, whose grid stands for theirs, and what EDGAR calls the two."""
NOT_THERE = {
    "FSM": "Micronesia",
    "MHL": "Marshall Islands",
    "PLW": "Palau",
    "TUV": "Tuvalu",
}
"""Islands with grids of their own that the data do not have."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the file, else only compare")
    given = parser.parse_args()
    made = text()
    if given.write:
        documents.write_text(GRID, made)
        print(f"wrote {GRID}")
    elif made != GRID.read_text(encoding="utf-8"):
        sys.exit(f"{GRID} is not what the installed codecarbon gives; --write writes it")
    else:
        print(f"{GRID} is what codecarbon {distribution('codecarbon').version} gives")


def text() -> str:
    """The YAML file."""
    version = distribution("codecarbon").version
    mix, per_source = read("global_energy_mix.json"), read("carbon_intensity_per_source.json")
    known = {code: row for code, row in sorted(mix.items()) if row.get("carbon_intensity")}
    left = {code: row for code, row in sorted(mix.items()) if code not in known}
    head = {
        "source": "Our World in Data, Energy (carbon intensity of electricity), as packaged in codecarbon "
        f"{version}, global_energy_mix.json",
        "licence": LICENCE,
        "left_out": {
            code: f"{row['country_name']} is given as {row.get('carbon_intensity')} g/kWh for {row['year']}, which no grid has"
            for code, row in left.items()
        }
        | {code: f"the data that it would come from do not have {name}" for code, name in NOT_THERE.items()},
        "neighbours": {
            code: {"country": name, "uses": uses, "source": EDGAR.format(both=both)}
            for code, (name, uses, both) in NEIGHBOURS.items()
        },
    }
    world = {
        "country": "World", "grams_per_kwh": per_source["world_average"], "year": WORLD_YEAR,
        "source": WORLD_SOURCE.format(version=version), "licence": WORLD_LICENCE,
    }  # fmt: skip
    regions = {code: of_country(row) for code, row in known.items()}
    lines = [HEAD, documents.dump(head, width=110), "regions:\n"]
    lines += [indented(documents.dump({"WORLD": world}, width=106))]
    lines += [f"  {code}: {documents.dump(row, True, 1_000).strip()}\n" for code, row in regions.items()]
    return "".join(lines)


def of_country(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "country": row["country_name"],
        "grams_per_kwh": row["carbon_intensity"],
        "year": row["year"],
    }


def indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


def read(name: str) -> dict[str, Any]:
    """One of codecarbon's data files, found without importing it."""
    found: dict[str, Any] = json.loads(
        Path(str(distribution("codecarbon").locate_file(f"{DATA}/{name}"))).read_text()
    )
    return found


if __name__ == "__main__":
    main()
