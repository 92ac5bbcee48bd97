"""``--device host`` for real: this machine is timed, and every subnet of a shipped supernet gets a latency."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer

from cost_models import host
from cost_models.latency import latency_ms
from cost_models.protocol import Target
from search.cli.cost import cost
from supernet import documents
from supernet.families.catalog import open_supernet

EMBEDDED = "fmnist_mbv3"
LARGE = [name for name in documents.names("supernets") if name != EMBEDDED]
FEW = 16
"""Subnets, for a test that is not slow."""


@pytest.mark.parametrize(
    ("name", "subnets"),
    [(EMBEDDED, FEW), *(pytest.param(name, host.FIT_SUBNETS, marks=pytest.mark.slow) for name in LARGE)],
)
def test_the_cost_of_any_subnet_on_this_host(
    name: str,
    subnets: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ONCEFIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(host, "FIT_SUBNETS", subnets)
    net = open_supernet(name)
    [arch] = net.space.decode(net.space.sample(1, np.random.default_rng(2)))
    file = tmp_path / "arch.json"
    file.write_text(json.dumps(arch.to_dict()))
    app = typer.Typer()
    app.command()(cost)
    app([str(file), "--device", "host", "--json"], standalone_mode=False)
    costs = json.loads(capsys.readouterr().out)["costs"]
    assert 0 < costs["latency_ms"] < 10_000
    assert costs["energy_mj"] > 0
    device = host.host_device(net, lambda _: None)  # kept, or of this process
    assert device.fitted is not None
    assert (device.fitted.subnets, device.threads) == (subnets, 1)
    assert device.fitted.tested is not None
    predict = latency_ms(Target(net, device))
    assert costs["latency_ms"] == predict(arch)
    assert predict(net.space.smallest()) < predict(net.space.largest())
    few = net.restricted({"resolution": (arch.resolution,)})
    assert latency_ms(Target(few, device))(arch) == predict(arch)
