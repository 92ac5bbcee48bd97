"""Archs as settings of ``ofa``'s own supernets, both ways: what its ``set_active_subnet`` takes.

``{"ks": [...], "e": [...], "d": [...], "r": [224]}``: kernels and expand ratios of all blocks, a
depth for each stage, and the resolution. ``ofa``, DyNAS-T and NAT (``net.subnet``) write them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from supernet import documents
from supernet.archs.arch import Arch, Choice
from supernet.archs.space import Dimension, SearchSpace
from supernet.errors import InputError, unknown
from supernet.families.catalog import Supernet, open_supernet

KEYS = {"depth": "d", "kernel": "ks", "expand": "e", "width": "w"}
"""``ofa``'s names of the kinds of dimensions."""
RESOLUTION_KEYS = ("r", "image_size", "resolution")
"""What the resolution is called; the first that is there counts."""
KNOWN = (*KEYS.values(), *RESOLUTION_KEYS, "wid")
"""``wid``, an index of a width, is always null in ``ofa``'s mobile supernets and in DyNAS-T's files."""

Settings = Mapping[str, object]


def settings_of_arch(space: SearchSpace, arch: Arch) -> dict[str, Any]:
    """``d``, ``e`` and ``ks`` or ``w`` of an arch in the whole space of a supernet.

    What skipped blocks have does not matter and is their largest. ``d`` of a ResNet counts the
    blocks beyond a stage's least, twice for its stem; ``w`` are indices.
    """
    values = {d.name: arch.values.get(d.name, d.choices[-1]) for d in space.dimensions}

    def all_of(kind: str) -> list[Any]:
        return [values[d.name] for d in space.dimensions if d.kind == kind]

    if not has_widths(space):
        return {"d": all_of("depth"), "e": all_of("expand"), "ks": all_of("kernel")}
    stem, *stages = [values[d.name] - d.choices[0] for d in space.dimensions if d.kind == "depth"]
    widths = [d.choices.index(values[d.name]) for d in space.dimensions if d.kind == "width"]
    return {"d": [2 * stem, *stages], "e": all_of("expand"), "w": widths}


def has_widths(space: SearchSpace) -> bool:
    """Whether it is a ResNet's, whose widths are choices; else ``w`` is the multiplier of the supernet."""
    return any(d.kind == "width" for d in space.dimensions)


def from_settings(given: Settings, space: SearchSpace) -> Arch:
    """The arch that ``ofa``'s ``set_active_subnet`` calls so; its resolution is one number, alone or in a list.

    Raises InputError for a key, a length or a value that is not one of ``space``.
    """
    return space.arch({**choices(given, space), "resolution": resolution(given)})


def resolution(given: Settings) -> int:
    """Side of the images in pixels, of the space or not."""
    value = next((given[key] for key in RESOLUTION_KEYS if given.get(key) is not None), None)
    found = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
    if isinstance(found, bool) or not isinstance(found, int):
        raise InputError(
            f"r is the resolution as a number, or a list of one, and may be called {' or '.join(RESOLUTION_KEYS[1:])}; "
            f"got {str(value)[:80]}"
        )
    return found


def choices(given: Settings, space: SearchSpace) -> dict[str, Choice]:
    """A value for each dimension but the resolution, and for skipped blocks where there are any.

    Of kernels and expand ratios there is one for each block, or for each that is not skipped, as
    NAT writes them, or one number for all.
    """
    check_keys(given, space)
    values: dict[str, Choice] = {}
    counted = has_widths(space)
    for kind, key in KEYS.items():
        mine = [d for d in space.dimensions if d.kind == kind]
        if mine:
            numbers = spread_over_blocks(given.get(key), key, mine, values)
            values |= {d.name: value_of(d, n, counted) for d, n in numbers.items()}
    return values


def check_keys(given: Settings, space: SearchSpace) -> None:
    """Raises InputError for a key that would be passed over though it says something."""
    theirs = used(space)
    for key, value in given.items():
        if value is None:
            continue
        if key not in KNOWN:
            raise unknown("key of ofa's settings", key, KNOWN)
        multiplier = key == "w" and is_number(value)
        if key == "wid" or (key in KEYS.values() and key not in theirs and not multiplier):
            raise InputError(
                f"{key}: got {str(value)[:80]}, but subnets of {space.name} have no such choice; "
                f"theirs are {', '.join(theirs)} and r"
            )


