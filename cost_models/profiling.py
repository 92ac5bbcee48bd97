"""Latency of real subnets on this host, measured with ONNX Runtime.

Settings are pinned by the constants below, because each of them moves the figures:
one thread, batch 1, warm caches, all graph optimisations. Subnets are measured in
turns, round after round, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from supernet.arch import Arch
from supernet.catalog import Supernet
from supernet.errors import InputError
from supernet.messages import Say

RUNTIME = "onnxruntime"
PROVIDER = "CPUExecutionProvider"
THREADS = 1
"""Threads within and between operators."""
BATCH = 1
WARM_UP_RUNS = 10
"""Runs, at most, before the first timed one of a subnet in a round: caches and branch predictors."""
SLICE_S = 0.015
"""Seconds that a subnet is timed for in one round."""
ROUNDS = 12
BUSY_PERCENT = 10.0
"""Spread of rounds above which a machine is busy: its times say nothing of a subnet, and a fit to them is not kept."""
ATTEMPTS = 3
"""How often at most a subnet is timed to find the machine quiet."""
INPUT_SEED = 0


@dataclass(frozen=True)
class LatencyMeasurement:
    """Milliseconds of one inference: each round gives a median; these are their median, least and greatest.

    The least is what a latency model is fitted to: other programs only ever slow a round
    down (by half, where two virtual processors share a core), and the quietest round of
    each subnet is alike for all of them.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    rounds: int

    @property
    def spread(self) -> float:
        """By which fraction the median round is slower than the quietest: near 0 on a quiet machine."""
        return self.median_ms / self.low_ms - 1

    @property
    def busy(self) -> bool:
        """Whether other programs slowed the rounds down so much that their median is no verdict on the subnet."""
        return 100 * self.spread > BUSY_PERCENT


def measure_latency_ms(
    onnx_path: Path, in_channels: int, resolution: int, rounds: int = ROUNDS, slice_s: float = SLICE_S
) -> LatencyMeasurement:
    """Latency of an exported subnet at batch 1, timed again where the machine is busy.

    Raises InputError for a file that is no such model.
    """
    run = runner(onnx_path, in_channels, resolution)
    return quietest(lambda: measure_in_turns([run], rounds, slice_s)[0])


def quietest(measure: Callable[[], LatencyMeasurement], attempts: int = ATTEMPTS) -> LatencyMeasurement:
    """The first of at most ``attempts`` measurements that is not of a busy machine, else the one that spreads least."""
    seen: list[LatencyMeasurement] = []
    while not seen or (seen[-1].busy and len(seen) < attempts):
        seen.append(measure())
    return min(seen, key=lambda found: found.spread)


def profile(
    supernet: Supernet, archs: Sequence[Arch], report: Say, rounds: int = ROUNDS
) -> list[LatencyMeasurement]:
    """Latencies of subnets of ``supernet``, exported with untrained weights (they do not change the time)."""
    from supernet.onnx_export import export_onnx

    runners = []
    with tempfile.TemporaryDirectory(prefix="oncefit-") as folder:
        path = Path(folder) / "model.onnx"
        for i, arch in enumerate(archs, 1):
            in_channels = supernet.layers(arch)[0].in_channels
            export_onnx(supernet.family.static(arch).eval(), in_channels, arch.resolution, path)
            runners.append(runner(path, in_channels, arch.resolution))
            if i % 10 == 0 or i == len(archs):
                report(f"exported {i} of {len(archs)} subnets")
    report(f"measuring {len(archs)} subnets in {rounds} rounds, {THREADS} thread, batch {BATCH}")
    return measure_in_turns(runners, rounds)


def runner(onnx_path: Path, in_channels: int, resolution: int) -> Callable[[], object]:
    """A function that runs the model of a file once, on fixed random images."""
    session = open_session(onnx_path)
    wanted = (BATCH, in_channels, resolution, resolution)
    images = np.random.default_rng(INPUT_SEED).standard_normal(wanted, dtype=np.float32)
    inputs = {session.get_inputs()[0].name: images}
    run = session.run
    try:
        run(None, inputs)
    except Exception as error:  # onnxruntime's exceptions share no public base
        raise InputError(f"{onnx_path} does not take images of shape {wanted}: {error}") from error
    return lambda: run(None, inputs)


def open_session(onnx_path: Path) -> Any:
    """An ONNX Runtime session with the pinned settings. Raises InputError for a file that is no model."""
    import onnxruntime as ort  # type: ignore[import-untyped, unused-ignore]

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = THREADS
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    try:
        return ort.InferenceSession(str(onnx_path), options, providers=[PROVIDER])
    except Exception as error:  # onnxruntime's exceptions share no public base
        raise InputError(f"cannot open {onnx_path} as an ONNX model: {error}") from error


def measure_in_turns(
    runners: Sequence[Callable[[], object]],
    rounds: int,
    slice_s: float = SLICE_S,
    clock: Callable[[], float] = time.perf_counter,
) -> list[LatencyMeasurement]:
    """Time each runner for ``slice_s`` in every round, all of them before the next round begins."""
    medians: list[list[float]] = [[] for _ in runners]
    for _ in range(rounds):
        for run, seen in zip(runners, medians, strict=True):
            seen.append(median_ms(run, slice_s, clock))
    return [LatencyMeasurement(statistics.median(m), min(m), max(m), rounds) for m in medians]


def median_ms(run: Callable[[], object], slice_s: float, clock: Callable[[], float]) -> float:
    """Median milliseconds of ``run`` over ``slice_s`` seconds, after a warm-up; at least one run."""
    warm_up(run, slice_s, clock)
    times = []
    end = clock() + slice_s
    while True:
        start = clock()
        run()
        stop = clock()
        times.append(stop - start)
        if stop >= end:
            return statistics.median(times) * 1e3


def warm_up(run: Callable[[], object], slice_s: float, clock: Callable[[], float]) -> None:
    """``WARM_UP_RUNS`` runs, or fewer of a subnet that is warm and slow: they take ``slice_s`` at most, or one."""
    end = clock() + slice_s
    for _ in range(WARM_UP_RUNS):
        run()
        if clock() >= end:
            return


def settings() -> dict[str, str | int | float]:
    """The pinned settings, for the record of a device: what its latencies depend on besides versions and CPU."""
    return {
        "runtime": RUNTIME, "threads": THREADS, "provider": PROVIDER, "execution": "sequential", "graph_optimization": "all", "batch": BATCH,
        "rounds": ROUNDS, "slice_s": SLICE_S, "warm_up_runs": WARM_UP_RUNS,
    }  # fmt: skip


def versions() -> dict[str, str]:
    """Versions that the figures depend on; Python's, because its call is a part of a short inference."""
    return {RUNTIME: version(RUNTIME), "python": platform.python_version()}


def cpu_name() -> str:
    """The processor as the operating system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"
