"""network.py is a network of torch's own modules that takes a bundle's weights and answers as its subnet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from supernet.bundles.bundle import open_bundle, write_bundle
from supernet.evaluating.evaluation import specialise
from supernet.families.catalog import open_supernet
from supernet.networks.network_source import Untraceable, built_from, check_source, leaf, source_of

TORCH_ALONE = """
import sys
class Only:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("ofa", "oncefit", "supernet", "search", "cost_models", "torchvision"):
            raise ImportError(name)
sys.meta_path.insert(0, Only())
sys.path.insert(0, sys.argv[1])
import torch
from safetensors.torch import load_file
from network import Network, build
net = build()
assert isinstance(net, Network)
net.load_state_dict(load_file(sys.argv[1] + "/weights.safetensors"), strict=True)
images = torch.load(sys.argv[2], weights_only=True)
with torch.no_grad():
    torch.save(net.eval()(images), sys.argv[3])
"""


def test_with_torch_alone_it_answers_as_the_bundle(supernet, random_net, few, tmp_path: Path) -> None:
    arch = supernet.space.middle()
    folder, given, answer = (tmp_path / name for name in ("bundle", "images.pt", "logits.pt"))
    write_bundle(folder, supernet, None, arch, few, {}, {}, subnet=specialise(random_net, arch, few))
    images = torch.randn(3, 1, arch.resolution, arch.resolution, generator=torch.Generator().manual_seed(0))
    torch.save(images, given)
    command = [sys.executable, "-c", TORCH_ALONE, str(folder), str(given), str(answer)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        expected = open_bundle(folder).subnet()(images)
    torch.testing.assert_close(torch.load(answer, weights_only=True), expected, rtol=0, atol=1e-4)
    lines = (folder / "network.py").read_text().splitlines()
    assert max(map(len, lines)) <= 130
    assert not any("import" in line and "torch" not in line for line in lines if not line.startswith(" "))


@pytest.mark.parametrize(
    "name",
    [
        "ofa_mbv3_w1.0",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("ofa_resnet50", "ofa_proxyless_w1.3")),
    ],
)
def test_every_family_has_a_source(name: str) -> None:
    found = open_supernet(name)
    arch = found.space.smallest()
    subnet = found.family.static(arch).eval()
    source = source_of(subnet, "A test.", 3, arch.resolution)
    made = built_from(source)
    assert [(key, value.shape) for key, value in made.state_dict().items()] == [
        (key, value.shape) for key, value in subnet.state_dict().items()
    ]
    check_source(source, subnet, torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))


class Branches(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class OddNames(nn.Sequential):
    def forward(self, x):
        return self[1](self[0](x))


class HoldsOne(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.scale * x


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Branches(), "Branches cannot be traced"),
        (HoldsOne(), "HoldsOne holds a tensor of its own, scale"),
        (OddNames(nn.ReLU(), nn.ReLU()), "OddNames has a part called '0'"),
    ],
)
def test_what_has_no_plain_source(net: nn.Module, message: str) -> None:
    with pytest.raises(Untraceable, match=message):
        source_of(net, "x", 1, 8)


def test_a_source_of_another_network_is_noticed() -> None:
    images = torch.rand(1, 1, 5, 5) + 1
    padded, plain = (nn.Sequential(nn.Conv2d(1, 2, 3, padding=side)) for side in (1, 0))
    wider = nn.Sequential(nn.Conv2d(1, 3, 3))
    with pytest.raises(Untraceable, match="answers otherwise"):
        check_source(source_of(nn.Sequential(plain[0], nn.Tanh()), "x", 1, 5), plain, images)
    with pytest.raises(Untraceable, match="answers otherwise"):
        check_source(source_of(padded, "x", 1, 5), plain, images)
    with pytest.raises(Untraceable, match="has other tensors"):
        check_source(source_of(wider, "x", 1, 5), plain, images)


def test_defaults_are_left_out() -> None:
    assert leaf(nn.BatchNorm2d(4)) == "nn.BatchNorm2d(4)"
    assert leaf(nn.BatchNorm2d(4, eps=1e-3)) == "nn.BatchNorm2d(4, eps=0.001)"
    assert leaf(nn.Conv2d(1, 2, 3)) == "nn.Conv2d(1, 2, kernel_size=(3, 3))"
    assert leaf(nn.ReLU(inplace=True)) == "nn.ReLU(inplace=True)"
