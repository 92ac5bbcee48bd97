"""Steps up the choices, against what an arch says of itself."""

from __future__ import annotations

import numpy as np

from supernet.archs.arch import Arch
from supernet.archs.steps import grouped_places, skipped_as_negative, steps_of, summing
from supernet.families.catalog import open_supernet


def test_a_step_is_taken_by_who_has_its_choice_or_a_greater_one() -> None:
    space = open_supernet("ofa_resnet50").space
    codes = space.sample(40, np.random.default_rng(0))
    steps = steps_of(space)
    taken = steps.taken(skipped_as_negative(space, codes))

    def says(arch: Arch, column: int, code: int) -> bool:
        d = space.dimensions[column]
        return dict(arch.choices).get(d.name, -1) >= d.choices[code]

    pairs = list(zip(steps.dimensions.tolist(), steps.codes.tolist(), strict=True))
    assert taken.tolist() == [[says(arch, *pair) for pair in pairs] for arch in space.decode(codes)]
    assert len(set(pairs)) == sum(len(d.choices) - (d.needs is None) for d in space.dimensions)


def test_sums_of_independent_steps_vary_like_one() -> None:
    groups = grouped_places("abab" + "a" * 6)
    assert groups == ((0, 2, 4, 5, 6, 7, 8, 9), (1, 3))
    drawn = np.random.default_rng(0).normal(size=(10, 20_000))
    assert np.allclose((summing(groups, 10) @ drawn).std(axis=1), 1, atol=0.03)
