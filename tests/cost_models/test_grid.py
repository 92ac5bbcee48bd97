"""Intensities of all countries, against codecarbon's own answers."""

from __future__ import annotations

import json
from importlib.metadata import distribution
from pathlib import Path

import pytest

from cost_models.grid import carbon_intensity, open_grid
from supernet.errors import InputError


def test_every_country_has_the_figure_that_codecarbon_computes_with() -> None:
    """By its calculation, not by its file; the Central African Republic's zero is no figure."""
    emissions = pytest.importorskip("codecarbon.core.emissions").Emissions
    mix = pytest.importorskip("codecarbon.input").DataSource().get_global_energy_mix_data()
    grid = open_grid()
    assert set(grid.regions) - {"WORLD"} == set(mix) - {"CAF"}
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
