"""torch's two ONNX exporters side by side: seconds to export, latency of what they write, same logits.

python benchmarks/onnx_exporters.py [--json]

The newer exporter needs a package that oncefit does not: pip install onnxscript
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cost_models.profiling import measure_in_turns, open_session, runner
from supernet.archs.arch import Arch
from supernet.bundles.onnx_export import INPUT, OPSET, export_onnx
from supernet.families.catalog import open_supernet

EXPORTS, ROUNDS = 3, 20
"""Exports are timed in seconds of the processor, latencies by their quietest round: other programs disturb both."""


def with_torchscript(subnet: nn.Module, resolution: int, path: Path) -> None:
    export_onnx(subnet, 1, resolution, path)


def with_torch_export(subnet: nn.Module, resolution: int, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            subnet, (torch.zeros(2, 1, resolution, resolution),), str(path), dynamo=True, opset_version=OPSET + 1,
            input_names=[INPUT], dynamic_shapes=({0: torch.export.Dim("n")},), external_data=False, verbose=False,
        )  # fmt: skip


EXPORTERS: dict[str, Callable[[nn.Module, int, Path], None]] = {
    "torchscript": with_torchscript,
    "torch.export": with_torch_export,
}


def main() -> None:
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        sys.exit("the newer exporter needs onnxscript: .venv/bin/pip install onnxscript")
    torch.set_num_threads(1)
    space = open_supernet("fmnist_mbv3").space
    figures = {
        size: compare(arch) for size, arch in {"small": space.smallest(), "large": space.largest()}.items()
    }
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    for size, found in figures.items():
        for name, value in found.items():
            print(f"{size:6} {name:32} {value:.3g}")


def compare(arch: Arch) -> dict[str, float]:
    subnet = open_supernet("fmnist_mbv3").family.static(arch).eval()
    images = np.random.default_rng(0).standard_normal(
        (2, 1, arch.resolution, arch.resolution), dtype=np.float32
    )
    figures, runners, logits = {}, [], []
    with tempfile.TemporaryDirectory(prefix="oncefit-") as folder:
        for name, export in EXPORTERS.items():
            path = Path(folder) / f"{name}.onnx"
            seconds = []
            for _ in range(EXPORTS):
                began = time.process_time()
                export(subnet, arch.resolution, path)
                seconds.append(time.process_time() - began)
            figures[f"{name}, s to export"] = min(seconds)
            runners.append(runner(path, 1, arch.resolution))
            logits.append(open_session(path).run(None, {INPUT: images})[0])
    for name, measured in zip(EXPORTERS, measure_in_turns(runners, ROUNDS), strict=True):
        figures[f"{name}, latency in ms"] = measured.low_ms
    return {**figures, "largest difference of logits": float(np.abs(logits[0] - logits[1]).max())}


if __name__ == "__main__":
    main()
