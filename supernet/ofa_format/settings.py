"""Archs as settings of ``ofa``'s own supernets: what its ``set_active_subnet`` takes.

``search.predictors.measured.from_settings`` is the way back.
"""

from __future__ import annotations

from typing import Any

from supernet.arch import Arch
from supernet.space import SearchSpace


def settings(space: SearchSpace, arch: Arch) -> dict[str, Any]:
    """``d``, ``e`` and ``ks`` or ``w`` of an arch in the whole space of a supernet.

    What skipped blocks have does not matter and is their largest. ``d`` of a ResNet counts the
    blocks beyond a stage's least, twice for its stem; ``w`` are indices.
    """
    values = {d.name: arch.values.get(d.name, d.choices[-1]) for d in space.dimensions}

    def all_of(kind: str) -> list[Any]:
        return [values[d.name] for d in space.dimensions if d.kind == kind]

    if "width.1" not in space.index:
        return {"d": all_of("depth"), "e": all_of("expand"), "ks": all_of("kernel")}
    stem, *stages = [values[d.name] - d.choices[0] for d in space.dimensions if d.kind == "depth"]
    widths = [d.choices.index(values[d.name]) for d in space.dimensions if d.kind == "width"]
    return {"d": [2 * stem, *stages], "e": all_of("expand"), "w": widths}
