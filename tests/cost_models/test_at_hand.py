"""Which devices are this machine, and what a latency of theirs was measured with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cost_models import measuring, profiling
from cost_models.at_hand import setup_of, why_not_here
from cost_models.device import Device, LatencyTable
from cost_models.measurements import Measurements, Setup
from cost_models.runtimes.run_onnxruntime import PROVIDER
from supernet import documents
from supernet.families.catalog import Supernet
from tests.helpers import tiny
from tests.helpers.timed import measured_of


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Supernet:
    return tiny.open_tiny(tmp_path_factory.mktemp("tiny"))


def device_of(net: Supernet, folder: Path, settings: dict[str, Any], **keys: Any) -> Device:
    """A device with the keys of a file, and what its latency was fitted with."""
    found = documents.load(tiny.write_device(net, folder / "known.yaml"))
    found["latency"]["settings"] = settings  # type: ignore[index]
    return documents.check({**found, **keys}, Device, "known")


HERE = {"cpu": profiling.cpu_name(), "runtime": "onnxruntime", "threads": 2}


def test_the_setup_is_that_of_the_raw_times_else_that_of_the_fit(net: Supernet, tmp_path: Path) -> None:
    fitted = device_of(net, tmp_path, {"batch": 4, "precision": "int8"}, **HERE)
    assert setup_of(fitted) == Setup(threads=2, batch=4, precision="int8")
    assert setup_of(device_of(net, tmp_path, {}, **HERE)) == Setup(threads=2)
    raw = measured_of(net, Setup(runtime="torch"), {net.space.middle(): [1.0, 1.0, 1.0]})
    assert setup_of(fitted.model_copy(update={"measurements": raw})) == Setup(runtime="torch")
    assert setup_of(fitted.model_copy(update={"runtime": None})) is None
    assert setup_of(fitted.model_copy(update={"threads": None})) is None


def test_a_device_is_this_machine_or_it_is_said_why_not(net: Supernet, tmp_path: Path) -> None:
    here = device_of(net, tmp_path, {}, **HERE)
    assert why_not_here(here) is None
    table = LatencyTable(supernet="tiny", fingerprint="0", format="note10", tables={})
    raw = measured_of(net, Setup(threads=2), {net.space.middle(): [1.0, 1.0, 1.0]})

    def with_provider(provider: str) -> Measurements:
        return raw.model_copy(update={"reported": {"provider": provider}})

    for change, why in (
        ({"latency": table}, "published tables"),
        ({"cpu": None}, "does not say which processor"),
        ({"runtime": None}, "does not say which processor and runtime"),
        ({"cpu": "Snapdragon 855"}, "measured on Snapdragon 855, and this machine is"),
        (
            {"measurements": with_provider("XnnpackExecutionProvider")},
            "measured with XnnpackExecutionProvider",
        ),
    ):
        assert why in str(why_not_here(here.model_copy(update=change)))
    for fine in (raw, with_provider(PROVIDER)):
        assert why_not_here(here.model_copy(update={"measurements": fine})) is None
        measured_table = here.model_copy(update={"latency": table, "measurements": fine})
        assert why_not_here(measured_table) is None, "its layers were measured here"


def test_what_is_measured_here_is_of_a_device_at_hand(net: Supernet, tmp_path: Path) -> None:
    measured = measuring.measure(
        net, [net.space.smallest()], Setup(), measuring.said(lambda _: None), rounds=1, slice_s=0.001
    )
    device = device_of(net, tmp_path, {}, cpu=measured.cpu, runtime="onnxruntime", threads=1)
    assert why_not_here(device.model_copy(update={"measurements": measured})) is None
