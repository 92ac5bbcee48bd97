"""Published latency tables: their files, and how each format names the pieces of a network.

An entry is the latency of a block (all that shares the name of a depthwise convolution) or
of a layer that stands alone, with its mean and spread over repeated measurements. The name
of an entry, its key, is made from the layers that a supernet describes: there is no second
walk over the network.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from supernet import documents
from supernet.amounts import Count
from supernet.documents import Document
from supernet.errors import InputError, short
from supernet.layers import Layer

Milliseconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Spread = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Entries = dict[str, tuple[Milliseconds, Spread]]
"""Mean and standard deviation in milliseconds, by key."""

ALONE = {"stem": "Conv", "head": "Conv_1", "head.pool": "AvgPool2D", "mix": "Conv_2", "classifier": "Logits"}
"""What the formats call the layers that belong to no block."""


class Piece(NamedTuple):
    """What one entry is the latency of: a block or a layer, by its name here, and its key in the table."""

    name: str
    key: str


@dataclass(frozen=True)
class Format:
    """A pattern of file names, one file a resolution, and the pieces of consecutive layers."""

    files: str
    pieces: Callable[[Sequence[Layer]], tuple[Piece, ...]]


NEEDED = {"count", "mean"}
"""What every entry has; its spread is ``std`` or ``var``."""


class PublishedEntry(Document):
    """Milliseconds over ``count`` measurements; newer files hold ``std``, older ones the variance ``var``."""

    count: Count
    mean: Milliseconds
    std: Spread | None = None
    var: Spread | None = None

    @model_validator(mode="after")
    def has_one_spread(self) -> PublishedEntry:
        if (self.std is None) == (self.var is None):
            raise ValueError("an entry has either std or var, in milliseconds or their square")
        return self

    @property
    def deviation(self) -> float:
        """The standard deviation in milliseconds."""
        if self.var is not None:
            return math.sqrt(self.var)
        assert self.std is not None
        return self.std


def read_tables(known: Format, path: Path) -> dict[int, tuple[Path, Entries]]:
    """The file and the entries of each resolution; ``path`` is a folder of such files, or one of them.

    Raises InputError where there is none, for a wrong one and for two of the same resolution.
    """
    files = [path] if path.is_file() else sorted(path.glob(known.files))
    if not files:
        what = "holds no latency table" if path.is_dir() else "is neither a folder nor a file"
        raise InputError(f"{path} {what}; the tables of this format are files named {known.files}")
    found: dict[int, tuple[Path, Entries]] = {}
    for file in files:
        entries = read_entries(file)
        resolution = resolution_of(entries, file)
        if resolution in found:
            raise InputError(
                f"{found[resolution][0]} and {file} are both tables of resolution {resolution}, by their "
                f"entry {ALONE['stem']}; keep one of them"
            )
        found[resolution] = file, entries
    return dict(sorted(found.items()))


def read_entries(file: Path) -> Entries:
    """The entries of one file."""
    found: Entries = {}
    loaded = documents.load(file)
    if loaded and not any(isinstance(value, dict) and set(value) >= NEEDED for value in loaded.values()):
        key, value = next(iter(loaded.items()))
        raise InputError(
            f"{file} is a table of another layout: no entry of it has {' and '.join(sorted(NEEDED))}, as those of "
            f"{' and '.join(FORMATS)} have (in milliseconds, with std or var); its entry {short(key)} is {short(value)}"
        )
    for key, value in loaded.items():
        if not isinstance(value, dict):
            raise InputError(f"{file}: {key}: got {short(value)}; an entry has count, mean and std or var")
        entry = documents.check(value, PublishedEntry, f"{file}: {key}")
        found[str(key)] = entry.mean, entry.deviation
    return found


def resolution_of(entries: Entries, file: Path) -> int:
    """The side of the images, which the key of the first convolution tells."""
    start = f"{ALONE['stem']}-input:"
    sizes = {key.removeprefix(start).partition("x")[0] for key in entries if key.startswith(start)}
    if len(sizes) != 1 or not (size := sizes.pop()).isdecimal():
        raise InputError(
            f"{file} must have one entry named like {start}224x224x3-output:112x112x24, which tells its resolution"
        )
    return int(size)


def grouped(layers: Sequence[Layer]) -> list[tuple[str, tuple[Layer, ...]]]:
    """Blocks and the layers that stand alone, in order, by name."""
    blocks = [layer.name.rpartition(".")[0] for layer in layers if layer.op == "depthwise"]

    def owner(layer: Layer) -> str:
        return next((block for block in blocks if layer.name.startswith(f"{block}.")), layer.name)

    return [(name, tuple(group)) for name, group in itertools.groupby(layers, key=owner)]


def note10_pieces(layers: Sequence[Layer]) -> tuple[Piece, ...]:
    """Keys with the expanded channels of a block, its gate and its activation function."""

    def key(piece: Sequence[Layer]) -> str:
        depthwise = depthwise_of(piece)
        if depthwise is None:
            return alone_key(piece)
        return f"{block_key(piece, depthwise, depthwise.in_channels)}-se:{gated(piece):d}-hs:{swish(depthwise):d}"

    return tuple(Piece(name, key(piece)) for name, piece in grouped(layers))


def pixel1_pieces(layers: Sequence[Layer]) -> tuple[Piece, ...]:
    """Keys with the expand ratio of a block; ``Logits`` is all that follows ``Conv_1``.

    The format knows neither gates nor activation functions: what was measured had no gate and
    no h-swish, and a block that has is given a key that no file holds.
    """

    def key(piece: Sequence[Layer]) -> str:
        depthwise = depthwise_of(piece)
        if depthwise is None:
            return alone_key(piece)
        ratio = depthwise.in_channels / piece[0].in_channels
        other = "-se:1" * gated(piece) + "-hs:1" * swish(depthwise)
        return block_key(piece, depthwise, f"{ratio:g}") + other

    found = grouped(layers)
    if [piece[-1].op for _, piece in found[-2:]] == ["pool", "linear"]:
        (_, pool), (name, linear) = found[-2:]
        found[-2:] = [(name, pool + linear)]
    return tuple(Piece(name, key(piece)) for name, piece in found)


def depthwise_of(piece: Sequence[Layer]) -> Layer | None:
    return next((layer for layer in piece if layer.op == "depthwise"), None)


def gated(piece: Sequence[Layer]) -> bool:
    return any(layer.op == "scale" for layer in piece)


def swish(layer: Layer) -> bool:
    return layer.act == "h_swish"


def block_key(piece: Sequence[Layer], depthwise: Layer, expand: int | str) -> str:
    skip = any(layer.op == "add" for layer in piece)
    own = f"expand:{expand}-kernel:{depthwise.kernel}-stride:{depthwise.stride}-idskip:{skip:d}"
    return f"expanded_conv-{shapes(piece)}-{own}"


def alone_key(piece: Sequence[Layer]) -> str:
    return f"{ALONE.get(piece[-1].name, piece[-1].name)}-{shapes(piece)}"


def shapes(piece: Sequence[Layer]) -> str:
    """Height, width and channels that enter and leave; a linear layer leaves channels only."""
    first, last = piece[0], piece[-1]
    out = f"{last.out_size}x{last.out_size}x" if last.op != "linear" else ""
    return f"input:{first.in_size}x{first.in_size}x{first.in_channels}-output:{out}{last.out_channels}"


FORMATS: Mapping[str, Format] = {
    "note10": Format("*_lookup_table.yaml", note10_pieces),
    "pixel1": Format("mobile_trim.yaml", pixel1_pieces),
}
