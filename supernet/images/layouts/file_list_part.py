"""Files with their labels in a list: ``val.csv`` or ``val.txt``, ``val/labels.csv``, or ImageNet's ground truth."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch

from supernet.documents import text_of
from supernet.errors import InputError, few, short, some
from supernet.images.class_folders import ClassFolders, Order, folder_name, is_numbered, labels_of
from supernet.images.image_folder import SUFFIXES, ImageFiles, Origin, suffix_of, visible
from supernet.images.layouts.imagenet_devkit import GROUND_TRUTH, GROUND_TRUTH_FOLDERS, wnids_of

FILE_HEADINGS = ("file", "filename", "path", "image")
LABEL_HEADINGS = ("label", "class", "target", "output")
OUTPUT = "output"
"""A heading of labels that are places of outputs, counted from 0."""


class ListRow(NamedTuple):
    """A line of a list; ``file`` is None where it holds a label alone."""

    line: int
    file: str | None
    label: str


@dataclass(frozen=True)
class FileListPart:
    """The list in ``listing``, whose files are beside it or in ``folder``."""

    listing: Path
    folder: Path

    @property
    def where(self) -> str:
        return str(self.listing)

    @cached_property
    def table(self) -> tuple[list[ListRow], str]:
        """Its rows, and the heading of the labels."""
        rows, heading = read_rows(self.listing)
        check_listed(rows, self.listing)
        return rows, heading

    @cached_property
    def labels(self) -> list[str]:
        """What each file's label is called."""
        rows, _ = self.table
        if rows[0].file is None and self.listing.name == GROUND_TRUTH:
            return wnids_of(self.listing, [row.label for row in rows])
        return [folder_name(row.label) for row in rows]

    @property
    def names(self) -> Sequence[str]:
        """In sorted order; numbers by their value."""
        found = set(self.labels)
        return sorted(found, key=(lambda name: (int(name), name)) if all(map(is_numbered, found)) else str)

    def listed(self, classes: Sequence[str]) -> ImageFiles:
        rows, heading = self.table
        base, files = self.files(rows)
        outputs = self.outputs(classes, heading)
        labels = [outputs.labels[label] for label in self.labels]
        others = self.not_listed(base, files)
        origin = Origin(
            self.where, f"labels in {self.listing.name} are {outputs.order.value}",
            (f"{others:,} image{'s' * (others != 1)} that {self.listing.name} does not list",) if others else (),
            len(files), outputs.labels, outputs.order is Order.SORTED,
        )  # fmt: skip
        return ImageFiles(base, tuple(files), torch.tensor(labels), origin=origin)

    def outputs(self, classes: Sequence[str], heading: str) -> ClassFolders:
        """The output of each label's name."""
        own_numbers = all(map(is_numbered, classes))
        if heading == OUTPUT and not own_numbers:
            for row in self.table[0]:
                if not is_numbered(row.label) or int(row.label) >= len(classes):
                    raise out_of_range(self.listing, row, len(classes))
            return ClassFolders({name: int(name) for name in self.names}, Order.NUMBERS)
        if all(map(is_numbered, self.names)) and not own_numbers:
            first = 0 if any(int(name) == 0 for name in self.names) else 1
            for row in self.table[0]:
                if int(row.label) >= len(classes) + first:
                    raise out_of_range(self.listing, row, len(classes))
        return labels_of(self.listing, self.names, classes, "label")

    def files(self, rows: Sequence[ListRow]) -> tuple[Path, list[str]]:
        """The folder that files are in, and these from there. Raises InputError for missing ones."""
        if rows[0].file is None:
            return self.folder, self.in_order(len(rows))
        files = [str(row.file) for row in rows]
        bases = dict.fromkeys((self.listing.parent, self.folder))
        base = next((base for base in bases if (base / files[0]).is_file()), self.listing.parent)
        missing = [row for row, file in zip(rows, files, strict=True) if not (base / file).is_file()]
        if missing:
            raise InputError(
                f"{self.listing} lists {len(missing):,} of {len(rows):,} files that are not there: "
                f"{few([f'{row.file} (line {row.line})' for row in missing])}; paths start at "
                f"{' or '.join(map(str, bases))}: put the files there, or take the lines out"
            )
        return base, files

    def in_order(self, labels: int) -> list[str]:
        """The images of the folder in sorted order, for a list that holds labels alone."""
        files = [name for name in visible(self.folder) if suffix_of(name) in SUFFIXES]
        if len(files) != labels:
            raise InputError(
                f"{self.listing} holds {labels:,} labels without files, and {self.folder} {len(files):,} images; labels alone "
                "are of the images in sorted order: give one for each, or rows of file,label"
            )
        return files

    def not_listed(self, base: Path, files: Sequence[str]) -> int:
        """How many images there are in the folder itself that the list does not name."""
        if not self.folder.is_dir():
            return 0
        known = {str(base / file) for file in files}
        return sum(
            str(self.folder / name) not in known
            for name in visible(self.folder)
            if suffix_of(name) in SUFFIXES
        )


