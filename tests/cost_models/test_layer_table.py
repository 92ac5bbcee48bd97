"""A table of layers that are measured here: complete for every arch, and true to a machine whose layers' times are known."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost_models import layer_table, measuring
from cost_models.device import Device, LatencyTable
from cost_models.device_files import write_device
from cost_models.devices import open_device
from cost_models.latency import latency_ms, latency_std_ms
from cost_models.latency_bound import bound_of
from cost_models.layer_table import LAUNCH, LayerPlan, plan_layers
from cost_models.measurements import Measurements, Setup
from cost_models.measuring import LoadedSubnets, measure_loaded, said
from cost_models.profile_here import profile_here
from cost_models.protocol import Target
from cost_models.published_tables import FORMATS
from cost_models.runtimes.protocol import Loaded
from cost_models.runtimes.registry import runtime_of
from supernet import documents
from supernet.archs.arch import Arch
from supernet.archs.layers import Layer
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from tests.helpers.tiny import all_archs, open_tiny

LAUNCH_MS, WARMTH = 0.005, 0.8
"""Of a made-up machine: a call, and the share that layers take where caches are warm."""
OVERHEADS_MS = (0.02, -0.01)
"""What a whole subnet takes beside its layers, or does not take."""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Supernet:
    return open_tiny(tmp_path_factory.mktemp("tiny"))


def known_ms(layer: Layer) -> float:
    """What a layer takes on the made-up machine, whatever it is called."""
    return 0.003 + 2e-7 * layer.macs + 1e-7 * (layer.in_elements + layer.out_elements)


def piece_ms(key_layers: tuple[Layer, ...]) -> float:
    return sum(map(known_ms, key_layers))


def made_up(plan: LayerPlan, overhead_ms: float) -> Measurements:
    """What is measured on a machine whose clock moves by known times only."""
    now = 0.0

    def loaded(ms: float) -> Loaded:
        def run() -> None:
            nonlocal now
            now += ms / 1e3

        return Loaded(run, lambda: np.zeros((1, 1)), {})

    def whole_ms(arch: Arch) -> float:
        return overhead_ms + WARMTH * sum(map(known_ms, plan.supernet.layers(arch)))

    reference = plan.supernet.space.middle()
    alone = {
        key: loaded(LAUNCH_MS if key == LAUNCH else LAUNCH_MS + piece_ms(layers))
        for key, layers in plan.layers.items()
    }
    subnets = tuple(loaded(whole_ms(arch)) for arch in plan.archs)
    found = LoadedSubnets(
        plan.supernet, plan.archs, Setup(), runtime_of("onnxruntime"), subnets, reference,
        loaded(whole_ms(reference)), alone,
    )  # fmt: skip
    ticking = partial(measuring.take_rounds, clock=lambda: now)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "take_rounds", ticking)
        return measure_loaded(found, said(str), rounds=3, slice_s=0.001)


@pytest.fixture(scope="module")
def plan(net: Supernet) -> LayerPlan:
    return plan_layers(net, None, 10, 0)


@pytest.fixture(scope="module")
def measured(plan: LayerPlan) -> Measurements:
    return made_up(plan, OVERHEADS_MS[0])


@pytest.fixture(scope="module")
def table(plan: LayerPlan, measured: Measurements) -> LatencyTable:
    return plan.latency(measured)


# -- a machine whose times are known -----------------------------------------------------


def test_a_machine_of_known_layers_gives_back_their_times(plan: LayerPlan, table: LatencyTable) -> None:
    for resolution, needed in plan.needed.items():
        entries = table.tables[resolution].entries
        assert entries.keys() == needed.keys()
        for key, layers in needed.items():
            assert entries[key][0] == pytest.approx(piece_ms(layers), rel=1e-5)
            assert entries[key][1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("overhead_ms", OVERHEADS_MS)
def test_whole_subnets_tell_what_the_sum_is_worth(net: Supernet, plan: LayerPlan, overhead_ms: float) -> None:
    """Every arch of the space has the latency of the made-up machine, which is no plain sum."""
    table = plan.latency(made_up(plan, overhead_ms))
    whole = table.whole
    assert whole is not None
    assert whole.intercept_ms == pytest.approx(overhead_ms, rel=1e-3)
    assert whole.factor == pytest.approx(WARMTH, rel=1e-3)
    assert whole.launch_ms == pytest.approx(LAUNCH_MS, rel=1e-5)
    assert (whole.subnets, whole.tested) == (10, 6)
    assert whole.worst_error_percent < 0.1
    cost = latency_ms(Target(net, Device(name="made-up", latency=table)))
    archs = all_archs(net)
    expected = [overhead_ms + WARMTH * sum(map(known_ms, net.layers(arch))) for arch in archs]
    assert cost.batch(net.space.encode(archs)) == pytest.approx(expected, rel=1e-3)
    reach = cost.reach()
    assert (reach.minimum, reach.maximum) == pytest.approx((min(expected), max(expected)), rel=1e-3)


def test_the_deviation_is_scaled_with_the_sum(net: Supernet, table: LatencyTable) -> None:
    assert table.whole is not None

    def shaky(part: dict[str, tuple[float, float | None]]) -> dict[str, tuple[float, float | None]]:
        return {key: (mean, 0.1 * mean) for key, (mean, _) in part.items()}

    parts = {r: part.model_copy(update={"entries": shaky(part.entries)}) for r, part in table.tables.items()}
    device = Device(name="made-up", latency=table.model_copy(update={"tables": parts}))
    arch = net.space.largest()
    sums = [piece_ms(piece) for piece in by_piece(net, arch)]
    found = latency_std_ms(Target(net, device))(arch)
    assert found == pytest.approx(0.1 * table.whole.factor * np.sqrt(np.sum(np.square(sums))), rel=1e-4)


def by_piece(net: Supernet, arch: Arch) -> list[tuple[Layer, ...]]:
    """The layers of each entry: those of a block share its name, others stand alone."""

    def block(layer: Layer) -> str:
        first, _, _ = layer.name.partition(".")
        return (
            ".".join(layer.name.split(".")[:2])
            if first.startswith("stage")
            else first
            if first == "first"
            else layer.name
        )

    return [tuple(group) for _, group in itertools.groupby(net.layers(arch), key=block)]


def test_a_launch_that_takes_all_leaves_a_hundredth(plan: LayerPlan, measured: Measurements) -> None:
    """Noise may make a launch slower than a small layer: nothing is free."""
    slow = [
        layer.model_copy(update={"rounds_ms": tuple(1e3 for _ in layer.rounds_ms)})
        if layer.key == LAUNCH
        else layer
        for layer in measured.layers or ()
    ]
    found = plan.latency(measured.model_copy(update={"layers": tuple(slow)}))
    for resolution, needed in plan.needed.items():
        for key, layers in needed.items():
            mean, _ = found.tables[resolution].entries[key]
            assert mean == pytest.approx(0.01 * (LAUNCH_MS + piece_ms(layers)), rel=1e-4)


# -- what is measured --------------------------------------------------------------------


@pytest.mark.parametrize("name", documents.names("supernets"))
def test_every_arch_has_all_its_layers_in_the_table(name: str) -> None:
    """At the resolutions that are measured; layers of one shape are measured once."""
    net = open_supernet(name)
    asked = net.space.by_name["resolution"].choices[:2]
    plan = plan_layers(net, asked, 10, 0)
    assert tuple(plan.needed) == asked
    assert len(
        {tuple(replace(layer, name="") for layer in layers) for layers in plan.layers.values()}
    ) == len(plan.layers)
    part = plan.supernet

    @settings(deadline=None, max_examples=40)
    @given(st.integers(0, 2**32 - 1))
    def check(seed: int) -> None:
        [arch] = part.space.decode(part.space.sample(1, np.random.default_rng(seed)))
        pieces = FORMATS["ofa"].pieces(net.layers(arch))
        needed = plan.needed[arch.resolution]
        assert {piece.key for piece in pieces} <= needed.keys() <= plan.layers.keys()
        walked = sum(layer.macs for layer in net.layers(arch))
        assert sum(layer.macs for piece in pieces for layer in needed[piece.key]) == walked

    check()


def test_as_many_resolutions_as_there_is_time_for_from_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    net = open_supernet("ofa_mbv3_w1.0")
    choices = net.space.by_name["resolution"].choices
    chosen = tuple(plan_layers(net, None, 10, 0).needed)
    assert 3 <= len(chosen) < len(choices)
    assert (chosen[0], chosen[-1]) == (choices[0], choices[-1])
    assert max(np.diff(chosen)) - min(np.diff(chosen)) <= choices[1] - choices[0]
    monkeypatch.setattr(layer_table, "LONGEST_S", 1.0)
    assert tuple(plan_layers(net, None, 10, 0).needed) == choices[-1:]
    told = plan_layers(net, [224, 128], 10, 0)
    assert tuple(told.needed) == (128, 224)
    assert told.told().startswith(
        f"measuring {len(told.layers) - 1} distinct layers and blocks of ofa_mbv3_w1.0 at "
    )


def test_what_cannot_be_is_refused(net: Supernet) -> None:
    with pytest.raises(InputError, match=r"--resolutions 10: tiny has not; its resolutions are 9, 16"):
        plan_layers(net, [9, 10], 10, 0)
    with pytest.raises(InputError, match=r"--layers needs at least --samples 6, got 5"):
        plan_layers(net, None, 5, 0)
    with pytest.raises(InputError, match=r"--resolutions are of a latency table: give --layers"):
        profile_here("x", net, Setup(), 10, 0, said(str), resolutions=[9])


def test_two_blocks_of_one_key_are_refused(net: Supernet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_table, "note10_key", lambda name, piece: "all alike")
    with pytest.raises(InputError, match="the key 'all alike' of a latency table stands for two different"):
        plan_layers(net, None, 10, 0)


# -- for real ----------------------------------------------------------------------------


@contextmanager
def fast() -> Iterator[None]:
    """Few and short rounds: what they measure is not looked at."""
    quick = partial(measuring.measure_loaded, rounds=3, slice_s=0.0005)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "measure_loaded", quick)
        yield


@pytest.fixture(scope="module")
def here(supernet: Supernet) -> Device:
    """The embedded supernet at one resolution, measured by onnxruntime."""
    with fast():
        return profile_here(
            "mine", supernet, Setup(), 10, 0, said(str), even_busy=True, layers=True, resolutions=[18]
        )


def test_a_measured_table_is_kept_and_read_as_any_device(
    here: Device, supernet: Supernet, tmp_path: Path
) -> None:
    write_device(here, tmp_path / "mine.yaml")
    device = open_device(str(tmp_path / "mine.yaml"), supernet, pytest.fail)
    assert device == here
    assert device.measurements is not None
    assert device.table is not None
    raw = {layer.key: layer.rounds_ms for layer in device.measurements.layers or ()}
    assert raw.keys() == device.table.tables[18].entries.keys() | {LAUNCH}
    assert (device.runtime, device.threads, device.power is not None) == ("onnxruntime", 1, True)


def test_its_sums_are_those_of_its_entries(here: Device, supernet: Supernet) -> None:
    assert here.table is not None
    whole, entries = here.table.whole, here.table.tables[18].entries
    assert whole is not None
    part = supernet.restricted({"resolution": [18]})
    cost = latency_ms(Target(part, here))
    for arch in part.space.decode(part.space.sample(30, np.random.default_rng(2))):
        pieces = FORMATS["ofa"].pieces(supernet.layers(arch))
        expected = whole.intercept_ms + whole.factor * sum(entries[piece.key][0] for piece in pieces)
        assert cost(arch) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(
        InputError, match=r"no resolution 23, 28; it has 18\. .* space: \{resolution: \[18\]\}"
    ):
        latency_ms(Target(supernet, here))


def test_its_bound_is_that_of_held_out_subnets(here: Device, supernet: Supernet) -> None:
    target = Target(supernet.restricted({"resolution": [18]}), here)
    assert here.table is not None
    assert here.table.whole is not None
    bound = bound_of(target, 0.8)
    assert bound.how.endswith("of 10 held-out measurements")
    assert bound.factor >= np.exp(here.table.whole.held_out[7])


def test_a_file_that_says_other_threads_is_refused(here: Device, supernet: Supernet, tmp_path: Path) -> None:
    write_device(here.model_copy(update={"threads": 2}), tmp_path / "mine.yaml")
    with pytest.raises(InputError, match="threads: 2 is not honoured"):
        open_device(str(tmp_path / "mine.yaml"), supernet, pytest.fail)


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_other_runtimes_measure_layers_too(net: Supernet, name: str) -> None:
    with fast():
        device = profile_here(
            "mine", net, Setup(runtime=name), 6, 0, said(str), even_busy=True, layers=True, resolutions=[9]
        )
    assert device.table is not None
    assert (
        latency_ms(Target(net.restricted({"resolution": [9]}), device))(
            net.restricted({"resolution": [9]}).space.largest()
        )
        > 0
    )
