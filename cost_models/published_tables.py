"""Published latency tables: their files, and how each format names the pieces of a network.

An entry is the latency of a block (all that shares the name of a depthwise convolution) or
of a layer that stands alone, with its mean and spread over repeated measurements. The name
of an entry, its key, is made from the layers that a supernet describes: there is no second
walk over the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from supernet import documents
from supernet.amounts import Count
from supernet.archs.layers import Layer, grouped, is_beside
from supernet.documents import Document
from supernet.errors import InputError, short
from supernet.ofa_format.settings import is_number

Milliseconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Spread = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Entries = dict[str, tuple[Milliseconds, Spread | None]]
"""Mean and standard deviation in milliseconds, by key; a table of plain means has no deviations."""

ALONE = {"stem": "Conv", "head": "Conv_1", "head.pool": "AvgPool2D", "mix": "Conv_2", "classifier": "Logits"}
"""What the formats call the layers that belong to no block."""


class Piece(NamedTuple):
    """What one entry is the latency of: a block or a layer, by its name here, and its key in the table."""

    name: str
    key: str


@dataclass(frozen=True)
class Format:
    """A pattern of file names, one file a resolution or ``one`` for all, and the pieces of consecutive layers."""

    files: str
    pieces: Callable[[Sequence[Layer]], tuple[Piece, ...]]
    stem: str = ALONE["stem"]
    """How the key of the first convolution begins, which tells resolutions."""
    one: bool = False


UNITS_MS = {"ms": 1.0, "us": 1e-3, "s": 1e3}
"""Milliseconds in a unit of a table."""


class PublishedEntry(Document):
    """A mean over ``count`` measurements; newer files hold ``std``, older ones the variance ``var``, others neither."""

    mean: Milliseconds
    count: Count | None = None
    std: Spread | None = None
    var: Spread | None = None

    @model_validator(mode="after")
    def has_one_spread(self) -> PublishedEntry:
        if self.std is not None and self.var is not None:
            raise ValueError("an entry has either std or var, in milliseconds or their square, or neither")
        return self

    @property
    def deviation(self) -> float | None:
        """The standard deviation, in the unit of the mean."""
        return math.sqrt(self.var) if self.var is not None else self.std


PublishedEntries = dict[str, PublishedEntry]
"""The entries of a file as they are written, by key."""


def read_tables(known: Format, path: Path) -> dict[int, tuple[Path, PublishedEntries]]:
    """The file and the entries of each resolution; ``path`` is a folder of such files, or one of them.

    Raises InputError where there is none, for a wrong one and for two of the same resolution.
    """
    files = [path] if path.is_file() else sorted(path.glob(known.files))
    if not files:
        what = "holds no latency table" if path.is_dir() else "is neither a folder nor a file"
        raise InputError(f"{path} {what}; the tables of this format are files named {known.files}")
    found: dict[int, tuple[Path, PublishedEntries]] = {}
    for file in files:
        entries = read_entries(file)
        for resolution in resolutions_of(entries, file, known):
            if resolution in found:
                raise InputError(
                    f"{found[resolution][0]} and {file} are both tables of resolution {resolution}, by their "
                    f"entry {known.stem}; keep one of them"
                )
            found[resolution] = file, entries
    return dict(sorted(found.items()))


def in_ms(entries: PublishedEntries, unit: str) -> Entries:
    """Mean and deviation in milliseconds of entries in one of :data:`UNITS_MS`."""
    scale = UNITS_MS[unit]
    if scale == 1:
        return {key: (entry.mean, entry.deviation) for key, entry in entries.items()}
    return {
        key: (entry.mean * scale, entry.deviation * scale if entry.deviation is not None else None)
        for key, entry in entries.items()
    }


def read_entries(file: Path) -> PublishedEntries:
    """The entries of one file: a mapping with a mean, or a mean alone."""
    found: PublishedEntries = {}
    loaded = documents.load(file)
    if loaded and not any(is_number(v) or (isinstance(v, dict) and "mean" in v) for v in loaded.values()):
        key, value = next(iter(loaded.items()))
        raise InputError(
            f"{file} is a table of another layout: no entry of it is a mean or has one, as those of "
            f"{' and '.join(FORMATS)} have; its entry {short(key)} is {short(value)}"
        )
    for key, value in loaded.items():
        if not isinstance(key, str):
            raise InputError(
                f"{file}: the key {key!r} is no name of a layer or block; put it in quotes if it is one"
            )
        given = {"mean": value} if is_number(value) else value
        if not isinstance(given, dict):
            raise InputError(
                f"{file}: {key}: got {short(value)}; an entry is a mean, or has mean, and perhaps count and std or var"
            )
        found[key] = documents.check(given, PublishedEntry, f"{file}: {key}")
    return found


def resolutions_of(entries: PublishedEntries, file: Path, known: Format) -> list[int]:
    """The side of the images, which the key of the first convolution tells."""
    start = f"{known.stem}-input:"
    sizes = {key.removeprefix(start).partition("x")[0] for key in entries if key.startswith(start)}
    if not sizes or (len(sizes) > 1 and not known.one) or not all(size.isdecimal() for size in sizes):
        raise InputError(
            f"{file} must have {'entries' if known.one else 'one entry'} named like "
            f"{start}224x224x3-output:112x112x24, which {'tell' if known.one else 'tells'} its resolution"
        )
    return sorted(int(size) for size in sizes)


def note10_pieces(layers: Sequence[Layer]) -> tuple[Piece, ...]:
    """Keys with the expanded channels of a block, its gate and its activation function."""
    return tuple(Piece(name, note10_key(name, piece)) for name, piece in grouped(layers))


def note10_key(name: str, piece: Sequence[Layer]) -> str:
    """The key of one group of :func:`grouped`."""
    depthwise = depthwise_of(piece)
    if depthwise is not None:
        return f"{block_key(piece, depthwise, depthwise.in_channels)}-se:{gated(piece):d}-hs:{swish(depthwise):d}"
    return residual_key(piece) if piece[-1].op == "add" else alone_key(name, piece)


def pixel1_pieces(layers: Sequence[Layer]) -> tuple[Piece, ...]:
    """Keys with the expand ratio of a block; ``Logits`` is all that follows ``Conv_1``.

    The format knows neither gates nor activation functions: what was measured had no gate and
    no h-swish, and a block that has is given a key that no file holds.
    """

    def key(name: str, piece: Sequence[Layer]) -> str:
        depthwise = depthwise_of(piece)
        if depthwise is None:
            return alone_key(name, piece)
        ratio = depthwise.in_channels / piece[0].in_channels
        other = "-se:1" * gated(piece) + "-hs:1" * swish(depthwise)
        return block_key(piece, depthwise, f"{ratio:g}") + other

    found = grouped(layers)
    if [piece[-1].op for _, piece in found[-2:]] == ["pool", "linear"]:
        (_, pool), (name, linear) = found[-2:]
        found[-2:] = [(name, pool + linear)]
    return tuple(Piece(name, key(name, piece)) for name, piece in found)


OF_NSGANETV2 = {
    "stem": "first_conv",
    "head": "final_expand_layer",
    "mix": "feature_mix_layer",
    "classifier": "classifier",
}
"""What NSGANetV2's table calls the layers that belong to no block."""


