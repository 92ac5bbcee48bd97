"""The published measurements, which are no part of the repository: read, found to be right, and foretold from a few."""

from __future__ import annotations

import numpy as np
import pytest

from cost_models.csv_device import AskedColumn, device_of_csv
from cost_models.latency_csv import read_latency_csv
from cost_models.published_tables import FORMATS, read_tables
from cost_models.table_lint import SLOWEST_LAUNCH_MS, exponent_of, findings
from supernet.families.catalog import Supernet, open_supernet
from tests.helpers.paths import REFERENCE

GPUS = REFERENCE / "measured" / "latency" / "latency_ms_gpu.csv"
APART = 4
"""The mean work of a block differs 4.4 times between these subnets, less than between the blocks of a table."""


@pytest.mark.skipif(not GPUS.is_file(), reason="the published measurements are not here")
def test_the_published_measurements() -> None:
    net = open_supernet("ofa_mbv3_w1.2")
    check_what_is_read(net)
    for column, within, spearman in (("titan_rtx_32", 0.99, 0.995), ("2080ti_64", 0.95, 0.97)):
        check_that_thirty_tell_the_others(net, column, within, spearman)
    check_what_launches_take(net)
    for name in ("note10", "pixel1"):
        check_that_nothing_is_found_in_tables(name)


def check_what_is_read(net: Supernet) -> None:
    rows = read_latency_csv(GPUS, net)
    assert len(rows.archs) == len(rows.lines) == 5_000
    assert rows.names == (
        "2080ti_1", "2080ti_64", "titan_rtx_1", "titan_rtx_32", "titan_xp_1", "titan_xp_32", "titan_xp_64",
        "v100_1", "v100_32",
    )  # fmt: skip
    assert (rows.column("2080ti_1")[0], rows.archs[0].resolution, rows.lines[0]) == (12.08194, 204, 2)
    assert rows.archs[0]["depth.1"] == 2


def check_that_thirty_tell_the_others(net: Supernet, column: str, within: float, spearman: float) -> None:
    found = device_of_csv("gpu", AskedColumn(GPUS, column), net, lambda _: None)
    assert found.unseen is not None
    assert found.unseen.subnets == 4970
    assert found.unseen.within_10_percent >= within
    assert found.unseen.spearman >= spearman
    latency = found.device.fitted
    assert latency is not None
    assert latency.rows is not None
    assert len(latency.rows) == len(latency.held_out or ()) == 30


def check_what_launches_take(net: Supernet) -> None:
    """At batch 1 a GPU takes as long whatever a block's work is, and less than a millisecond: what a table is held to."""
    rows = read_latency_csv(GPUS, net)
    some = np.arange(0, len(rows.archs), 20)
    archs = [rows.archs[row] for row in some]
    blocks = np.array([sum(arch[f"depth.{stage}"] for stage in range(1, 6)) for arch in archs])
    work = np.array([sum(layer.macs for layer in net.layers(arch)) for arch in archs]) / blocks
    for column in rows.names:
        ms = rows.column(column)[some] / blocks
        slope = exponent_of(work, ms, APART)
        assert slope is not None
        assert np.median(ms) < SLOWEST_LAUNCH_MS / 2
        assert slope < 0.1 if column.endswith("_1") else slope > 0.4


def check_that_nothing_is_found_in_tables(name: str) -> None:
    """As milliseconds they are right; as microseconds each file is refused, and what they are is said."""
    files = {str(file): entries for file, entries in read_tables(FORMATS[name], REFERENCE / name).values()}
    assert findings(files, "ms", {}) == []
    wrong = findings(files, "us", {})
    assert len(wrong) >= len(files)
    assert all("--unit ms" in str(finding) for finding in wrong)
