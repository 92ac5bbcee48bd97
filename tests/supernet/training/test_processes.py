"""Several processes train as one does: the same command under ``torchrun``, on this machine's CPU."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import nn

import oncefit
from supernet.bundles.bundle import write_bundle
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from supernet.images.data import Dataset
from supernet.networks.inverted_residual_networks import ElasticNet
from supernet.training.processes import Processes, SharedNorm, is_first_process, joined_processes, share_norms
from tests.helpers.digits import write_digits

CPU = torch.device("cpu")
TOLERANCE = 2e-3
"""Of a weight after a few steps: sums in another order round otherwise, and steps carry that on."""


@pytest.fixture
def one_of_one() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_a_shared_norm_is_a_batch_norm(supernet: Supernet, random_net: ElasticNet, one_of_one: None) -> None:
    """Logits and gradients of a whole subnet, against torch's own batch norms."""
    plain = random_net.extract(supernet.space.smallest())
    shared = copy.deepcopy(plain)
    share_norms(shared)
    assert sum(isinstance(m, SharedNorm) for m in shared.modules()) == sum(
        isinstance(m, nn.BatchNorm2d) for m in plain.modules()
    )
    assert shared.state_dict().keys() == plain.state_dict().keys()
    x = torch.randn(16, 1, 18, 18, generator=torch.Generator().manual_seed(0))
    for mode in (False, True):
        logits, others = plain.train(mode)(x), shared.train(mode)(x)
        torch.testing.assert_close(others, logits, rtol=1e-4, atol=1e-4)
    for net in (plain, shared):
        torch.autograd.backward(net.train()(x).logsumexp(1).sum())
    gradients = [torch.cat([p.grad.flatten() for p in net.parameters()]) for net in (plain, shared)]
    assert float((gradients[1] - gradients[0]).norm() / gradients[0].norm()) < 1e-3


def test_one_process_is_one_of_one() -> None:
    with joined_processes(CPU) as alone:
        assert (alone.rank, alone.count, alone.is_first) == (0, 1, True)
        assert (alone.of_first(0.5), alone.least(7)) == (0.5, 7)
        alone.check_share(7)
        net = nn.Linear(1, 1)
        assert alone.together(net) is net
    assert is_first_process()


def test_a_batch_that_cannot_be_shared_alike_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="10 images a batch cannot be shared alike by 3 processes"):
        Processes(CPU, 0, 3).check_share(10)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(InputError, match="several processes train on cpu or cuda"),
        joined_processes(torch.device("mps")),
    ):
        pass


@pytest.mark.slow
def test_two_processes_end_as_one_does(supernet: Supernet, few: Dataset, tmp_path: Path) -> None:
    """Weights to the tolerance, accuracy to two of 480 report images; the first process alone speaks."""
    write_bundle(tmp_path / "parent", supernet, supernet.load(), supernet.space.smallest(), few, {}, {})
    digits = write_digits(tmp_path / "digits", 40, 60)
    (tmp_path / "sgd.yaml").write_text(
        "mirror: false\nepochs: 2\noptimizer: sgd\nlearning_rate: 0.01\nbatch_size: 50\n"
    )
    one = oncefit.finetune(
        tmp_path / "parent", digits, recipe=tmp_path / "sgd.yaml", out=tmp_path / "one", say=lambda _: None
    )
    line = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "search",
    ]
    line += ["finetune", "parent", "--data", "digits", "--recipe", "sgd.yaml", "--out", "two", "--json"]
    ended = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    two = json.loads(ended.stdout)
    assert (one.card.finetuning.processes, two["finetuning"]["processes"]) == (1, 2)
    assert one.card.finetuning.steps == two["finetuning"]["steps"] == 16
    weights, others = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    for name, tensor in weights.items():
        torch.testing.assert_close(others[name], tensor, rtol=TOLERANCE, atol=TOLERANCE, msg=name)
    assert abs(one.card.figures.measured["report"]["top1"] - two["measured"]["report"]["top1"]) <= 2 / 480
