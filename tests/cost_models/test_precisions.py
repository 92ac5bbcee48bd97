"""Costs of archs that say their precision, held against those of each precision by itself, and against real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cost_models.device import Device, device_costs
from cost_models.devices import open_device
from cost_models.precisions import at_one
from cost_models.protocol import Target
from cost_models.registry import COSTS, Cost, build
from cost_models.variants import Variant
from supernet import documents
from supernet.archs.arch import FLOAT32, INT8
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from tests.helpers import tiny

FASTER = 0.4
"""Of the time in float32, in int8."""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Supernet:
    return tiny.open_tiny(tmp_path_factory.mktemp("tiny")).at_precisions([FLOAT32, INT8])


@pytest.fixture(scope="module")
def device(net: Supernet, tmp_path_factory: pytest.TempPathFactory) -> Device:
    """A device whose prices are known, with prices of its own in int8."""
    folder = tmp_path_factory.mktemp("devices")
    own, quick = tiny.write_device(net, folder / "known.yaml"), folder / "quick.yaml"
    data = documents.load(own)
    model = data["latency"]
    model["coefficients"] = {name: FASTER * price for name, price in model["coefficients"].items()}
    model["settings"] = {"precision": INT8}
    quick.write_text(documents.dump({**data, "name": "quick"}))
    return open_device(Variant(base=str(own), at={INT8: str(quick)}), net, print)


@pytest.mark.parametrize("name", COSTS)
def test_a_joint_cost_is_that_of_the_archs_precision(name: str, net: Supernet, device: Device) -> None:
    target = Target(net, device)
    joint = build(name, target)
    alone = {precision: build(name, at_one(target, precision)) for precision in net.precisions}
    archs = tiny.all_archs(net)
    truth = np.array([alone[arch.precision](arch.network) for arch in archs])
    codes = net.space.encode(archs)
    assert len(archs) == 1600
    assert joint.batch(codes) == pytest.approx(truth)
    assert joint(archs[7]) == pytest.approx(truth[7])
    reach = joint.reach()
    assert (reach.minimum, reach.maximum) == pytest.approx((truth.min(), truth.max()))
    some = codes[::97]
    assert joint.changed(some) == pytest.approx(unhurried(joint, some))
    differs = any(alone[INT8](arch.network) != alone[FLOAT32](arch.network) for arch in archs[::9])
    assert differs == (name not in ("macs", "params"))


def unhurried(cost: Cost, codes: np.ndarray) -> np.ndarray:
    """Costs with each choice made, one arch at a time."""
    space = cost.space
    found = []
    for row in codes:
        for dimension, choice in zip(*space.every_choice, strict=True):
            changed = row.copy()
            changed[dimension] = choice
            found.append(cost(space.decode(space.canonical(changed[None]))[0]))
    return np.array(found).reshape(len(codes), -1)


def test_tables_of_other_segments_stand_beside_each_other(net: Supernet) -> None:
    from cost_models.precisions import joined_tables

    parts = [build(name, Target(net.of_networks)).model for name in ("params", "macs")]
    one, other = parts
    joint = joined_tables([one, type(one)(one.name, one.space, other.factors[::-1])], net.space)  # type: ignore[arg-type, union-attr, call-arg]
    arch = net.space.largest()
    assert arch.precision == FLOAT32
    assert joint(arch) == pytest.approx(other(arch.network))
    low = net.space.arch({**arch.values, "precision": 8})
    assert joint(low) == pytest.approx(one(low.network))


def test_bytes_of_weights_are_those_in_the_file(tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    from cost_models.measuring import images_shape, random_images, untrained
    from supernet.bundles.onnx_export import export_onnx
    from supernet.quantising.onnx_quantising import quantise_onnx

    net = open_supernet("fmnist_mbv3").at_precisions([FLOAT32, INT8])
    cost = build("weights_bytes", Target(net))
    network = net.of_networks.space.smallest()
    shape = images_shape(net.of_networks, network)
    files = {32: tmp_path / "float32.onnx", 8: tmp_path / "int8.onnx"}
    export_onnx(untrained(net.of_networks, network), shape[0], shape[1], files[32])
    quantise_onnx(files[32], files[8], random_images((2, *shape)))
    for bits, file in files.items():
        tensors = [numpy_helper.to_array(found) for found in onnx.load(file).graph.initializer]
        # what stands for activations, one number a map, is not of weights
        stored = sum(tensor.nbytes for tensor in tensors if tensor.ndim)
        assert cost(net.space.arch({**network.values, "precision": bits})) == stored


def test_a_device_that_was_not_measured_at_a_precision_says_what_to_do(net: Supernet, tmp_path: Path) -> None:
    plain = open_device(str(tiny.write_device(net, tmp_path / "known.yaml")), net, print)
    with pytest.raises(InputError, match=r"no latency at int8.* oncefit profile known-int8 --precision int8"):
        build("latency_ms", Target(net, plain))
    assert device_costs(plain, net.precisions) == ()
    assert device_costs(plain, [FLOAT32]) == device_costs(plain)
    path = str(tmp_path / "known.yaml")
    with pytest.raises(InputError, match="was measured in fp32; give one that was measured in int8"):
        open_device(Variant(base=path, at={INT8: path}), net, print)


def test_a_device_keeps_its_other_precisions_in_its_file(
    net: Supernet, device: Device, tmp_path: Path
) -> None:
    from cost_models.device_files import write_device

    write_device(device, tmp_path / "kept.yaml")
    again = open_device(str(tmp_path / "kept.yaml"), net, print)
    assert again == device
    assert again.digest == device.digest
    assert device.model_copy(update={"at": None}).digest != device.digest
