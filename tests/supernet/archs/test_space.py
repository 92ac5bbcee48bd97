"""Archs and spaces: canonical, hashable, and the same after every round trip."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernet.archs.arch import Arch
from supernet.archs.space import Dimension, SearchSpace
from supernet.errors import InputError
from supernet.families.catalog import open_supernet

SPACE = open_supernet("fmnist_mbv3").space
SMALL = SearchSpace(
    "small",
    (
        Dimension("resolution", (8, 12)),
        Dimension("depth.1", (1, 2)),
        Dimension("kernel.1.1", (3, 5), ("depth.1", 1)),
        Dimension("kernel.1.2", (3, 5, 7), ("depth.1", 2)),
    ),
)

any_values = st.fixed_dictionaries({d.name: st.sampled_from(d.choices) for d in SPACE.dimensions})
archs = any_values.map(SPACE.arch)


@given(archs)
def test_json_round_trip(arch: Arch) -> None:
    assert SPACE.from_json(arch.to_json()) == arch


@given(archs)
def test_codes_round_trip(arch: Arch) -> None:
    codes = SPACE.encode([arch])
    assert SPACE.decode(codes) == [arch]
    assert (SPACE.canonical(codes) == codes).all()


@given(any_values, any_values)
def test_choices_of_skipped_blocks_do_not_matter(values: dict, other: dict) -> None:
    arch = SPACE.arch(values)
    same = SPACE.arch({**other, **arch.values})
    assert same == arch
    assert same.id == arch.id
    assert hash(same) == hash(arch)


@given(any_values)
def test_an_arch_is_its_own_canonical_form(values: dict) -> None:
    arch = SPACE.arch(values)
    assert SPACE.arch(arch.values) == arch
    for stage, position in itertools.product((1, 2, 3), (1, 2, 3, 4)):
        name = f"kernel.{stage}.{position}"
        assert (name in arch.values) == (name in SPACE.index and position <= arch[f"depth.{stage}"])


def test_id_is_the_same_in_another_process() -> None:
    code = (
        "from supernet.families.catalog import open_supernet; net = open_supernet('fmnist_mbv3'); s = net.space;"
        "print(s.largest().id, s.smallest().id, net.fingerprint)"
    )
    ids = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert ids == [SPACE.largest().id, SPACE.smallest().id, open_supernet("fmnist_mbv3").fingerprint]


def test_size_counts_distinct_archs() -> None:
    everything = itertools.product(*(range(n) for n in SMALL.sizes))
    distinct = {
        SMALL.arch({d.name: d.choices[i] for d, i in zip(SMALL.dimensions, row, strict=True)})
        for row in everything
    }
    assert SMALL.size == len(distinct) == 2 * (2 + 2 * 3)


def test_the_embedded_space_has_a_thousand_million_subnets() -> None:
    assert SPACE.size >= 10**9


def test_sample_is_seeded_canonical_and_uniform() -> None:
    codes = SMALL.sample(6000, np.random.default_rng(0))
    assert (codes == SMALL.sample(6000, np.random.default_rng(0))).all()
    assert (codes == SMALL.canonical(codes)).all()
    assert np.bincount(codes[:, 0]) / 6000 == pytest.approx(0.5, abs=0.03)


def test_sample_keeps_what_is_not_elastic_at_its_largest() -> None:
    codes = SPACE.sample(50, np.random.default_rng(0), elastic=("kernel",))
    for arch in SPACE.decode(codes):
        assert arch.resolution == SPACE.largest().resolution
        assert all(value == 4 for name, value in arch.choices if name.startswith("expand"))
    assert len(np.unique(codes, axis=0)) > 40


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depths": 1}, "has no dimension depths"),
        ({"resolution": 8}, "needs a value for depth.1"),
        (
            {"resolution": 9, "depth.1": 1, "kernel.1.1": 3},
            r"resolution = 9 is not in space small; allowed: \(8, 12\)",
        ),
    ],
)
def test_wrong_values_are_told_what_is_allowed(values: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SMALL.arch(values)


def test_an_arch_of_another_space_is_refused() -> None:
    with pytest.raises(InputError, match="of space 'fmnist_mbv3', not of 'small'"):
        SMALL.from_json(SPACE.largest().to_json())
    with pytest.raises(InputError, match="of space 'fmnist_mbv3', not of 'small'"):
        SMALL.encode([SPACE.largest()])
    with pytest.raises(InputError, match="the arch is not JSON"):
        SMALL.from_json("{")
