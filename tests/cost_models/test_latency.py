"""The latency model: a known truth is recovered, real subnets are measured, what does not fit is refused."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cost_models import latency, latency_fit, profiling
from cost_models.device import Device, LatencyModel, Power
from cost_models.feature_sums import feature_sums
from cost_models.fit_design import choose_archs
from cost_models.layer_features import features
from cost_models.profiling import LatencyMeasurement, measure_in_turns, measure_latency_ms
from cost_models.protocol import Target
from cost_models.robust_prices import FOLDS
from supernet.archs.arch import Arch
from supernet.archs.layers import Layer
from supernet.bundles.onnx_export import export_onnx
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet

INTERCEPT_MS = 0.004


@pytest.fixture(scope="module")
def net() -> Supernet:
    return open_supernet("fmnist_mbv3")


def true_ms(net: Supernet, arch: Arch) -> float:
    """A made-up machine whose price of a layer depends on its kind; written without the model's code."""
    total = INTERCEPT_MS
    for layer in net.layers(arch):
        total += 0.0005
        if layer.op in ("conv", "depthwise"):
            blocks = -(-layer.out_channels // 16) * (
                -(-layer.in_channels // 16) * 16 if layer.op == "conv" else 1
            )
            total += (
                16 * blocks * layer.kernel**2 * layer.out_size**2 * (2e-8 if layer.op == "conv" else 9e-8)
            )
        if layer.act == "h_swish":
            total += 4e-8 * layer.out_channels * layer.out_size**2
    return total


def exactly(ms: float) -> LatencyMeasurement:
    return LatencyMeasurement(ms, ms, ms, 1)


def model_of(net: Supernet, **change: object) -> LatencyModel:
    archs = choose_archs(net, 60, np.random.default_rng(0)).archs
    return latency_fit.fit(net, archs, [exactly(true_ms(net, a)) for a in archs]).model_copy(update=change)


def device_of(model: LatencyModel | None) -> Device:
    power = Power(static_w=1, pj_per_mac=1, pj_per_byte=1, source="made up")
    return Device(name="toy", runtime="none", threads=1, region="WORLD", power=power, latency=model)


def test_the_fit_recovers_a_known_additive_truth_on_unseen_archs(net: Supernet) -> None:
    model = model_of(net)
    predict = latency.latency_ms(Target(net, device_of(model)))
    unseen = net.space.decode(net.space.sample(50, np.random.default_rng(5)))
    assert [predict(a) for a in unseen] == pytest.approx([true_ms(net, a) for a in unseen], rel=2e-3)
    assert model.error_percent < 0.1
    assert (model.subnets, model.folds, model.spread_percent) == (60, FOLDS, 0)
    assert model.held_out is not None
    assert 100 * np.median(np.abs(model.held_out)) == pytest.approx(model.error_percent, abs=0.01)


def test_the_cross_validated_error_tells_of_noise(net: Supernet) -> None:
    archs = choose_archs(net, 60, np.random.default_rng(0)).archs
    noise = np.exp(np.random.default_rng(1).normal(0, 0.1, len(archs)))
    model = latency_fit.fit(
        net, archs, [exactly(true_ms(net, a) * n) for a, n in zip(archs, noise, strict=True)]
    )
    assert 3 < model.error_percent < 20
    assert min(model.coefficients.values()) >= 0


def test_no_device_and_no_model_say_what_to_do(net: Supernet) -> None:
    with pytest.raises(InputError, match="latency_ms needs a device: give --device host"):
        latency.latency_ms(Target(net))
    with pytest.raises(InputError, match="device 'toy' has no latency model: --device host"):
        latency.latency_ms(Target(net, device_of(None)))


def test_a_model_of_another_space_is_refused_and_both_are_named(net: Supernet) -> None:
    other = model_of(net, supernet="other_net", fingerprint="0123456789abcdef")
    with pytest.raises(InputError) as caught:
        latency.latency_ms(Target(net, device_of(other)))
    for part in ("other_net", "0123456789abcdef", "fmnist_mbv3", net.fingerprint):
        assert part in str(caught.value)


def test_an_unmeasured_or_unknown_layer_is_an_error_never_zero(net: Supernet) -> None:
    model = model_of(net)
    lacking = {k: v for k, v in model.coefficients.items() if not k.startswith("depthwise7")}
    with pytest.raises(InputError, match=r"no coefficient 'depthwise7.calls', which layer stage2.block1"):
        latency.latency_ms(Target(net, device_of(model.model_copy(update={"coefficients": lacking}))))
    with pytest.raises(InputError, match=r"layer odd: no latency is known for operation 'fft'; known: conv"):
        latency.layer_ms(model, Layer("odd", "fft", 8, 8, 4, 4), "toy")


def test_the_features_of_a_layer_by_hand() -> None:
    point = Layer("p", "conv", 24, 40, 20, 20, act="h_swish")
    moved = 4 * (24 * 400 + 40 * 400 + 24 * 40)
    assert features(point) == {
        "conv1.calls": 1, "conv1.work@20": 32 * 48 * 400, "conv1.bytes@20": moved, "h_swish.bytes@20": 8 * 40 * 400,
    }  # fmt: skip
    between = features(Layer("d", "depthwise", 40, 40, 14, 14, kernel=5, norm=True))
    assert between["depthwise5.work@10"] + between["depthwise5.work@20"] == pytest.approx(48 * 25 * 196)
    assert between["depthwise5.work@20"] / between["norm.bytes@20"] == pytest.approx(48 * 25 / (8 * 40))
    assert between["norm.bytes@20"] == pytest.approx(8 * 40 * 196 * math.log2(14 / 10))
    tiny, huge = Layer("t", "add", 40, 40, 3, 3), Layer("h", "add", 40, 40, 300, 300)
    assert features(tiny) == {"add.calls": 1, "add.bytes@5": 8 * 40 * 9}
    assert features(huge) == {"add.calls": 1, "add.bytes@80": 8 * 40 * 90_000}
    gate = Layer("g", "conv", 96, 24, 1, 1, act="relu")
    assert features(gate)["squeeze.work"] == 96 * 32
    assert features(Layer("l", "linear", 256, 10, 1, 1))["linear.work"] == 2560


def test_sums_over_a_population_are_those_of_the_walk(net: Supernet) -> None:
    sample = net.space.sample(20, np.random.default_rng(3))
    known = feature_sums(net)
    for arch, row in zip(net.space.decode(sample), known.of(sample), strict=True):
        walked: dict[str, float] = {}
        for layer in net.layers(arch):
            for name, amount in features(layer).items():
                walked[name] = walked.get(name, 0) + amount
        assert {n: a for n, a in zip(known.names, row, strict=True) if a} == pytest.approx(walked)


def test_a_slow_subnet_is_warm_after_a_slice_and_a_fast_one_after_ten_runs() -> None:
    now, runs = 0.0, 0

    def run_for(seconds: float) -> int:
        nonlocal now, runs
        now, runs = 0.0, 0

        def run() -> None:
            nonlocal now, runs
            now += seconds
            runs += 1

        profiling.warm_up(run, 0.015, lambda: now)
        return runs

    assert [run_for(seconds) for seconds in (0.0001, 0.004, 0.1)] == [profiling.WARM_UP_RUNS, 4, 1]


def test_runners_take_turns_and_rounds_give_median_and_range() -> None:
    now, turns = 0.0, []
    durations = {"a": itertools.cycle([0.001]), "b": itertools.cycle([0.002])}

    def runner(name: str) -> Callable[[], None]:
        def run() -> None:
            nonlocal now
            now += next(durations[name])
            turns.append(name)

        return run

    a, b = measure_in_turns([runner("a"), runner("b")], rounds=3, slice_s=0.01, clock=lambda: now)
    assert [name for name, _ in itertools.groupby(turns)] == ["a", "b"] * 3
    assert (a.median_ms, a.low_ms, a.high_ms, a.rounds) == pytest.approx((1, 1, 1, 3))
    assert b.median_ms == pytest.approx(2)
    assert LatencyMeasurement(1.2, 1.0, 3.0, 5).spread == pytest.approx(0.2)


def test_a_busy_machine_is_timed_again_a_few_times_and_the_quietest_attempt_counts() -> None:
    """Recorded on a machine while other programs came and went: medians and quietest rounds in ms."""
    recorded = [(0.171, 0.099), (0.143, 0.098), (0.152, 0.1), (0.1, 0.099)]
    all_of_them = [LatencyMeasurement(median, low, 0.3, 12) for median, low in recorded]

    def attempts(measurements: list[LatencyMeasurement]) -> tuple[LatencyMeasurement, int]:
        left = iter(measurements)
        found = profiling.quietest(lambda: next(left))
        return found, len(measurements) - len(list(left))

    assert attempts(all_of_them[::-1]) == (all_of_them[3], 1)
    assert attempts([all_of_them[0], all_of_them[3], all_of_them[1]]) == (all_of_them[3], 2)
    found, count = attempts(all_of_them)
    assert (found, count, found.busy) == (all_of_them[1], profiling.ATTEMPTS, True)
    edge = LatencyMeasurement(1.0999, 1.0, 2.0, 12)
    assert not edge.busy
    assert LatencyMeasurement(1.11, 1.0, 1.2, 12).busy


def test_real_subnets_take_longer_the_larger_they_are(net: Supernet) -> None:
    archs = [net.space.smallest(), net.space.largest()]
    lines: list[str] = []
    for _ in range(10):  # on a busy machine the quietest of a few rounds may be a loud one
        small, large = profiling.profile(net, archs, lines.append, rounds=3)
        assert 0 < small.low_ms <= small.median_ms <= small.high_ms
        if small.low_ms < large.low_ms:
            break
    assert small.low_ms < large.low_ms
    assert "loading subnets: 2 of 2" in lines


def test_an_exported_file_is_measured_and_a_wrong_one_refused(net: Supernet, tmp_path: Path) -> None:
    path, arch = tmp_path / "model.onnx", net.space.smallest()
    export_onnx(net.family.static(arch).eval(), 1, arch.resolution, path)
    found = measure_latency_ms(path, 1, arch.resolution, rounds=2, slice_s=0.002)
    assert found.rounds == 2
    assert found.median_ms > 0
    with pytest.raises(InputError, match=r"does not take images of shape \(1, 3, 18, 18\)"):
        measure_latency_ms(path, 3, arch.resolution)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"cannot open .*model.onnx as an ONNX model"):
        measure_latency_ms(path, 1, arch.resolution)
