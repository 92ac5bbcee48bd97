"""Predicted against measured latency on this host, for subnets that the fit has not seen.

python benchmarks/latency_error.py [--json]

Fits the host afresh (the cache is neither read nor written), then measures unseen
subnets in turns. For figures worth quoting let nothing else run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from datetime import date

import numpy as np

from cost_models import latency, profiling
from cost_models.device import Device
from cost_models.fit_design import choose_archs
from cost_models.host import FIT_SEED, FIT_SUBNETS, fit_host
from cost_models.protocol import Target
from supernet import documents
from supernet.families.catalog import Supernet, open_supernet
from supernet.messages import Say

UNSEEN = 20
UNSEEN_SEED = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--supernet", default="fmnist_mbv3")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    figures = measure(open_supernet(arguments.supernet), lambda line: print(line, file=sys.stderr))
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:40} {value:.3f}" if isinstance(value, float) else f"{name:40} {value}")


def measure(supernet: Supernet, report: Say) -> dict[str, object]:
    """Errors in percent of the measured latency, the spread between rounds, and seconds."""
    template = documents.read(documents.find("devices", "host"), Device)
    start = time.perf_counter()
    device = fit_host(template, supernet, report, date.today().isoformat())
    seconds = time.perf_counter() - start
    assert device.latency is not None
    seen = set(choose_archs(supernet, FIT_SUBNETS, np.random.default_rng(FIT_SEED)).archs)
    sample = supernet.space.decode(
        supernet.archs.space.sample(2 * UNSEEN, np.random.default_rng(UNSEEN_SEED))
    )
    archs = [arch for arch in dict.fromkeys(sample) if arch not in seen][:UNSEEN]
    measured = profiling.profile(supernet, archs, report)
    predict = latency.latency_ms(Target(supernet, device))
    quietest = [100 * abs(predict(a) / m.low_ms - 1) for a, m in zip(archs, measured, strict=True)]
    errors = [100 * (predict(a) / m.median_ms - 1) for a, m in zip(archs, measured, strict=True)]
    return {
        "cpu": device.cpu,
        "onnxruntime": device.versions["onnxruntime"],
        "fit_seconds": seconds,
        "fit_subnets": device.latency.subnets,
        "cross_validated_percent": device.latency.error_percent,
        "cross_validated_worst_percent": device.latency.worst_error_percent,
        "unseen_subnets": len(archs),
        "latency_ms_least": min(m.median_ms for m in measured),
        "latency_ms_most": max(m.median_ms for m in measured),
        "median_error_percent": statistics.median(map(abs, errors)),
        "worst_error_percent": max(map(abs, errors)),
        "median_error_of_quietest_round_percent": statistics.median(quietest),
        "mean_signed_error_percent": statistics.mean(errors),
        "spread_percent_median": 100 * statistics.median(m.spread for m in measured),
        "spread_percent_worst": 100 * max(m.spread for m in measured),
        "rounds": measured[0].rounds,
    }


if __name__ == "__main__":
    main()
