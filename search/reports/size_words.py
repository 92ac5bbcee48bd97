"""Sizes of model files as tables and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.reports.figures.plots import COLOURS, as_typed_texts, new_figure
from search.reports.units import counted
from supernet.sizes.byte_map import (
    CODE,
    CONTAINER,
    DELEGATE,
    EXAMPLES,
    GRAPH,
    METADATA,
    OTHER,
    PACKED,
    PART_KINDS,
    PICKLED,
    REPEATED,
    SCALE_BYTES,
    UNUSED,
    WEIGHT_BYTES,
    PartKey,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from supernet.sizes.becoming import Change
    from supernet.sizes.file_sizes import FileSizes
    from supernet.sizes.stored_tensor import StoredTensor

LISTED_TENSORS = 10
"""Tensors of one file that are listed."""
VISIBLE = 0.002
"""Of the longest bar; what is smaller has no line in the legend."""
SHOWN_CHARACTERS = 36
NAMED = 3
"""Tensors of a change, and copies, that are named."""
OF_DTYPES = {
    "float32": COLOURS[0], "int8": COLOURS[1], "uint8": COLOURS[1], "float16": COLOURS[2], "bfloat16": COLOURS[2],
    "int64": COLOURS[4],
}  # fmt: skip
"""Colours, the same in every picture; those of other dtypes are one."""
OF_KINDS = {
    PACKED: COLOURS[3], UNUSED: "#8b8b3a", SCALE_BYTES: "#e3b98f", DELEGATE: "#5b8c85", PICKLED: "#c9a227", CODE: "#5f7fa8",
    EXAMPLES: "#b08fd8", GRAPH: "#787878", METADATA: "#a8a8a8", CONTAINER: "#d0d0d0", OTHER: "#e4e4e4",
}  # fmt: skip


def binary(size: int) -> str:
    """``512 B``, ``12.3 KiB``, ``233.08 MiB``."""
    if size < 1024:
        return f"{size} B"
    return f"{size / 1024:.1f} KiB" if size < 2**20 else f"{size / 2**20:,.2f} MiB"


def part_name(key: PartKey) -> str:
    return f"{key.kind}, {key.dtype}" if key.dtype else key.kind


def part_keys(found: Sequence[FileSizes]) -> list[PartKey]:
    """All parts of several files, in one order."""
    keys = {key for one in found for key in one.parts}
    most = {key: max(one.parts.get(key, 0) for one in found) for key in keys}
    return sorted(keys, key=lambda key: (PART_KINDS.index(key.kind), -most[key], key.dtype))


def short_names(found: Sequence[FileSizes]) -> list[str]:
    """Names of files without the folders that all of them are in; whole ones where that would be the same twice."""
    names = [Path(one.name).name for one in found]
    return names if len(set(names)) == len(names) else [one.name for one in found]


def file_parts_table(found: Sequence[FileSizes]) -> Table:
    """A row a part, a column a file; then the bytes, and how much of the first file that is."""
    table = empty_table(["", *short_names(found)])
    table.add_row("format", *(one.format for one in found))
    table.add_section()
    for key in part_keys(found):
        table.add_row(part_name(key), *(binary(one.parts[key]) if key in one.parts else "" for one in found))
    table.add_section()
    table.add_row("all of it", *(binary(one.bytes) for one in found))
    table.add_row("bytes", *(f"{one.bytes:,}" for one in found))
    if len(found) > 1 and found[0].bytes:  # the card of a bundle may be empty
        table.add_row("of the first", *(f"{one.bytes / found[0].bytes:.3f}" for one in found))
    return table


def empty_table(columns: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE)
    for i, name in enumerate(columns):
        made.add_column(Text(name), justify="right" if i else "left", overflow="fold")
    return made


def tensors_table(tensors: Sequence[StoredTensor]) -> Table:
    """The largest, by what they take in the file."""
    from rich.text import Text

    table = empty_table(["largest tensors", "dtype", "shape", "bytes"])
    for one in sorted(tensors, key=lambda one: -one.stored_bytes)[:LISTED_TENSORS]:
        shape = " x ".join(map(str, one.shape)) or "one number"
        table.add_row(Text(end_of(one.name)), one.dtype, shape, binary(one.stored_bytes))
    return table


def repeats_much(one: FileSizes) -> bool:
    """Whether a hundredth of a file is there more than once."""
    return 100 * sum(size for key, size in one.parts.items() if key.kind == REPEATED) > one.bytes


def end_of(name: str) -> str:
    """A name, or of a long one its end, which tells most."""
    return name if len(name) <= SHOWN_CHARACTERS else f"...{name[3 - SHOWN_CHARACTERS :]}"


def first_named(told: Sequence[str]) -> str:
    more = f" and {len(told) - NAMED:,} more" if len(told) > NAMED else ""
    return ", ".join(told[:NAMED]) + more


def of_repeated(one: FileSizes) -> str:
    """That tensors are there more than once, as copies or as other names for the same bytes."""
    again = [t for t in one.tensors if t.same_as is not None and not t.of_optimizer]
    shared = [f"{end_of(t.name)} = {end_of(str(t.same_as))}" for t in again if t.is_shared]
    copies = [f"{end_of(t.name)} = {end_of(str(t.same_as))}" for t in again if not t.is_shared]
    lost = sum(t.stored_bytes for t in again)
    lines = []
    if copies:
        are = "are stored again" if len(copies) > 1 else "is stored again"
        lines.append(
            f"{counted(len(copies), 'tensor')} with the bytes of another {are}, {binary(lost)}: {first_named(copies)}"
        )
    if shared:
        lines.append(
            f"{counted(len(shared), 'tensor')} under another name, stored once: {first_named(shared)}"
        )
    return "\n".join(lines)


def changes_table(found: Sequence[Change]) -> Table:
    """A row a way in which tensors of the first file became those of the second."""
    from rich.text import Text

    table = empty_table(["how", "tensors", "bytes in the first", "in the second", "such as"])
    table.columns[4].justify, table.columns[1].no_wrap = "left", True
    for change in found:
        tensors = max(len(change.before), len(change.after))
        table.add_row(
            change.how, f"{tensors:,}", *(binary(size) if size or side else "" for size, side in (
                (change.bytes_before, change.before), (change.bytes_after, change.after))),
            Text(such_as(change)),
        )  # fmt: skip
    return table


def such_as(change: Change) -> str:
    """The largest tensors of a change, a line each, with both names where they differ."""
    pairs = sorted(
        zip_longest(change.before, change.after), key=lambda pair: -max(t.bytes for t in pair if t)
    )[:NAMED]
    return "\n".join(" -> ".join(dict.fromkeys(end_of(t.name) for t in pair if t)) for pair in pairs)


# -- for programs ------------------------------------------------------------------


def of_file(one: FileSizes) -> dict[str, Any]:
    return {
        "name": one.name,
        "format": one.format,
        "bytes": one.bytes,
        "files": dict(one.files),
        "parts": [{"part": key.kind, **({"dtype": key.dtype} if key.dtype else {}), "bytes": size}
                  for key, size in one.parts.items()],
        "tensors": [of_tensor(tensor) for tensor in one.tensors],
    }  # fmt: skip


def of_tensor(one: StoredTensor) -> dict[str, Any]:
    return {
        "name": one.name, "dtype": one.dtype, "shape": list(one.shape), "bytes": one.bytes,
        "stored_bytes": one.stored_bytes, "sha256": one.content,
        **({"same_as": one.same_as, "is_shared": one.is_shared} if one.same_as is not None else {}),
    }  # fmt: skip


def of_changes(found: Mapping[str, Sequence[Change]]) -> list[dict[str, Any]]:
    return [
        {
            "file": name,
            "changes": [
                {
                    "how": change.how,
                    "bytes_before": change.bytes_before,
                    "bytes_after": change.bytes_after,
                    "before": [one.name for one in change.before],
                    "after": [one.name for one in change.after],
                }
                for change in changes
            ],
        }
        for name, changes in found.items()
    ]


# -- a picture ---------------------------------------------------------------------


def sizes_figure(found: Sequence[FileSizes]) -> Figure:
    """A bar a file, of its parts on one another."""
    figure, axes = new_figure(size=(8, 1.7 + 0.3 * len(found)))
    names, most = short_names(found), max(one.bytes for one in found)
    unit, scale = ("MiB", 2**20) if most >= 2**20 else ("KiB", 1024)
    left = [0.0] * len(found)
    for key in part_keys(found):
        sizes = [one.parts.get(key, 0) for one in found]
        widths = [size / scale for size in sizes]
        label = part_name(key) if max(sizes) >= VISIBLE * most else None
        axes.barh(names, widths, left=left, label=label, height=0.7, **look_of(key))
        left = [at + width for at, width in zip(left, widths, strict=True)]
    for name, end, one in zip(names, left, found, strict=True):
        axes.text(end, name, f" {binary(one.bytes)}", va="center", fontsize=8)
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xlim(0, max(left) * 1.17)
    axes.set_xlabel(unit)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return as_typed_texts(figure)


def look_of(key: PartKey) -> dict[str, Any]:
    """Colour by dtype, hatched for what is there again or is of training; by kind for what is no tensor."""
    if key.kind in OF_KINDS:
        return {"color": OF_KINDS[key.kind]}
    colour = OF_DTYPES.get(key.dtype, COLOURS[5])
    if key.kind == WEIGHT_BYTES:
        return {"color": colour}
    return {
        "color": colour,
        "alpha": 0.55,
        "hatch": "///" if key.kind == REPEATED else "...",
        "edgecolor": "white",
    }
