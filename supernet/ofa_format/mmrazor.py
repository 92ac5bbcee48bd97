"""mmrazor's YAML of a subnet, as settings of the supernets of ``ofa`` or of AttentiveNAS that it names.

``backbone.layers.3.0.kernel_size: {chosen: 5}`` is the kernel of the first block of what ``ofa``
calls the second stage: ``layers.1`` is the fixed block behind the stem. Where layers have no
blocks, all of a stage are the same, and the network is AttentiveNAS's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from supernet.archs.layers import Layer
from supernet.errors import InputError
from supernet.families.catalog import Supernet

KEY = r"backbone\.layers\.(\d+)(?:\.(\d+))?\.(kernel_size|expand_ratio|expand_ratio_se|depth|out_channels)"
"""``expand_ratio_se`` says again which channels a block has, and in published files not always the same."""
NOT_OF_BLOCKS = ("backbone.first_channels", "backbone.last_channels", "input_shape")
BLOCKS = 4
"""Of each stage that ``ofa`` makes elastic; what a file leaves out is not there."""

Chosen = dict[tuple[int, int | None, str], Any]


def is_one(data: Mapping[str, Any]) -> bool:
    """Whether its keys are places in a model of mmrazor, known or not."""
    return any(key.startswith(("backbone.", "architecture.")) for key in data)


def is_attentive(data: Mapping[str, Any]) -> bool:
    """Whether its stages have no blocks of their own."""
    return "backbone.layers.2.kernel_size" in data


def read(data: Mapping[str, Any], file: str) -> tuple[dict[str, Any], Chosen]:
    """What stands alone, and what stands in stages and blocks (``(stage, block or None, what)``)."""
    alone: dict[str, Any] = {}
    inside: Chosen = {}
    for key, entry in data.items():
        value = entry.get("chosen") if isinstance(entry, dict) else entry
        place = re.fullmatch(KEY, key)
        if place is not None:
            inside[int(place[1]), int(place[2]) if place[2] else None, place[3]] = value
        elif key in NOT_OF_BLOCKS:
            alone[key] = value
        else:
            raise InputError(
                f"{file} is of mmrazor, but of a network that is not known here (it has {key[:80]}); known are "
                "its subnets of OFA's MobileNetV3 and of AttentiveNAS, whose keys are "
                f"backbone.layers.S.B.kernel_size and the like, and {', '.join(NOT_OF_BLOCKS)}"
            )
    return alone, inside


def one(found: Mapping[Any, Any], key: Any, file: str) -> Any:
    """A value that must be there."""
    if found.get(key) is None:
        name = key if isinstance(key, str) else ".".join(str(part) for part in key if part is not None)
        raise InputError(f"{file}: {name} is missing, or has nothing chosen")
    return found[key]


def side(alone: Mapping[str, Any], file: str) -> int:
    """Of the square images."""
    shape = one(alone, "input_shape", file)
    if isinstance(shape, list) and len(shape) == 2 and shape[0] == shape[1] and isinstance(shape[0], int):
        return shape[0]
    raise InputError(
        f"{file}: input_shape: got {str(shape)[:80]}; it is a list of a side of the image, twice"
    )


def stages(inside: Chosen) -> list[int]:
    return sorted({stage for stage, _, _ in inside})


def attentive_settings(data: Mapping[str, Any], file: str) -> dict[str, Any]:
    """What :func:`supernet.ofa_format.attentive_nas.parse` takes."""
    alone, inside = read(data, file)

    def of_stages(what: str) -> list[Any]:
        return [one(inside, (stage, None, what), file) for stage in stages(inside)]

    widths = [one(alone, "backbone.first_channels", file), *of_stages("out_channels")]
    return {
        "resolution": side(alone, file),
        "width": [*widths, one(alone, "backbone.last_channels", file)],
        **{key: of_stages(key) for key in ("depth", "kernel_size", "expand_ratio")},
    }


def ofa_settings(data: Mapping[str, Any], file: str) -> dict[str, Any]:
    """``ks``, ``e``, ``d`` and ``r``, of the blocks that are not skipped."""
    alone, inside = read(data, file)
    elastic = stages(inside)[1:]
    depths = [one(inside, (stage, None, "depth"), file) for stage in elastic]
    for stage, depth in zip(elastic, depths, strict=True):
        if depth not in range(1, BLOCKS + 1):
            raise InputError(f"{file}: backbone.layers.{stage}.depth: got {depth!r}; allowed: 1 to {BLOCKS}")

    def of_blocks(what: str) -> list[Any]:
        return [
            one(inside, (stage, block, what), file)
            for stage, depth in zip(elastic, depths, strict=True)
            for block in range(depth)
        ]

    return {
        "ks": of_blocks("kernel_size"), "e": of_blocks("expand_ratio"), "d": depths, "r": side(alone, file),
    }  # fmt: skip


def widths(data: Mapping[str, Any], file: str) -> list[int]:
    """Channels behind the stem, behind the fixed block and each stage, and before the classifier."""
    alone, inside = read(data, file)
    return [
        one(alone, "backbone.first_channels", file),
        *(one(inside, (stage, None, "out_channels"), file) for stage in stages(inside)),
        one(alone, "backbone.last_channels", file),
    ]


def widths_of(supernet: Supernet) -> list[int]:
    """The same of all subnets of a supernet with stages of fixed width; none for another."""
    layers: dict[str, Layer] = {x.name: x for x in supernet.layers(supernet.space.largest())}
    last = layers["classifier"]
    behind = [layers.get(name) for name in ("stem", "first.project")]
    numbers = range(1, 1 + sum(d.kind == "depth" for d in supernet.family.space.dimensions))
    behind += [layers.get(f"stage{number}.block1.project") for number in numbers]
    return [x.out_channels for x in behind if x is not None] + [last.in_channels]
