"""Power meters, read from real files in the kernel's layout, and figures fitted to what they show."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cost_models import energy_fit
from cost_models.device import Device
from cost_models.energy import Work, energy_range
from cost_models.energy_fit import MeteredEnergy, fit_power, measured_power, meter_in_turns
from cost_models.meters import Rapl, find_rapl, the_meter
from search.reports.words import of_power
from supernet import documents
from supernet.errors import InputError
from tests.helpers import tiny

RANGE_UJ = 262_143_328_850


def zone(powercap: Path, folder: str, name: str, energy_uj: int) -> Path:
    made = powercap / folder
    made.mkdir(parents=True)
    (made / "name").write_text(f"{name}\n")
    (made / "energy_uj").write_text(f"{energy_uj}\n")
    (made / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    return made


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    """Two sockets with memory and cores, the platform's zone, and a mirror of the first socket."""
    root = tmp_path / "powercap"
    zone(root, "intel-rapl:0", "package-0", 50_000_000_000)
    zone(root, "intel-rapl:0:0", "core", 20_000_000_000)
    zone(root, "intel-rapl:0:1", "dram", 7_000_000_000)
    zone(root, "intel-rapl:1", "package-1", RANGE_UJ - 1_000_000)
    zone(root, "intel-rapl:2", "psys", 90_000_000_000)
    zone(root, "intel-rapl-mmio:0", "package-0", 50_000_000_400)
    (root / "intel-rapl").mkdir()
    return root


def set_uj(powercap: Path, folder: str, energy_uj: int) -> None:
    (powercap / folder / "energy_uj").write_text(f"{energy_uj}\n")


def test_packages_and_memory_count_once_and_a_counter_may_go_round(powercap: Path) -> None:
    meter = find_rapl(powercap)
    assert isinstance(meter, Rapl)
    assert len(meter.zones) == 3
    assert {zone.folder.name for zone in meter.zones} & {"intel-rapl:1", "intel-rapl:0:1"}
    before = meter.read()
    for folder in ("intel-rapl:0", "intel-rapl-mmio:0"):
        set_uj(powercap, folder, 50_000_000_000 + 4_000_000)
    set_uj(powercap, "intel-rapl:0:0", 20_000_000_000 + 3_000_000)
    set_uj(powercap, "intel-rapl:0:1", 7_000_000_000 + 500_000)
    set_uj(powercap, "intel-rapl:1", 2_000_000)  # 1 J up to its range, and 2 J on
    after = meter.read()
    assert meter.between(before, after) == pytest.approx(4_000 + 500 + 3_000, abs=1)  # millijoules


def test_codecarbon_finds_the_same_zones(powercap: Path) -> None:
    """Its search of a folder, on the same files; it leaves out memory unless it is told otherwise."""
    cpu = pytest.importorskip("codecarbon.core.cpu")
    theirs = cpu.IntelRAPL(rapl_dir=str(powercap), rapl_prefer_psys=False)
    energies = {Path(file.path).parent.name for file in theirs._rapl_files}
    meter = find_rapl(powercap)
    assert isinstance(meter, Rapl)
    assert {zone.folder.name for zone in meter.zones if "package" in zone.name} == energies - {
        "intel-rapl:0:1"
    }


def test_no_meter_says_what_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as where it is not installed: its import fails
    with pytest.raises(
        InputError, match=r"no power meter of the processor, .*, was found: no RAPL: "
    ) as told:
        the_meter(tmp_path / "nothing")
    assert f"{tmp_path}/nothing has no intel-rapl:*" in str(told.value)
    assert (
        "; no NVML: the package nvidia-ml-py is not installed (pip install 'oncefit[carbon]'). "
        "Energy stays estimated" in str(told.value)
    )


def test_the_meter_of_graphics_does_not_stand_for_the_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that knows one GPU, as NVIDIA's answers."""
    library = SimpleNamespace(
        nvmlInit=lambda: None, nvmlDeviceGetCount=lambda: 1, nvmlDeviceGetHandleByIndex=lambda i: i,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: 5_000, NVMLError=RuntimeError,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "pynvml", library)
    with pytest.raises(InputError, match=r"; NVML \(1 GPU\) shows what graphics takes, not the processor\. "):
        the_meter(tmp_path)


def test_a_meter_that_cannot_be_read_is_named(powercap: Path) -> None:
    broken = powercap / "intel-rapl:1" / "energy_uj"
    broken.unlink()
    broken.mkdir()
    assert f"RAPL is there but cannot be read: {broken}" in str(find_rapl(powercap))


@pytest.mark.parametrize("held", ["0\n", "", None])
def test_a_counter_that_does_not_say_where_it_begins_anew_is_refused(
    powercap: Path, held: str | None
) -> None:
    """Once it went round its energy would be negative."""
    file = powercap / "intel-rapl:1" / "max_energy_range_uj"
    file.unlink()
    if held is not None:
        file.write_text(held)
    with pytest.raises(InputError, match=f"does not say where its counters begin anew: {file} has no"):
        the_meter(powercap)


class Burning:
    """Subnets that burn a known energy each run: they move the clock, and the counter in its file."""

    def __init__(self, powercap: Path) -> None:
        self.now, self.uj, self.powercap = 0.0, 50_000_000_000.0, powercap

    def runner(self, seconds: float, joules: float):
        def run() -> None:
            self.now += seconds
            self.uj += joules * 1e6
            set_uj(self.powercap, "intel-rapl:0", round(self.uj))

        return run


