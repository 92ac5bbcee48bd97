"""Latency of real subnets on this host with the settings of the device ``host``: ONNX Runtime, one thread, batch 1.

Each of these moves the figures, and so do warm caches and graph optimisations (:mod:`cost_models.runtimes`);
another setup is a device of its own, which ``oncefit profile`` makes (:mod:`cost_models.measuring`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from cost_models.drift import quiet_latencies
from cost_models.host_facts import cpu_name as cpu_name
from cost_models.measurements import Setup, Timing
from cost_models.measuring import measure, random_images, said, settings_of
from cost_models.runtimes.registry import runtime_of
from cost_models.runtimes.run_onnxruntime import PROVIDER as PROVIDER
from cost_models.runtimes.run_onnxruntime import SETTINGS, on_file
from cost_models.runtimes.run_onnxruntime import open_session as open_session
from cost_models.timing import BUSY_PERCENT as BUSY_PERCENT
from cost_models.timing import ROUNDS, SLICE_S, WARM_UP_RUNS
from cost_models.timing import LatencyMeasurement as LatencyMeasurement
from cost_models.timing import measure_in_turns as measure_in_turns
from cost_models.timing import warm_up as warm_up
from supernet.archs.arch import Arch
from supernet.families.catalog import Supernet
from supernet.messages import Say

DEFAULT = Setup()
RUNTIME = DEFAULT.runtime
THREADS = DEFAULT.threads
"""Threads within and between operators."""
BATCH = DEFAULT.batch
ATTEMPTS = 3
"""How often at most a subnet is timed to find the machine quiet."""


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
    supernet: Supernet,
    archs: Sequence[Arch],
    report: Say,
    rounds: int = ROUNDS,
    setup: Setup = DEFAULT,
) -> list[LatencyMeasurement]:
    """Latencies of subnets of ``supernet`` with untrained weights (they do not change the time), corrected for drift."""
    return quiet_latencies(measure(supernet, archs, setup, said(report), rounds))


def runner(onnx_path: Path, in_channels: int, resolution: int) -> Callable[[], object]:
    """A function that runs the model of a file once, on fixed random images. Raises InputError for another model's."""
    return on_file(onnx_path, random_images((BATCH, in_channels, resolution, resolution)), DEFAULT).run


def settings(setup: Setup = DEFAULT) -> dict[str, str | int | float]:
    """The pinned settings, for the record of a device: what its latencies depend on besides versions and CPU."""
    timing = Timing(slice_s=SLICE_S, warm_up_runs=WARM_UP_RUNS)
    return {**settings_of(setup, timing), **SETTINGS, "rounds": ROUNDS}


def versions() -> dict[str, str]:
    """Versions that the figures depend on; Python's, because its call is a part of a short inference."""
    return runtime_of(RUNTIME).versions()