def file_list_part(folder: Path, name: str) -> FileListPart | None:
    """The part ``name`` of a data set in ``folder``, where a list says what is in it."""
    images = folder / name
    candidates = [
        folder / f"{name}.csv",
        folder / f"{name}.txt",
        images / "labels.csv",
        images / "labels.txt",
    ]
    if name == "val":
        candidates += [
            place / GROUND_TRUTH for place in (folder, images, *(folder / f for f in GROUND_TRUTH_FOLDERS))
        ]
    found = [path for path in candidates if path.is_file()]
    if len(found) > 1:
        raise InputError(f"{folder} has more than one list for {name}: {some(found)}; leave one")
    return FileListPart(found[0], images) if found else None


def read_rows(listing: Path) -> tuple[list[ListRow], str]:
    """The rows of a list and the heading of its labels. Raises InputError for one that is not a list."""
    try:
        lines = [
            (number, cells)
            for number, cells in enumerate(split_lines(text_of(listing, "text"), listing.suffix == ".csv"), 1)
            if any(cells)
        ]
    except csv.Error as error:
        raise InputError(f"{listing} is not a CSV file: {error}") from error
    if not lines:
        raise InputError(f"{listing} is empty; give rows of file,label")
    first = [cell.casefold() for cell in lines[0][1]]
    file_column = next((first.index(name) for name in FILE_HEADINGS if name in first), None)
    label_column = next((first.index(name) for name in LABEL_HEADINGS if name in first), None)
    if file_column is not None and label_column is not None:
        heading, lines = first[label_column], lines[1:]
        needed = max(file_column, label_column) + 1
    else:
        heading, file_column, label_column, needed = "label", 0, 1, len(lines[0][1])
        if needed > 2:
            raise InputError(
                f"{listing} has {needed} columns and no heading that says which are meant; begin it with a line of "
                f"headings, {' or '.join(FILE_HEADINGS)} for the one and {' or '.join(LABEL_HEADINGS)} for the other"
            )
    rows = []
    for number, cells in lines:
        if len(cells) < needed or (
            needed == 2 and heading == "label" and len(cells) > 2 and file_column == 0
        ):
            raise InputError(
                f"{listing}, line {number}: expected {needed} column{'s' * (needed != 1)}, got {short(','.join(cells))}"
            )
        alone = needed == 1
        rows.append(
            ListRow(number, None if alone else cells[file_column], cells[0] if alone else cells[label_column])
        )
    if not rows:
        raise InputError(f"{listing} has headings and no rows; give rows of file,label")
    return rows, heading


def split_lines(text: str, is_csv: bool) -> Iterator[list[str]]:
    """The cells of each line: by commas, semicolons or tabs; in a text else by its last space, as Caffe's lists."""
    first = text.partition("\n")[0]
    separator = next((mark for mark in ("\t", ";", ",") if mark in first), None)
    if separator is not None or is_csv:
        for cells in csv.reader(text.splitlines(), delimiter=separator or ","):
            yield [cell.strip() for cell in cells]
    else:
        for line in text.splitlines():
            yield line.strip().rsplit(maxsplit=1)


def check_listed(rows: Sequence[ListRow], listing: Path) -> None:
    """Raises InputError for an empty label or file, and for a file that is listed twice."""
    for row in rows:
        if not row.label or row.file == "":
            raise InputError(f"{listing}, line {row.line}: a file or a label is empty")
    seen: dict[str, ListRow] = {}
    twice = [(seen[row.file], row) for row in rows if row.file and seen.setdefault(row.file, row) is not row]
    if twice:
        shown = few([f"{row.file} (lines {before.line} and {row.line})" for before, row in twice])
        raise InputError(
            f"{listing} lists {len(twice):,} files more than once: {shown}; leave one row for each"
        )


def out_of_range(listing: Path, row: ListRow, outputs: int) -> InputError:
    return InputError(
        f"{listing}, line {row.line}: label {short(row.label)} is out of range: the network has {outputs:,} outputs, counted "
        "from 0 (or from 1, where there is no 0); give labels of its classes, or their names"
    )
