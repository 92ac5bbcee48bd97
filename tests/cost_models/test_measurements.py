"""Raw measurements as a part of a device's file: written and read alike, complete or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cost_models.device import Device
from cost_models.device_files import write_device
from cost_models.measurements import (
    Measurements,
    Reference,
    Setup,
    Timing,
    archs_of,
    measured_arch,
    readings_of,
    subnets_of,
)
from supernet import documents
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from tests.helpers.tiny import open_tiny


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Supernet:
    return open_tiny(tmp_path_factory.mktemp("tiny"))


def measured(net: Supernet) -> Measurements:
    small, large = net.space.smallest(), net.space.largest()
    archs = [small, net.space.arch({**large.values, "resolution": 9}), large]
    return Measurements(
        supernet=net.name, fingerprint=net.fingerprint, setup=Setup(threads=2),
        timing=Timing(slice_s=0.015, warm_up_runs=10), reported={"spinning": "on"},
        versions={"onnxruntime": "1.32.0"}, cpu="A CPU: fast #1", date="2025-01-31",
        order=((2, 0, 1), (1, 2, 0)), subnets=subnets_of(archs, [[0.1, 0.11], [0.2, 0.2], [0.31, 0.3]]),
        reference=Reference(arch=measured_arch(archs[1]), every=2, rounds_ms=((0.2, 0.2, 0.21), (0.2, 0.2, 0.2))),
    )  # fmt: skip


def test_a_device_file_keeps_them_and_needs_none(net: Supernet, tmp_path: Path) -> None:
    device = Device(name="mine", measurements=measured(net))
    write_device(device, tmp_path / "mine.yaml")
    assert documents.read(tmp_path / "mine.yaml", Device) == device
    assert documents.check_json(device.model_dump_json(), Device, "mine.json") == device
    assert archs_of(device.measurements, net)[2] == net.space.largest()
    (tmp_path / "plain.yaml").write_text("name: mine\n", encoding="utf-8")
    plain = documents.read(tmp_path / "plain.yaml", Device)
    assert plain.measurements is None
    assert plain.digest == device.digest, "no cost depends on raw times"


def test_the_reference_is_read_before_between_and_after() -> None:
    assert [readings_of(n, 4) for n in (1, 4, 5, 8, 9)] == [2, 2, 3, 3, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": [[2, 0, 1], [1, 1, 0]]}, r"order\.1 must name each of the 3 subnets once"),
        ({"order": [[2, 0, 1]]}, r"subnets\.0 has 2 rounds_ms, but there are 1 rounds"),
        ({"supernett": "x"}, "Did you mean 'supernet'"),
        ({"setup": {"precision": "fp16"}}, r"setup\.precision: got 'fp16'.*'fp32', 'bf16' or 'int8'"),
        ({"setup": {"batch": True}}, r"setup\.batch: got 'True'"),
    ],
)
def test_what_is_incomplete_or_wrong_is_refused_by_name(
    net: Supernet, change: dict[str, Any], message: str
) -> None:
    good = json.loads(measured(net).model_dump_json())
    with pytest.raises(InputError, match=message):
        documents.check({**good, **change}, Measurements, "result.json")


def test_wrong_times_and_subnets_are_refused(net: Supernet) -> None:
    good = json.loads(measured(net).model_dump_json())
    for value, message in ((-1.0, "greater than 0"), (float("nan"), "finite number"), ("1", "valid number")):
        good["subnets"][1]["rounds_ms"][0] = value
        with pytest.raises(InputError, match=rf"subnets\.1\.rounds_ms\.0: .*{message}"):
            documents.check(good, Measurements, "result.json")
    good["subnets"][1] = good["subnets"][0]
    with pytest.raises(InputError, match="a subnet is there twice"):
        documents.check(good, Measurements, "result.json")
    short = json.loads(measured(net).model_dump_json())
    short["reference"]["rounds_ms"][1] = [0.2]
    with pytest.raises(InputError, match=r"reference\.rounds_ms must have 2 lists of 3"):
        documents.check(short, Measurements, "result.json")


def test_layers_are_measured_beside_subnets_and_in_one_order_with_them(net: Supernet) -> None:
    alone = json.loads(measured(net).model_dump_json(exclude_none=True))
    assert "layers" not in alone
    order = [[2, 0, 4, 1, 3], [1, 4, 2, 0, 3]]
    reference = {**alone["reference"], "rounds_ms": [[0.2] * 4] * 2}
    layers = [{"key": key, "rounds_ms": [0.01, 0.02]} for key in ("a", "b")]
    good = {**alone, "order": order, "layers": layers, "reference": reference}
    found = documents.check(good, Measurements, "result.json")
    assert [layer.key for layer in found.layers or ()] == ["a", "b"]
    for change, message in (
        ({"order": alone["order"]}, r"order\.0 must name each of the 5 subnets and layers once, by 0 to 4"),
        ({"layers": [layers[0], layers[0]]}, "a layer is there twice"),
        (
            {"layers": [layers[0], {"key": "b", "rounds_ms": [0.01]}]},
            r"layers\.1 has 1 rounds_ms, but there are 2",
        ),
        ({"reference": alone["reference"]}, r"2 lists of 4: .* first of 5 subnets and layers"),
    ):
        with pytest.raises(InputError, match=message):
            documents.check({**good, **change}, Measurements, "result.json")


def test_another_supernets_measurements_say_whose_they_are(net: Supernet) -> None:
    with pytest.raises(InputError, match=r"of the network of tiny \(.*not of that of fmnist_mbv3"):
        archs_of(measured(net), open_supernet("fmnist_mbv3"))
    odd = measured(net).model_dump(mode="json")
    odd["subnets"][0]["arch"]["choices"]["resolution"] = 10
    with pytest.raises(InputError, match="resolution = 10 is not in space"):
        archs_of(documents.check(odd, Measurements, "result.json"), net)