def works(count: int, seed: int) -> list[Work]:
    rng = np.random.default_rng(seed)
    return [
        Work(ms, macs, bytes_moved)
        for ms, macs, bytes_moved in zip(
            rng.uniform(0.1, 3, count),
            rng.uniform(1e6, 2e8, count),
            rng.uniform(1e5, 2e7, count),
            strict=True,
        )
    ]


def test_figures_are_found_again_through_the_meter(tmp_path: Path) -> None:
    """2.5 W, 12 pJ a multiply-add, 90 pJ a byte, from readings of a real file."""
    zone(tmp_path, "intel-rapl:0", "package-0", 50_000_000_000)
    meter, burning = the_meter(tmp_path), Burning(tmp_path)
    known = works(12, 1)
    joules = [2.5 * w.latency_ms / 1e3 + 12e-12 * w.macs + 90e-12 * w.bytes_moved for w in known]
    runners = [burning.runner(w.latency_ms / 1e3, j) for w, j in zip(known, joules, strict=True)]
    seen = meter_in_turns(runners, meter, rounds=3, slice_s=0.02, clock=lambda: burning.now)
    assert [m.latency_ms for m in seen] == pytest.approx([w.latency_ms for w in known])
    assert [m.energy_mj for m in seen] == pytest.approx([j * 1e3 for j in joules], rel=1e-3)
    power = fit_power(known, seen, meter.name, "2026-01-02")
    found = (power.static_w.value, power.pj_per_mac.value, power.pj_per_byte.value)
    assert found == pytest.approx((2.5, 12, 90), rel=0.01)
    assert power.fitted is not None
    assert power.fitted.meter == "RAPL (package-0)"
    assert power.fitted.date == "2026-01-02"
    assert power.fitted.worst_error_percent < 1
    assert power.fitted.spread_percent < 1, "every round took as much as the others"


def steady(energies_mj: Iterable[float]) -> list[MeteredEnergy]:
    """As of rounds that were all alike."""
    return [MeteredEnergy(1.0, mj, mj) for mj in energies_mj]


def test_the_spread_of_rounds_is_that_of_the_median_above_the_least() -> None:
    known = works(9, 1)
    power = fit_power(
        known, [MeteredEnergy(1.0, 1.2, 1.0)] * 5 + [MeteredEnergy(1.0, 1.0, 1.0)] * 4, "m", "today"
    )
    assert power.fitted is not None
    assert power.fitted.spread_percent == 20.0
    assert ("spread of repeated measurements of energy", "20.0 %") in of_power(power)


def test_ranges_of_noisy_energies_mostly_hold_the_truth_and_errors_are_of_the_noise() -> None:
    """Nine in ten, as the bootstrap's percentiles say; 5 % of noise."""
    true = {"static_w": 2.5, "pj_per_mac": 12.0, "pj_per_byte": 90.0}
    inside = []
    for seed in range(12):
        known, rng = works(40, seed), np.random.default_rng(100 + seed)
        exact = [2.5 * w.latency_ms + 12e-9 * w.macs + 90e-9 * w.bytes_moved for w in known]
        power = fit_power(known, steady(mj * rng.normal(1, 0.05) for mj in exact), "a meter", "today")
        inside += [
            getattr(power, name).low < value < getattr(power, name).high for name, value in true.items()
        ]
        assert power.fitted is not None
        assert 1 < power.fitted.error_percent < 8
        new = works(1, 99)[0]
        figures = energy_range(power, new)
        assert figures.low < 2.5 * new.latency_ms + 12e-9 * new.macs + 90e-9 * new.bytes_moved < figures.high
    assert np.mean(inside) > 0.75


def test_power_is_fitted_to_what_subnets_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real subnets' work, with a counter that their runs move."""
    net = tiny.open_tiny(tmp_path)
    device = documents.read(tiny.write_device(net, tmp_path / "known.yaml"), Device)
    archs = net.space.decode(net.space.sample(8, np.random.default_rng(0)))
    zone(tmp_path, "intel-rapl:0", "package-0", 50_000_000_000)
    burning = Burning(tmp_path)
    monkeypatch.setattr(energy_fit, "meter_in_turns", partial(meter_in_turns, clock=lambda: burning.now))
    runners = [burning.runner(0.25, 0.25 * 3.5) for _ in archs]  # 3.5 W whatever they do
    told: list[tuple[str, int, int]] = []
    bar = lambda task: nullcontext(lambda done, of, _: told.append((task, done, of)))  # noqa: E731
    power = measured_power(net, archs, runners, the_meter(tmp_path), bar, "2026-01-02")
    assert power.static_w.value == pytest.approx(3.5, rel=1e-3)
    assert told[-1] == ("metering 8 subnets with RAPL (package-0), round", 5, 5)
    assert ("power, measured", "3.5 W") in of_power(power)
    assert ("power fitted to", "8 subnets, measured with RAPL (package-0) on 2026-01-02") in of_power(power)
    assert of_power(device.power)[0][0] == "power, assumed"  # type: ignore[arg-type]


def test_too_few_subnets_and_a_meter_that_stands_still_are_refused() -> None:
    with pytest.raises(InputError, match="at least 8 subnets, got 3"):
        fit_power(works(3, 1), steady([1.0] * 3), "m", "today")
    with pytest.raises(
        InputError,
        match="the meter m showed no energy for 9 of 9 subnets in some round; measure each for longer",
    ):
        fit_power(works(9, 1), steady([0.0] * 9), "m", "today")
