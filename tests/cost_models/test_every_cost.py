"""What every registered cost must do: a line in ``COSTS`` is tested by being there.

On the embedded supernet and on one whose archs can all be listed, with a device whose
prices are known. :data:`TRUTH` holds each cost as a plain sum over layers, written
from its definition in docs/costs.md and not with the code of ``cost_models``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import yaml

from cost_models.devices import open_device
from cost_models.grid import GRID
from cost_models.protocol import CostModel, Target
from cost_models.registry import COSTS, OF_A_DEVICE, Cost, build
from supernet.archs.arch import Arch
from supernet.archs.layers import Layer
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from tests.helpers import tiny

GRAMS_PER_KWH = yaml.safe_load(GRID.read_text())["regions"][tiny.REGION]["grams_per_kwh"]


def weights(layer: Layer) -> int:
    inputs = {"conv": layer.in_channels, "linear": layer.in_channels, "depthwise": 1}.get(layer.op, 0)
    return inputs * layer.out_channels * layer.kernel**2


def elements(layer: Layer) -> tuple[int, int]:
    return layer.in_channels * layer.in_size**2, layer.out_channels * layer.out_size**2


def macs(layer: Layer) -> int:
    return weights(layer) * layer.out_size**2


def params(layer: Layer) -> int:
    return weights(layer) + (layer.bias + 2 * layer.norm) * layer.out_channels


def milliseconds(layer: Layer) -> float:
    def padded(channels: int) -> int:
        return math.ceil(channels / 16) * 16

    work = {
        "conv": padded(layer.in_channels) * padded(layer.out_channels) * layer.kernel**2 * layer.out_size**2,
        "depthwise": padded(layer.out_channels) * layer.kernel**2 * layer.out_size**2,
        "linear": layer.in_channels * layer.out_channels,
    }
    gate = layer.op == "conv" and layer.out_size == 1
    kind = f"{layer.op}{layer.kernel}" if layer.op in ("conv", "depthwise") else layer.op
    kind = "squeeze" if gate else kind
    prices = tiny.PRICES_MS
    total = prices[f"{kind}.calls"] + prices[f"{kind}.bytes"] * 4 * (weights(layer) + sum(elements(layer)))
    if layer.op in work:
        total += prices[f"{kind}.work"] * work[layer.op]
    if layer.act is not None:
        total += prices[f"{layer.act}.bytes"] * 8 * elements(layer)[1]
    if layer.norm:
        total += prices["norm.bytes"] * 8 * elements(layer)[1]
    return total


def latency_ms(layers: Sequence[Layer]) -> float:
    return tiny.INTERCEPT_MS + sum(map(milliseconds, layers))


def energy_mj(layers: Sequence[Layer]) -> float:
    moved = sum(4 * (weights(layer) + sum(elements(layer))) for layer in layers)
    picojoules = tiny.PJ_PER_MAC * sum(map(macs, layers)) + tiny.PJ_PER_BYTE * moved
    return tiny.STATIC_W * latency_ms(layers) + picojoules * 1e-9  # a watt is a millijoule a millisecond


def co2e_mg(layers: Sequence[Layer]) -> float:
    kilowatt_hours = energy_mj(layers) / 1e3 / 3.6e6
    return kilowatt_hours * GRAMS_PER_KWH * 1e3


TRUTH: dict[str, Callable[[Sequence[Layer]], float]] = {
    "macs": lambda layers: sum(map(macs, layers)),
    "params": lambda layers: sum(map(params, layers)),
    "peak_memory_bytes": lambda layers: max(4 * (sum(elements(x)) + x.held) for x in layers),
    "weights_bytes": lambda layers: sum(
        4 * (weights(x) + (x.bias or x.norm) * x.out_channels) for x in layers if weights(x)
    ),
    "latency_ms": latency_ms,
    "energy_mj": energy_mj,
    "co2e_mg": co2e_mg,
    # of 600 held-out errors the k-th, of which P(Binomial(600, confidence) < k) is first at least 3 / 4
    "latency_p80_ms": lambda layers: latency_ms(layers) * math.exp(0.0974),
    "latency_p90_ms": lambda layers: latency_ms(layers) * math.exp(0.109),
    "latency_p95_ms": lambda layers: latency_ms(layers) * math.exp(0.1148),
    "latency_p99_ms": lambda layers: latency_ms(layers) * math.exp(0.1192),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Target:
    return target(tiny.open_tiny(tmp_path_factory.mktemp("tiny")), tmp_path_factory)


@pytest.fixture(scope="module")
def embedded(supernet: Supernet, tmp_path_factory: pytest.TempPathFactory) -> Target:
    return target(supernet, tmp_path_factory)


def target(supernet: Supernet, folders: pytest.TempPathFactory) -> Target:
    path = tiny.write_device(supernet, folders.mktemp("device") / "known.yaml")
    return Target(supernet, open_device(str(path), supernet, pytest.fail))


@pytest.fixture(params=COSTS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def cost(name: str, embedded: Target) -> Cost:
    return build(name, embedded)


def some_archs(supernet: Supernet) -> list[Arch]:
    space = supernet.space
    sample = space.decode(space.sample(50, np.random.default_rng(5)))
    return [space.largest(), space.middle(), space.smallest(), *sample]


def test_it_is_a_cost_model_of_its_name(name: str, cost: Cost) -> None:
    assert isinstance(cost.model, CostModel)
    assert cost.name == name


def test_it_equals_a_plain_sum_over_layers(name: str, cost: Cost, embedded: Target) -> None:
    if name not in TRUTH:
        pytest.fail(f"write the definition of {name} as a function of layers, and its line in TRUTH")
    for arch in some_archs(embedded.supernet):
        assert cost(arch) == pytest.approx(TRUTH[name](embedded.supernet.layers(arch)), rel=1e-12)


def test_it_is_finite_and_positive_and_grows_with_the_network(cost: Cost) -> None:
    values = cost.batch(cost.space.sample(10_000, np.random.default_rng(4)))
    assert np.isfinite(values).all()
    assert (values > 0).all()
    assert cost(cost.space.smallest()) < cost(cost.space.middle()) < cost(cost.space.largest())


def test_a_batch_of_100000_equals_one_at_a_time(cost: Cost) -> None:
    codes = cost.space.sample(100_000, np.random.default_rng(1))
    batch = cost.batch(codes)
    some = np.random.default_rng(2).choice(len(codes), 300, replace=False)
    assert [cost(arch) for arch in cost.space.decode(codes[some])] == list(batch[some])


def test_each_choice_made_alone_costs_what_a_batch_says(cost: Cost) -> None:
    space = cost.space
    codes = space.sample(20, np.random.default_rng(6))
    told, place = cost.changed(codes), 0
    for column, size in enumerate(space.sizes.tolist()):
        for choice in range(size):
            rows = codes.copy()
            rows[:, column] = choice
            assert np.allclose(told[:, place], cost.batch(space.canonical(rows)), rtol=1e-12)
            place += 1
    assert told.shape == (20, place)


def test_an_empty_batch_is_empty(cost: Cost) -> None:
    assert cost.batch(cost.space.encode([])).shape == (0,)


def test_its_reach_is_reached_and_beyond_every_sample(cost: Cost) -> None:
    reach = cost.reach()
    batch = cost.batch(cost.space.sample(20_000, np.random.default_rng(3)))
    assert reach.minimum <= batch.min()
    assert reach.maximum >= batch.max()
    assert (cost(reach.smallest), cost(reach.largest)) == (reach.minimum, reach.maximum)


def test_its_reach_is_that_of_all_archs(name: str, small: Target) -> None:
    cost, archs = build(name, small), tiny.all_archs(small.supernet)
    assert len(archs) == small.supernet.space.size == 800
    values = cost.batch(cost.space.encode(archs))
    assert list(values) == [cost(arch) for arch in archs]
    truth = [TRUTH[name](small.supernet.layers(arch)) for arch in archs]
    assert list(values) == pytest.approx(truth, rel=1e-12)
    reach = cost.reach()
    assert reach.exact
    assert reach.minimum == pytest.approx(min(truth), rel=1e-12)
    assert reach.maximum == pytest.approx(max(truth), rel=1e-12)


def test_it_asks_for_a_device_only_where_it_needs_one(name: str, supernet: Supernet) -> None:
    if name in OF_A_DEVICE:
        with pytest.raises(InputError, match="needs a device: give --device host"):
            build(name, Target(supernet))
    else:
        assert build(name, Target(supernet))(supernet.space.smallest()) > 0
