"""Raw measurements that are given and not taken, and a device that is this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from cost_models import profiling
from cost_models.measurements import (
    Measurements,
    Reference,
    Setup,
    Timing,
    measured_arch,
    readings_of,
    subnets_of,
)
from supernet.archs.arch import Arch
from supernet.families.catalog import Supernet
from tests.helpers import tiny

EVERY = 8


def measured_of(supernet: Supernet, setup: Setup, rounds_ms: Mapping[Arch, Sequence[float]]) -> Measurements:
    """The rounds of some archs, on a machine whose reference is never disturbed."""
    rounds = len(next(iter(rounds_ms.values())))
    quiet = (1.0,) * readings_of(len(rounds_ms), EVERY)
    return Measurements(
        supernet=supernet.name,
        fingerprint=supernet.fingerprint,
        setup=setup,
        timing=Timing(slice_s=0.001, warm_up_runs=1),
        versions={},
        cpu=profiling.cpu_name(),
        date="2026-01-31",
        order=(tuple(range(len(rounds_ms))),) * rounds,
        subnets=subnets_of(rounds_ms, rounds_ms.values()),
        reference=Reference(
            arch=measured_arch(supernet.space.middle()), every=EVERY, rounds_ms=(quiet,) * rounds
        ),
    )


def write_device_here(supernet: Supernet, path: Path) -> Path:
    """A device whose prices are made up and that is this machine, with ONNX Runtime and one thread."""
    known = yaml.safe_load(tiny.write_device(supernet, path).read_text())
    here = {"name": "bench", "cpu": profiling.cpu_name(), "runtime": "onnxruntime", "threads": 1}
    path.write_text(yaml.safe_dump(known | here))
    return path
