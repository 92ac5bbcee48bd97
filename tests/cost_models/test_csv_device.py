"""A device of measured subnets in a CSV file: of all of them, of some, in any unit, measured once or several times."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cost_models.csv_device import AskedColumn, device_of_csv
from cost_models.devices import open_device
from cost_models.latency import latency_ms
from cost_models.protocol import Target
from search.cli.app import main
from search.reports.words import of_device
from supernet.archs.arch import Arch
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from tests.helpers import tiny


@pytest.fixture
def net(tmp_path: Path) -> Supernet:
    return tiny.open_tiny(tmp_path)


def true_ms(net: Supernet, arch: Arch) -> float:
    return 0.01 + 1e-6 * sum(layer.macs for layer in net.layers(arch))


def written(folder: Path, net: Supernet, count: int, scale: float = 1.0, name: str = "latency_ms") -> Path:
    """A row for each of distinct subnets, whose times are a sum of layers."""
    archs = list(dict.fromkeys(net.space.decode(net.space.sample(3 * count, np.random.default_rng(0)))))[
        :count
    ]
    quoted = ['"' + arch.to_json().replace('"', '""') + '"' for arch in archs]
    rows = [
        f"{text},{scale * true_ms(net, arch)},{i}"
        for i, (text, arch) in enumerate(zip(quoted, archs, strict=True), 1)
    ]
    file = folder / "mine.csv"
    file.write_text("\n".join([f"arch,{name},battery", *rows]))
    return file


def found(file: Path, net: Supernet, column: str | None = "latency_ms", **more):
    return device_of_csv("board", AskedColumn(file, column, **more), net, lambda _: None)


def test_times_that_are_a_sum_of_layers_are_found_again_from_all_rows(net: Supernet, tmp_path: Path) -> None:
    made = found(written(tmp_path, net, 40), net, samples=None)
    assert made.device.fitted is not None
    assert made.device.fitted.subnets == 40
    assert made.unseen is None, "no row is left to tell the error by"
    latency = latency_ms(Target(net, made.device))
    others = net.space.decode(net.space.sample(100, np.random.default_rng(1)))
    assert np.median([abs(latency(arch) / true_ms(net, arch) - 1) for arch in others]) < 0.05


def test_a_column_in_microseconds_is_the_same_device(net: Supernet, tmp_path: Path) -> None:
    whole = written(tmp_path, net, 20)
    latency = found(whole, net, samples=10).device.fitted
    micro = found(written(tmp_path, net, 20, 1e3), net, samples=10, unit="us").device.fitted
    assert latency is not None
    assert micro is not None
    assert (micro.coefficients, micro.rows) == (pytest.approx(latency.coefficients), latency.rows)
    with pytest.raises(InputError, match=r"unknown unit of latencies 'usec'"):
        found(tmp_path / "mine.csv", net, unit="usec")


def test_a_subnet_of_several_rows_counts_once_by_their_median(net: Supernet, tmp_path: Path) -> None:
    file = written(tmp_path, net, 12)
    heading, *rows = file.read_text().splitlines()
    others = [row.rsplit(",", 2) for row in rows]
    slower = [f"{text},{100 * float(ms)},0" for text, ms, _ in others]
    quicker = [f"{text},{0.5 * float(ms)},0" for text, ms, _ in others]
    once = found(file, net, samples=None).device
    file.write_text("\n".join([heading, *rows, *slower, *quicker]))
    thrice = found(file, net, samples=None).device
    assert once.fitted is not None
    assert thrice.fitted is not None
    assert thrice.fitted.coefficients == once.fitted.coefficients
    assert len(thrice.fitted.rows or ()) == 36
    assert thrice.fitted.spread_percent == pytest.approx(100)
    assert "spread of repeated measurements" in dict(of_device(thrice)[0])
    assert "spread of repeated measurements" not in dict(of_device(once)[0]), "nothing was repeated"


def test_what_cannot_be_fitted_says_why(net: Supernet, tmp_path: Path) -> None:
    file = written(tmp_path, net, 12)
    with pytest.raises(InputError, match=r"has latencies in latency_ms, battery: --column NAME says"):
        found(file, net, None)
    for samples, asked in ((13, "13"), (4, "4")):
        with pytest.raises(
            InputError, match=rf"--samples {asked}: column latency_ms of .* has 12 measured subnets"
        ):
            found(file, net, samples=samples)
    file.write_text("\n".join(file.read_text().splitlines()[:4]))
    with pytest.raises(InputError, match=r"--samples all: column latency_ms of .* has 3 measured subnets"):
        found(file, net, samples=None)


def test_the_only_column_need_not_be_named(net: Supernet, tmp_path: Path) -> None:
    file = written(tmp_path, net, 12)
    file.write_text("\n".join(line.rpartition(",")[0] for line in file.read_text().splitlines()))
    made = found(file, net, None, samples=8).device.fitted
    assert made is not None
    assert made.settings["column"] == "latency_ms"


def test_the_command_fits_to_all_or_to_some_and_tells_the_error_of_the_others(
    net: Supernet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ONCEFIT_CACHE", str(tmp_path / "cache"))
    file = written(tmp_path, net, 40)
    asked = [
        "board",
        "--from-csv",
        str(file),
        "--supernet",
        str(tmp_path / "tiny.yaml"),
        "--column",
        "latency_ms",
    ]

    def command(*more: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stopped:
            main(["profile", *asked, *more])
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out + printed.err

    status, told = command("--samples", "all", "--json")
    assert status == 0, told
    assert json.loads(told)["subnets"] == 40
    assert json.loads(told)["predicted_against_measured"] is None
    assert open_device("board", net, print).fitted is not None
    status, told = command()
    assert status == 2
    assert "board.yaml is there already, perhaps with your edits: --replace writes over it" in told
    status, told = command("--samples", "10", "--like", "battery", "--replace")
    assert status == 0, told
    assert "30 other subnets" in told
    assert "prices of battery: all its rows" in told
    assert "column latency_ms of mine.csv, batch 1" in told
