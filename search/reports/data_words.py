"""A check of a folder of images in words and tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from search.reports.units import counted, short_number

if TYPE_CHECKING:
    from rich.table import Table

    from supernet.images.data_check import FolderCheck, PartFigures, Sides
    from supernet.images.split_folder import WrittenSplit

MOST_CLASSES = 30
"""So many classes are all shown; of more, the smallest and the largest ones."""
ENDS = 5


def counted_findings(found: FolderCheck) -> str:
    """``1 error, 2 warnings, 1 note``."""
    from supernet.images.data_check import SEVERITIES

    return ", ".join(counted(found.count(severity), severity) for severity in SEVERITIES)


def of_check_json(found: FolderCheck) -> dict[str, Any]:
    """All of it as JSON can hold it; what is not known is left out."""
    parts = {
        name: {key: value for key, value in asdict(part).items() if value is not None}
        | {f"{side}": spread._asdict() for side in ("width", "height") if (spread := getattr(part, side))}
        | ({"imbalance": part.imbalance} if part.imbalance is not None else {})
        for name, part in found.parts.items()
    }
    return {
        "folder": found.folder,
        **({"supernet": found.supernet} if found.supernet is not None else {}),
        **({"preprocessing": found.preprocessing} if found.preprocessing is not None else {}),
        "parts": parts,
        "splits": dict(found.splits),
        "findings": [asdict(finding) for finding in found.findings],
        **{f"{severity}s": found.count(severity) for severity in ("error", "warning", "note")},
    }


def parts_table(found: FolderCheck) -> Table:
    """A row a part: images, classes, how many times the largest class is the smallest, sizes, modes."""
    made = new_table("", "images", "unreadable", "classes", "imbalance", "width", "height", "modes")
    for name, part in found.parts.items():
        modes = ", ".join(f"{mode} {count:,}" for mode, count in part.modes.items())
        modes = next(iter(part.modes)) if len(part.modes) == 1 else modes
        held = sum(count > 0 for count in part.classes.values())
        made.add_row(
            name, f"{part.images:,}", f"{part.unreadable:,}", f"{held:,}",
            f"{short_number(part.imbalance)} : 1" if part.imbalance is not None else "-",
            sides(part.width), sides(part.height), modes,
        )  # fmt: skip
    return made


def sides(found: Sides | None) -> str:
    """``155 (90-220)``: the median, the smallest and the largest, or ``28`` where all are the same."""
    if found is None:
        return "-"
    if found.least == found.greatest:
        return f"{found.least}"
    return f"{found.median:g} ({found.least}-{found.greatest})"


def classes_table(found: FolderCheck) -> Table:
    """Images of each class in each part; of many classes those with the fewest and the most in all."""
    made = new_table("class", *found.parts)
    parts = list(found.parts.values())
    names = list(parts[0].classes)
    for name in ends_of(names, key=lambda name: sum(part.classes[name] for part in parts)):
        made.add_row(*class_row(name, parts, len(names)))
    return made


def class_row(name: str | None, parts: Sequence[PartFigures], classes: int) -> list[str]:
    if name is None:
        return [left_between(classes), *("" for _ in parts)]
    return [name, *(f"{part.classes[name]:,}" for part in parts)]


def of_split(made: WrittenSplit) -> str:
    """``photos-split: train 800, calibration 800, validation 100, report 100 images of 10 classes``."""
    totals = ", ".join(f"{split} {sum(counts.values()):,}" for split, counts in made.counts.items())
    return f"{made.folder}: {totals} images of {len(made.counts['train']):,} classes"


def split_table(made: WrittenSplit) -> Table:
    """Images of each class in each split; of many classes those with the fewest and the most to train on."""
    table = new_table("class", *made.counts)
    rows = {name: [counts[name] for counts in made.counts.values()] for name in made.counts["train"]}
    for name in ends_of(rows, key=lambda name: made.counts["train"][name]):
        figures = [f"{count:,}" for count in rows[name]] if name is not None else [""] * len(made.counts)
        table.add_row(name or left_between(len(rows)), *figures)
    table.add_section()
    table.add_row("all", *(f"{sum(counts.values()):,}" for counts in made.counts.values()))
    return table


def ends_of(names: Iterable[str], key: Callable[[str], int]) -> Sequence[str | None]:
    """All names, or of many those with the least and the greatest ``key``, and None in between."""
    given = list(names)
    if len(given) <= MOST_CLASSES:
        return given
    ranked = sorted(given, key=key)
    return [*ranked[:ENDS], None, *ranked[-ENDS:]]


def left_between(classes: int) -> str:
    """What stands for the classes that are not shown."""
    return f"... {classes - 2 * ENDS:,} between"


def new_table(*headings: str, narrow: bool = False) -> Table:
    """Text on the left, figures on the right; ``narrow`` where many columns have to fit a terminal."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE, collapse_padding=narrow, pad_edge=not narrow)
    for place, heading in enumerate(headings):
        made.add_column(heading, justify="left" if place == 0 else "right", overflow="fold")
    return made


def findings_text(found: FolderCheck) -> str:
    """A paragraph a finding, and how many there are."""
    paragraphs = [
        f"{finding.severity.upper()} ({finding.kind}): {finding.told}\n  -> {finding.remedy}"
        for finding in found.findings
    ]
    return "\n".join([*paragraphs, f"{found.folder}: {counted_findings(found)}"])


def of_data_use(found: FolderCheck) -> list[str]:
    """Lines on how the supernet would use the images."""
    lines = []
    if found.preprocessing is not None:
        lines.append(f"{found.supernet} takes them with: {found.preprocessing}")
    if found.splits:
        lines.append("splits: " + ", ".join(f"{name} {count:,}" for name, count in found.splits.items()))
    return lines
