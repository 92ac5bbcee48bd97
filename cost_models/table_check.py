"""Costs of whole populations, in tables, against those of one arch after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from cost_models.compute import of_layers
from cost_models.protocol import Target
from cost_models.registry import build

if TYPE_CHECKING:
    from supernet.conformance.subject import Mismatch, Subject

COMPARED = 100
"""Archs, beside those that all checks are made on."""


def check_tables(subject: Subject) -> Iterator[Mismatch]:
    """Multiply-adds, parameters and peak memory of a batch are those of the layers of each arch, and in their reach."""
    from supernet.conformance.subject import Mismatch

    supernet, space = subject.supernet, subject.supernet.space
    drawn = space.sample(COMPARED, np.random.default_rng(subject.seed))
    codes = np.concatenate([space.encode(subject.archs), drawn])
    walk = supernet.family.walk or supernet.layers
    archs = space.decode(codes)
    one_by_one = [of_layers(walk(arch)) for arch in archs]
    for name in one_by_one[0]:
        cost = build(name, Target(supernet))
        reach = cost.reach()
        for arch, costs, found in zip(archs, one_by_one, cost.batch(codes).tolist(), strict=True):
            if found != costs[name]:
                yield Mismatch(
                    f"{name} in the tables", f"{costs[name]:,}, by layers(arch)", f"{found:,.0f}", arch
                )
                break
            if not reach.minimum <= found <= reach.maximum:
                within = f"{reach.minimum:,.0f} to {reach.maximum:,.0f}"
                yield Mismatch(f"{name}, which the tables say to be {within}", within, f"{found:,.0f}", arch)
                break
