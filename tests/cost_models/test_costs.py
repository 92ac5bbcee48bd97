"""Costs against torch's own counters, brute force, and closed forms."""

import itertools
import subprocess
import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from cost_models import registry
from cost_models.protocol import Target
from cost_models.registry import build
from cost_models.tables import Factor, TableCost
from supernet.archs.space import Dimension, SearchSpace
from supernet.errors import InputError
from supernet.families.catalog import open_supernet
from supernet.networks.inverted_residuals import Block, make_divisible
from tests.helpers.paths import ROOT

SUPERNET = open_supernet("fmnist_mbv3")
SPACE = SUPERNET.space
TARGET = Target(SUPERNET)


def test_peak_memory_of_a_block_by_hand() -> None:
    block = Block("b", 16, 64, 16, in_size=14, kernel=3, stride=1, act="relu", se=False)
    live = {x.name: x.live_elements for x in block.layers()}
    area = 14 * 14
    assert live["b.expand"] == (16 + 64) * area  # the input is also the shortcut
    assert live["b.depthwise"] == (64 + 64 + 16) * area
    assert live["b.project"] == (64 + 16 + 16) * area


def test_the_embedded_supernet_is_within_its_limits() -> None:
    reach = build("macs", TARGET).reach()
    assert reach.maximum <= 12e6
    assert reach.minimum <= reach.maximum / 10
    assert reach.exact


@pytest.mark.parametrize("combine", ["sum", "max"])
@pytest.mark.parametrize("seed", range(5))
def test_reach_equals_brute_force_on_random_tables(combine: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = (2, 3, 2, 3, 2)
    space = SearchSpace("toy", tuple(Dimension(f"d{i}", tuple(range(n))) for i, n in enumerate(sizes)))
    scopes = [(0,), (1, 0), (1, 2), (2, 3, 4), (4, 0)]
    factors = tuple(Factor(s, rng.normal(size=[sizes[c] for c in s])) for s in scopes)
    cost = TableCost("toy", space, factors, combine, offset=-9.0 if combine == "max" else 1.5)
    every = np.array(list(itertools.product(*map(range, sizes))), dtype=np.int16)
    values = [
        (max if combine == "max" else sum)([f.table[tuple(row[list(f.columns)])] for f in factors])
        for row in every
    ]
    values = np.array(values) + (1.5 if combine == "sum" else 0.0)
    np.testing.assert_allclose(cost.batch(every), values)
    assert cost.reach().minimum == pytest.approx(values.min())
    assert cost.reach().maximum == pytest.approx(values.max())


def test_make_divisible_is_that_of_ofa() -> None:
    from ofa.utils import make_divisible as published

    for channels in range(1, 700):
        assert make_divisible(channels) == published(channels, 8)


def test_flops_is_an_alias_of_macs() -> None:
    assert build("flops", TARGET).name == "macs"


def test_unknown_cost_is_told_the_closest() -> None:
    with pytest.raises(InputError, match=r"unknown cost 'mac'\. Did you mean 'macs'\?"):
        build("mac", TARGET)


def example(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "examples"))


def test_the_documented_cost_by_dotted_path(monkeypatch) -> None:
    example(monkeypatch)
    cost = build("weights_kib", TARGET, {"weights_kib": "weights_kib:weights_kib"})
    arch = SPACE.middle()
    subnet = SUPERNET.family.static(arch)
    weights = sum(p.numel() for p in subnet.parameters() if p.ndim > 1)
    assert cost(arch) == pytest.approx(weights / 1024)
    assert list(cost.batch(SPACE.encode([arch, arch]))) == [cost(arch)] * 2
    assert not cost.reach().exact


def test_the_documented_cost_by_entry_point(monkeypatch) -> None:
    example(monkeypatch)
    point = EntryPoint("weights_kib", "weights_kib:weights_kib", registry.ENTRY_POINTS)
    monkeypatch.setattr(
        registry, "entry_points", lambda group: [point] if group == registry.ENTRY_POINTS else []
    )
    assert build("weights_kib", TARGET)(SPACE.smallest()) > 0


def test_the_documentation_shows_the_example_that_runs() -> None:
    docs = ROOT / "docs"
    code = (docs / "examples" / "weights_kib.py").read_text().split('"""\n\n', 1)[1]
    assert code.strip() in (docs / "costs.md").read_text()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere:cost", "cannot load the cost 'nowhere:cost'"),
        ("weights_kib", "given as package.module:function"),
        ("math:pi", "is not a function of a Target"),
        ("builtins:repr", "returned str, which is no cost model"),
    ],
)
def test_a_cost_that_is_none_is_refused(path: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build("mine", TARGET, {"mine": path})


def test_costs_need_no_torch() -> None:
    code = (
        "import sys; from cost_models.registry import build; from cost_models.protocol import Target;"
        "from supernet.families.catalog import open_supernet; s = open_supernet('fmnist_mbv3');"
        "build('macs', Target(s))(s.space.largest()); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
