"""One folder of images a class becomes images to train on, to choose by and to report, by the files' content alone.

The rule, for each class by itself: files are sorted by the sha256 of their bytes. From the first on they are for ``report``
until it has its share, then for ``validation`` until that has its own; the others are for ``train``. Files with the same bytes
stay together, and go to ``train`` where they are more than a split still has room for, or are in several classes. Of ``train``,
``calibration`` holds the last ones of each class in the same order, in proportion. So the same files give the same splits on
every machine, whatever they are called, without a seed.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from supernet.errors import InputError, few, some
from supernet.images.data import CALIBRATION_IMAGES, SPLITS, TRAIN_AND_VAL
from supernet.images.image_folder import Undecodable, class_folders, decoded, left_out_of, visible, walked

if TYPE_CHECKING:
    from PIL import Image

WRITTEN = ("train", "calibration", "validation", "report")
"""The folders of a split, in the order in which they are shown."""
LEAST_OF_A_CLASS = 3
"""Different images: one for each of train, validation and report."""
MOST_SHARE = 0.9
"""Of validation and report together."""

SplitProgress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Shares:
    """Parts of each class's images for validation and report, and images in all for calibration."""

    validation: float = 0.1
    report: float = 0.1
    calibration: int = CALIBRATION_IMAGES

    def __post_init__(self) -> None:
        for option, share in (("--validation", self.validation), ("--report", self.report)):
            if not 0 < share < 1:
                raise InputError(f"{option}: got {share:g}; a share between 0 and 1 is possible, as 0.1")
        if self.validation + self.report > MOST_SHARE:
            raise InputError(
                f"--validation {self.validation:g} and --report {self.report:g} leave less than a tenth to train on; "
                f"together they may be {MOST_SHARE:g} at most"
            )
        if self.calibration < 1:
            raise InputError(f"--calibration: got {self.calibration}; 1 or more images are possible")


@dataclass(frozen=True)
class FoundImages:
    """Images of each class below ``folder`` as ``CLASS/.../FILE`` with the sha256 of each, and what is left out."""

    folder: Path
    digests: Mapping[str, Mapping[str, str]]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class SplitPlan:
    """Files of each split by class, as ``CLASS/.../FILE``; ``calibration`` is a part of ``train``."""

    files: Mapping[str, Mapping[str, tuple[str, ...]]]
    copies: int
    torn: tuple[str, ...]

    def count(self, split: str) -> int:
        return sum(map(len, self.files[split].values()))


def found_images(folder: Path, show: SplitProgress = lambda *_: None) -> FoundImages:
    """Read and decode every image below the class folders. Raises InputError for no classes, one, and damaged files."""
    inner = inside_wrapper(folder)
    names = class_folders(inner)
    check_unsplit(inner, names)
    walks = {name: walked(inner, name) for name in names}
    total = sum(len(walk.files) for walk in walks.values())
    digests, damaged, done = dict[str, dict[str, str]](), list[str](), 0
    for name, walk in walks.items():
        digests[name] = {}
        for file in walk.files:
            try:
                digests[name][file] = decoded(inner / file, digest_of_image)
            except Undecodable as error:
                damaged.append(f"{inner / file} ({error.reason})")
            done += 1
            show(done, total, name)
    if damaged:
        raise InputError(
            f"{len(damaged):,} of {total:,} files cannot be decoded as images: {few(damaged)}; remove or replace them"
        )
    check_amounts(inner, digests)
    return FoundImages(inner, digests, left_out_of(inner, walks))


def digest_of_image(image: Image.Image, content: bytes) -> str:
    image.load()
    return hashlib.sha256(content).hexdigest()


def inside_wrapper(folder: Path) -> Path:
    """The folder, or the one folder in it that holds all others, as an archive often has one."""
    inside = visible(folder)
    while (
        len(inside) == 1 and (folder / inside[0]).is_dir() and visible(folder / inside[0], folders_only=True)
    ):
        folder = folder / inside[0]
        inside = visible(folder)
    return folder


