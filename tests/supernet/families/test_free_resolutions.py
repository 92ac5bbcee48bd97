"""Resolutions that OFA's supernets were not trained at: offered, costed, extracted, and unknown to what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import oncefit
from cost_models.devices import open_device
from cost_models.protocol import Target
from cost_models.registry import build
from search.runs.config import resolved
from supernet.conformance.subject import randomise
from supernet.errors import InputError
from supernet.families.catalog import open_supernet
from tests.helpers.ofa_settings import OFA_SUPERNETS, settings
from tests.helpers.tiny import write_device

SIDES = (48, 50, 256)


@pytest.mark.parametrize("name", OFA_SUPERNETS)
def test_costs_are_what_torch_counts(name: str) -> None:
    supernet = open_supernet(name).restricted({"resolution": SIDES})
    space = supernet.space
    assert space.by_name["resolution"].choices == SIDES
    assert supernet.fingerprint == open_supernet(name).fingerprint  # the network is the same
    macs, params = (build(cost, Target(supernet)) for cost in ("macs", "params"))
    codes = space.sample(12, np.random.default_rng(0))
    for arch, batched in zip(space.decode(codes), macs.batch(codes), strict=True):
        with torch.device("meta"):
            subnet = supernet.family.static(arch).eval()
            image = torch.zeros(1, 3, arch.resolution, arch.resolution)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            subnet(image)
        assert macs(arch) == batched == counter.get_total_flops() / 2, arch
        assert params(arch) == sum(p.numel() for p in subnet.parameters()), arch


@pytest.mark.parametrize("name", OFA_SUPERNETS)
@torch.no_grad()
def test_a_subnet_answers_as_ofas_at_the_ends(name: str) -> None:
    supernet = open_supernet(name)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = supernet.family.elastic().eval()
        randomise(net)
    for side in (32, 50):
        arch = supernet.space.arch({**supernet.space.middle().values, "resolution": side})
        net.net.set_active_subnet(**settings(supernet.space, arch))
        images = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(net.extract(arch)(images), net.net(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize("given", [(16,), (2000,), (48.5,), (True,), ("48",)])
def test_what_is_not_offered_is_refused_with_what_is(given: tuple[object, ...]) -> None:
    with pytest.raises(InputError, match="or any whole number from 32 to 1024"):
        open_supernet("ofa_mbv3_w1.0").restricted({"resolution": given}).space  # noqa: B018


def test_a_space_that_was_restricted_offers_nothing_freely() -> None:
    supernet = open_supernet("ofa_mbv3_w1.0")
    middle = supernet.space.middle().values
    assert supernet.space.arch({**middle, "resolution": 48}).resolution == 48
    for only in ({"resolution": (160, 48)}, {"kernel": (3, 5)}):
        space = supernet.restricted(only).space
        with pytest.raises(InputError, match=r"resolution = 96 is not in space"):
            space.arch({**space.middle().values, "resolution": 96})
    assert supernet.restricted({"resolution": (160, 48)}).space.smallest().resolution == 48


def test_the_shipped_supernet_has_its_own_resolutions_only(supernet) -> None:
    with pytest.raises(InputError, match="cannot be restricted to resolution"):
        supernet.restricted({"resolution": (48,)}).space  # noqa: B018


def test_an_arch_at_a_free_resolution_has_costs_and_no_code(tmp_path: Path) -> None:
    supernet = oncefit.open_supernet("ofa_mbv3_w1.0")
    arch = supernet.arch({"d": 2, "ks": 3, "e": 3, "r": 256})
    small = supernet.arch({"d": 2, "ks": 3, "e": 3, "r": 128})
    assert supernet.costs(arch)["macs"] > 3.5 * supernet.costs(small)["macs"]
    assert supernet.costs(arch)["params"] == supernet.costs(small)["params"]
    assert (
        oncefit.cost({"d": 2, "ks": 3, "e": 3, "r": 256}, supernet="ofa_mbv3_w1.0").costs["macs"]
        == supernet.costs(arch)["macs"]
    )
    with pytest.raises(
        InputError, match=r"resolution 256 of arch .* none of the choices .*add it: space: \{resolution"
    ):
        supernet.space.encode([arch])


# -- what was measured knows nothing of them ---------------------------------------------


def test_a_predictor_says_that_it_knows_nothing_of_them(tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"the predictor has no input for resolution 48; it knows 224; .*space: \{resolution: \[224\]\}",
    ):
        oncefit.search(
            "ofa_mbv3_w1.0", accuracy="predicted", predictor="ofa_mbv3_w1.0", space={"resolution": [48, 160]},
            budgets={"macs": 2e8}, trials=4, out=tmp_path / "run",
        )  # fmt: skip


def test_a_fitted_device_says_that_it_knows_nothing_of_them(tmp_path: Path) -> None:
    supernet = open_supernet("ofa_mbv3_w1.0")
    device = open_device(str(write_device(supernet, tmp_path / "known.yaml")), supernet, print)
    build("latency_ms", Target(supernet.restricted({"resolution": (160,)}), device))
    with pytest.raises(
        InputError,
        match=r"fitted to subnets at resolution 128 to 224, and nothing is known of it at 48, 256. .*space: \{resolution: \[160\]\}",
    ):
        build("latency_ms", Target(supernet.restricted({"resolution": (48, 160, 256)}), device))


def test_a_search_takes_them(tmp_path: Path) -> None:
    run = oncefit.search(
        "ofa_mbv3_w1.0", space={"resolution": list(SIDES)}, objectives=["top1", "macs"], trials=8, sampler="random",
        accuracy=lambda arch: 1 - 1e4 / (1e4 + arch.resolution**2), out=tmp_path / "run",
    )  # fmt: skip
    found = {candidate.arch.resolution for candidate in run.result.candidates}
    assert found <= set(SIDES)
    assert found & {48, 50, 96, 256}
    again = oncefit.open_run(tmp_path / "run")
    assert {c.arch for c in again.result.candidates} == {c.arch for c in run.result.candidates}


def test_a_config_may_have_them() -> None:
    config = resolved(
        {"supernet": "ofa_mbv3_w1.0", "space": {"resolution": [48, 96, 160, 256]}}, {}, {}, "search.yaml"
    )
    assert config.space == {"resolution": (48, 96, 160, 256)}
