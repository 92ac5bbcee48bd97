"""Archs as settings of ``ofa``'s own supernets: what ``set_active_subnet`` takes."""

from __future__ import annotations

from typing import Any

from supernet.arch import Arch
from supernet.space import SearchSpace

OFA_SUPERNETS = ("ofa_mbv3_w1.0", "ofa_mbv3_w1.2", "ofa_proxyless_w1.3", "ofa_resnet50")
BASE_DEPTHS = (2, 2, 4, 2)
WIDTHS = (0.65, 0.8, 1.0)


def settings(space: SearchSpace, arch: Arch) -> dict[str, Any]:
    """``d``, ``e`` and ``ks`` or ``w``; what skipped blocks have does not matter and is their largest."""
    values = {d.name: arch.values.get(d.name, d.choices[-1]) for d in space.dimensions}

    def all_of(kind: str) -> list[Any]:
        return [values[d.name] for d in space.dimensions if d.kind == kind]

    if "width.1" in space.index:
        stem, *stages = all_of("depth")
        return {
            "d": [2 * (stem == 3), *(depth - base for depth, base in zip(stages, BASE_DEPTHS, strict=True))],
            "e": all_of("expand"),
            "w": [WIDTHS.index(width) for width in all_of("width")],
        }
    return {"d": all_of("depth"), "e": all_of("expand"), "ks": all_of("kernel")}