def check_unsplit(folder: Path, names: Sequence[str]) -> None:
    """Raises InputError where the class folders are splits."""
    splits = [name for name in names if name in (*SPLITS, *TRAIN_AND_VAL, "test")]
    if len(splits) > 1:
        raise InputError(
            f"{folder} has {' and '.join(f'{name}/' for name in splits)}, so it is split already: see it with oncefit data check, "
            "or give one folder of images a class"
        )


def check_amounts(folder: Path, digests: Mapping[str, Mapping[str, str]]) -> None:
    """Raises InputError for one class, and for classes that do not have an image for each split."""
    if len(digests) < 2:
        raise InputError(
            f"{folder} has one class, {some(digests)}: there is nothing to tell apart; give one folder of images a class"
        )
    scarce = [
        f"{name} ({different})"
        for name, found in digests.items()
        if (different := len(set(found.values()))) < LEAST_OF_A_CLASS
    ]
    if scarce:
        raise InputError(
            f"classes in {folder} with fewer than {LEAST_OF_A_CLASS} different images, one for each of train, validation and "
            f"report: {some(scarce)}; add images, or take these folders out"
        )


def planned_split(found: FoundImages, shares: Shares) -> SplitPlan:
    """Which file goes where, by the rule above. Raises InputError where a class would be in no split of some kind."""
    torn = in_several_classes(found)
    planned: dict[str, dict[str, tuple[str, ...]]] = {split: {} for split in WRITTEN}
    for name, digests in found.digests.items():
        for split, of_split in of_one_class(digests, torn, shares).items():
            planned[split][name] = of_split
    check_every_split(found.folder, planned)
    planned["calibration"] = taken_in_proportion(planned["train"], shares.calibration)
    copies = sum(len(digests) - len(set(digests.values())) for digests in found.digests.values())
    odd = [file for digests in found.digests.values() for file, digest in digests.items() if digest in torn]
    return SplitPlan(planned, copies, tuple(odd))


def in_several_classes(found: FoundImages) -> set[str]:
    """Digests of content that is in more than one class."""
    seen = defaultdict[str, set[str]](set)
    for name, digests in found.digests.items():
        for digest in digests.values():
            seen[digest].add(name)
    return {digest for digest, names in seen.items() if len(names) > 1}


def of_one_class(digests: Mapping[str, str], torn: set[str], shares: Shares) -> dict[str, tuple[str, ...]]:
    """The files of a class in train, validation and report, each in the order of their hashes."""
    groups = defaultdict[str, list[str]](list)
    for file, digest in sorted(digests.items()):
        groups[digest].append(file)
    room = {
        "report": wanted(shares.report, len(digests)),
        "validation": wanted(shares.validation, len(digests)),
    }
    taken = defaultdict[str, list[str]](list)
    for digest in sorted(groups):
        fits = [split for split, left in room.items() if len(groups[digest]) <= left]
        split = fits[0] if fits and digest not in torn else "train"
        if split in room:
            room[split] -= len(groups[digest])
        taken[split] += groups[digest]
    return {split: tuple(taken[split]) for split in ("train", "validation", "report")}


def wanted(share: float, images: int) -> int:
    """Images of a class for a split: its share to the nearest, and one at least."""
    return max(1, math.floor(share * images + 0.5))


def check_every_split(folder: Path, files: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """Raises InputError where a class is not in a split, as copies of one image stay together."""
    without = [
        f"{name} in {split}"
        for split, classes in files.items()
        for name, inside in classes.items()
        if not inside
    ]
    if without:
        raise InputError(
            f"too few different images in {folder}: there would be none of {some(without)}; add images, or give other shares"
        )


def taken_in_proportion(train: Mapping[str, Sequence[str]], count: int) -> dict[str, tuple[str, ...]]:
    """So many of the images to train on, or all: of each class its share, rounded up, the last ones."""
    total = sum(map(len, train.values()))
    return {
        name: tuple(files[len(files) - rounded_up(len(files) * min(count, total), total) :])
        for name, files in train.items()
    }


def rounded_up(part: int, of: int) -> int:
    return -(-part // of)
