"""Intensities of all countries, against codecarbon's own answers."""

from __future__ import annotations

import json
from importlib.metadata import distribution
from pathlib import Path

import pytest

from cost_models.device import Device
from cost_models.grid import carbon_intensity, open_grid
from search.reports.words import of_estimates
from supernet.errors import InputError


def test_every_country_has_the_figure_that_codecarbon_computes_with() -> None:
    """By its calculation, not by its file; the Central African Republic's zero is no figure."""
    emissions = pytest.importorskip("codecarbon.core.emissions").Emissions
    mix = pytest.importorskip("codecarbon.input").DataSource().get_global_energy_mix_data()
    grid = open_grid()
    assert set(grid.regions) - {"WORLD"} == set(mix) - {"CAF"}
    assert not set(mix) & {*grid.neighbours, *(set(grid.left_out) - {"CAF"})}, (
        "these have a figure of their own now"
    )
    for code, row in mix.items():
        if code in grid.left_out:
            assert row["carbon_intensity"] == 0
            continue
        theirs = emissions._global_energy_mix_to_emissions_rate(row).kgs_per_kWh * 1000
        assert carbon_intensity(code).grams_per_kwh == pytest.approx(theirs)
        assert carbon_intensity(code).year == row["year"]


def test_the_world_is_about_the_mean_of_its_countries() -> None:
    """Weighted by what they generate: another year, within a tenth."""
    path = distribution("codecarbon").locate_file("codecarbon/data/private_infra/global_energy_mix.json")
    mix = json.loads(Path(str(path)).read_text())
    twh = {code: mix[code]["total_TWh"] for code in open_grid().regions if code != "WORLD"}
    mean = sum(twh[code] * carbon_intensity(code).grams_per_kwh for code in twh) / sum(twh.values())
    assert carbon_intensity("WORLD").grams_per_kwh == pytest.approx(mean, rel=0.1)


def test_a_country_without_a_figure_says_why() -> None:
    with pytest.raises(InputError, match=r"region CAF has no figure: Central African Republic is given as 0"):
        carbon_intensity("CAF")


@pytest.mark.parametrize("code", ["FSM", "MHL", "PLW", "TUV"])
def test_a_country_that_the_data_do_not_have_says_what_to_do(code: str) -> None:
    with pytest.raises(
        InputError, match=rf"region {code} has no figure: .*; give a figure of your own, region: \{{"
    ):
        carbon_intensity(code)
    with pytest.raises(InputError, match=r"unknown region 'XYZ'\. .*; give a figure of your own, region: \{"):
        carbon_intensity("XYZ")


@pytest.mark.parametrize(
    ("code", "uses", "both"),
    [
        ("AND", "ESP", "the grid of Andorra is taken to be that of Spain"),
        ("LIE", "CHE", "the grid of Liechtenstein is taken to be that of Switzerland"),
        ("MCO", "FRA", "the grid of Monaco is taken to be that of France"),
        ("SMR", "ITA", "the grid of San Marino is taken to be that of Italy"),
        ("VAT", "ITA", "the grid of Vatican City is taken to be that of Italy"),
    ],
)
def test_a_country_on_its_neighbours_grid_says_so(code: str, uses: str, both: str) -> None:
    found, near = carbon_intensity(code), carbon_intensity(uses)
    assert (found.grams_per_kwh, found.year, found.licence) == (near.grams_per_kwh, near.year, near.licence)
    assert found.source.startswith(f"{near.source}; {both}: EDGAR, the emission inventory")


def test_whose_grid_it_is_stands_beside_the_region() -> None:
    power = {"static_w": 1, "pj_per_mac": 1, "pj_per_byte": 1, "source": "assumed"}
    told = dict(of_estimates(Device.model_validate({"name": "d", "region": "LIE", "power": power})))
    assert told["region"].startswith("LIE, on the grid of Switzerland: ")