def used(space: SearchSpace) -> list[str]:
    """The keys that settings of its subnets have, in ``ofa``'s order."""
    kinds = {d.kind for d in space.dimensions}
    return [key for kind, key in KEYS.items() if kind in kinds]


def spread_over_blocks(
    given: object, key: str, mine: Sequence[Dimension], depths: Mapping[str, Choice]
) -> dict[Dimension, Choice]:
    """What is ``given`` for dimensions of one kind, by dimension: a list of numbers, or one for all."""
    if is_number(given):
        return dict.fromkeys(mine, given)  # type: ignore[arg-type]
    there = [d for d in mine if d.needs is None or depths[d.needs[0]] >= d.needs[1]]
    free = [d for d in mine if len(d.choices) > 1]
    if isinstance(given, list | tuple) and all(is_number(n) for n in given):
        for some in (mine, there, free if key == "d" else mine):
            if len(given) == len(some):
                fixed = {d: d.choices[0] for d in mine} if some is free else {}
                return fixed | dict(zip(some, given, strict=True))
    shorter = f", of {len(there)} without the skipped blocks," if len(there) < len(mine) else ""
    raise InputError(
        f"{key} is a list of {len(mine)} numbers here{shorter} or one number for all; got {str(given)[:80]}"
    )


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def value_of(dimension: Dimension, number: Choice, counted: bool) -> Choice:
    """The choice that ``ofa`` calls ``number``.

    Where settings are ``counted``, a ResNet's, ``d`` are the blocks beyond a stage's least, twice
    for its stem, and ``w`` are indices.
    """
    first, kind = dimension.choices[0], dimension.kind
    if not counted:
        # ofa takes a stage's depth or its number of blocks, whichever is less
        return first if kind == "depth" and len(dimension.choices) == 1 else number
    if kind == "width":
        if number not in range(len(dimension.choices)):
            raise InputError(
                f"w holds {number!r} for {dimension.name}; allowed: 0 to {len(dimension.choices) - 1}"
            )
        return dimension.choices[int(number)]
    if kind == "depth":
        return first + (number // 2 if dimension.name == "depth.0" else number)
    return number


# -- whose they are ----------------------------------------------------------------


def check_width(given: Settings, supernet: Supernet) -> None:
    """Raises InputError where the settings name the width multiplier of another supernet."""
    width = given.get("w")
    if is_number(width) and not has_widths(supernet.space) and width != supernet.family.width:
        raise InputError(
            f"w is the width multiplier {width:g}, but that of {supernet.name} is "
            + (f"{supernet.family.width:g}" if supernet.family.width is not None else "not known")
        )


def fitting_supernet(given: Settings, size: int) -> Supernet:
    """The one shipped supernet that has such subnets, best at images of ``size``. Raises InputError for none, and for several."""
    fitting, refused = [], []
    for supernet in map(open_supernet, documents.names("supernets")):
        try:
            check_width(given, supernet)
            choices_in(given, supernet.family.space)
        except InputError as error:
            refused.append(f"{supernet.name}: {error}")
        else:
            fitting.append(supernet)
    there = [s for s in fitting if size in s.family.space.by_name["resolution"].choices] or fitting
    if len(there) == 1:
        return there[0]
    if there:
        raise InputError(
            "these settings do not say which supernet they are of, and they are subnets of "
            f"{' and of '.join(s.name for s in there)}: name it with --supernet"
        )
    raise InputError(f"these settings are of no shipped supernet; {'; '.join(refused)}")


def choices_in(given: Settings, space: SearchSpace) -> dict[str, Choice]:
    """As :func:`choices`; raises InputError for a value that the space does not have, too."""
    values = choices(given, space)
    any_size = space.by_name["resolution"].choices[0]
    return dict(space.arch({**values, "resolution": any_size}).values)
