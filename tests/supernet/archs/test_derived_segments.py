"""Segments that a walk over whole archs gives, against those that families write down."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from cost_models.compute import of_layers
from cost_models.protocol import Target
from cost_models.registry import build
from supernet import documents
from supernet.archs import derived_segments
from supernet.archs.arch import Arch, Choice
from supernet.archs.derived_segments import derive_segments
from supernet.archs.layers import Layer, layers
from supernet.archs.space import Dimension, SearchSpace
from supernet.errors import InputError
from supernet.families.catalog import open_supernet
from tests.helpers.own_network import write_own

FEW = {
    "ofa_mbv3_w1.0": (128, 224),
    "ofa_mbv3_w1.2": (128,),
    "ofa_proxyless_w1.3": (128,),
    "ofa_resnet50": (128, 160),
}


@pytest.mark.parametrize("name", documents.names("supernets"))
def test_they_are_those_that_a_family_writes_down(name: str) -> None:
    supernet = open_supernet(name).restricted({"resolution": FEW[name]} if name in FEW else {})
    space = supernet.space
    derived = derive_segments(space, supernet.layers, name)
    written = {segment.name: segment for segment in supernet.segments}
    for segment in derived:
        if segment.name in written:
            theirs = written[segment.name]
            least = space.by_name[theirs.needs[0]].choices[0] if theirs.needs is not None else 0
            always = theirs.needs is None or least >= theirs.needs[1]
            assert set(segment.dimensions) == set(theirs.dimensions), segment.name
            assert segment.needs == (None if always else theirs.needs), segment.name
    for arch in space.decode(space.sample(20, np.random.default_rng(11))):
        assert layers(derived, arch) == supernet.layers(arch)


def conv(name: str, inp: int, out: int, size: Choice) -> Layer:
    return Layer(name, "conv", int(inp), int(out), int(size), int(size))


def segments_of(walk, *dimensions: Dimension):
    return derive_segments(SearchSpace("s", (Dimension("resolution", (4, 8)), *dimensions)), walk, "mine")


DEPTH = Dimension("depth.1", (0, 1, 2))


def test_a_block_that_another_dimension_skips_or_changes_has_no_layers_then() -> None:
    def walk(arch: Arch) -> list[Layer]:
        depth, r = int(arch["depth.1"]), arch.resolution
        middle = [conv(f"block{b}.conv", 3, 3 + (b == depth), r) for b in range(1, depth + 1)]
        return [conv("stem", 1, 3, r), *middle, conv("head", 3 + (depth > 0), 10, r)]

    found = {segment.name: segment for segment in segments_of(walk, DEPTH)}
    assert list(found) == ["stem", "block1", "block2", "head"]
    assert found["block2"].needs == ("depth.1", 2)
    assert found["block1"].needs is None  # its width depends on depth too
    assert found["block1"].dimensions == found["head"].dimensions == ("resolution", "depth.1")
    assert found["block1"].layers({"resolution": 4, "depth.1": 0}) == ()


def test_a_dependence_that_no_single_change_shows_is_found() -> None:
    def walk(arch: Arch) -> list[Layer]:
        odd = (arch["width.1"] == 2) and (arch["width.2"] == 2)
        return [conv("stem", 1, 3 + odd, arch.resolution)]

    [stem] = segments_of(walk, *(Dimension(f"width.{i}", (1, 2, 3)) for i in (1, 2, 3)))
    assert stem.dimensions == ("resolution", "width.1", "width.2")


def test_costs_of_a_block_that_may_be_missing_are_nothing(tmp_path) -> None:
    supernet = open_supernet(
        write_own(tmp_path, "tests.helpers.own_network:Skipping", "skipping", {"classes": ["a", "b"]})
    )
    archs = supernet.space.decode(np.array([[0, 0], [0, 1], [0, 2], [1, 2]], dtype=np.int16))
    for name in ("macs", "params", "peak_memory_bytes"):
        cost = build(name, Target(supernet))
        expected = [of_layers(supernet.family.walk(arch))[name] for arch in archs]
        assert cost.batch(supernet.space.encode(archs)).tolist() == expected
        assert (cost.reach().minimum, cost.reach().maximum) == (min(expected), max(expected))


def many(arch: Mapping[str, Choice]) -> int:
    return int(sum(value for name, value in arch.items() if name.startswith("width")))


@pytest.mark.parametrize(
    ("walk", "said"),
    [
        (
            lambda arch: [conv("stem", 1, many(arch.values), arch.resolution)],
            r"mine: the layers of block 'stem' depend on 11 dimensions, resolution, width.1, .* which have 118,098 "
            r"combinations of choices; .* at most 20,000 combinations each\. Call layers BLOCK\.layer",
        ),
        (
            lambda arch: [conv("a.1", 1, 1, 4), conv("b", 1, 1, 4), conv("a.2", 1, 1, 4)],
            r"mine: its layers 'a.1' and 'a.2' belong to one block by their names, but others stand between them",
        ),
        (
            lambda arch: [conv(name, 1, 1, 4) for name in ("ab" if arch["width.1"] == 1 else "ba")],
            r"mine: the blocks [ab], [ab] come in another order in other archs; give each place in the network a block",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_in_tables_is_told(walk, said: str) -> None:
    with pytest.raises(InputError, match=said):
        segments_of(walk, *(Dimension(f"width.{i}", (1, 2, 3)) for i in range(1, 11)))


def test_a_walk_that_changes_its_mind_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived_segments, "KEPT_WALKS", 0)
    rng = np.random.default_rng(0)

    def walk(arch: Arch) -> list[Layer]:
        return [conv("stem", 1, int(rng.integers(1, 9)), 4)]

    with pytest.raises(InputError, match=r"mine: layers\(arch\) gives different layers for the same arch"):
        segments_of(walk, *(Dimension(f"width.{i}", (1, 2, 3)) for i in (1, 2)))