def nsganetv2_pieces(layers: Sequence[Layer]) -> tuple[Piece, ...]:
    """Keys with the expand ratio of a block and its gate; ``final_expand_layer`` holds the pool behind it too.

    Two of their first layers' widths tell supernets of another width apart.
    """
    found: list[tuple[str, tuple[Layer, ...]]] = []
    for name, piece in grouped(layers):
        if found and [piece[-1].op, found[-1][0]] == ["pool", "head"]:
            continue  # its time is in the entry before
        found.append((name, piece))

    def key(name: str, piece: Sequence[Layer]) -> str:
        depthwise = depthwise_of(piece)
        if depthwise is None:
            called, first = OF_NSGANETV2.get(name, name), piece[0]
            if first.op == "linear":
                return f"{called}-input:{first.in_channels}-output:{first.out_channels}"
            return f"{called}-{shapes(piece)}"
        ratio = depthwise.in_channels / piece[0].in_channels
        return block_key(piece, depthwise, f"{ratio:g}", "MBConv") + f"-se:{gated(piece):d}"

    return tuple(Piece(name, key(name, piece)) for name, piece in found)


def depthwise_of(piece: Sequence[Layer]) -> Layer | None:
    return next((layer for layer in piece if layer.op == "depthwise"), None)


def gated(piece: Sequence[Layer]) -> bool:
    return any(layer.op == "scale" for layer in piece)


def swish(layer: Layer) -> bool:
    return layer.act == "h_swish"


def block_key(
    piece: Sequence[Layer], depthwise: Layer, expand: int | str, called: str = "expanded_conv"
) -> str:
    skip = any(layer.op == "add" for layer in piece)
    own = f"expand:{expand}-kernel:{depthwise.kernel}-stride:{depthwise.stride}-idskip:{skip:d}"
    return f"{called}-{shapes(piece)}-{own}"


def residual_key(piece: Sequence[Layer]) -> str:
    """Of a block that has a shortcut and no depthwise convolution; no table was published with such a key."""
    beside = [layer for layer in piece if is_beside(layer)]
    within = [layer for layer in piece if layer not in beside]
    kernel, stride = max(layer.kernel for layer in within), math.prod(layer.stride for layer in within)
    own = f"mid:{within[0].out_channels}-kernel:{kernel}-stride:{stride}-idskip:{not beside:d}"
    return f"residual-{shapes(piece)}-{own}"


def alone_key(name: str, piece: Sequence[Layer]) -> str:
    return f"{ALONE.get(name, name)}-{shapes(piece)}"


def shapes(piece: Sequence[Layer]) -> str:
    """Height, width and channels that enter and leave; a linear layer leaves channels only."""
    first, last = piece[0], piece[-1]
    out = f"{last.out_size}x{last.out_size}x" if last.op != "linear" else ""
    return f"input:{first.in_size}x{first.in_size}x{first.in_channels}-output:{out}{last.out_channels}"


FORMATS: Mapping[str, Format] = {
    "ofa": Format("*_lookup_table.yaml", note10_pieces),
    "note10": Format("*_lookup_table.yaml", note10_pieces),
    "pixel1": Format("mobile_trim.yaml", pixel1_pieces),
    "nsganetv2": Format("*lut.yaml", nsganetv2_pieces, OF_NSGANETV2["stem"], one=True),
}
"""``ofa`` is the layout of the Note10's tables under whatever device's name."""
AFTER_DEVICES = ("note10", "pixel1")
"""Formats that are called after the device that they were published for."""
