"""What is wrong with a folder of images before anything is measured on it, how bad that is, and what to do.

Every file is read and decoded. Nothing but the folder is needed; with a supernet it is also held against what that
takes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

import numpy as np

from supernet.accuracy import wilson
from supernet.errors import InputError, few, some
from supernet.families.catalog import Supernet
from supernet.images.class_folders import Order
from supernet.images.data import CALIBRATION_BATCH, find_parts, list_splits, parts_in
from supernet.images.image_folder import ImageFiles, Origin, visible
from supernet.images.image_looks import Look, looks_at
from supernet.images.images import Images
from supernet.images.layouts.part import DataPart
from supernet.images.layouts.registry import find_part, part_at
from supernet.images.near_copies import THUMB_COLUMNS, THUMB_ROWS, look_alike
from supernet.images.preprocessing import shorter_side

FindingSeverity = Literal["error", "warning", "note"]
SEVERITIES: tuple[FindingSeverity, ...] = ("error", "warning", "note")

MUCH_LEAKED = 0.01
"""A share of a part's images: so many that were seen before move top-1 by up to a point."""
IMBALANCED, SLIGHTLY = 10, 2
"""Times as many images of the largest class as of the smallest."""
FEW_TO_MEASURE = 100

LookProgress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class DataFinding:
    """One thing that was noticed: ``told`` is a sentence, ``remedy`` what to do, ``files`` those that it is about."""

    severity: FindingSeverity
    kind: str
    told: str
    remedy: str
    files: tuple[str, ...] = ()


class Sides(NamedTuple):
    """Of a side of images, in pixels."""

    least: int
    median: float
    greatest: int


@dataclass(frozen=True)
class PartFigures:
    """What a part holds: images by class and mode, and how large those are that can be decoded."""

    images: int
    unreadable: int
    classes: Mapping[str, int]
    modes: Mapping[str, int]
    width: Sides | None
    height: Sides | None

    @property
    def imbalance(self) -> float | None:
        """Images of the largest class to those of the smallest that has any."""
        counts = [count for count in self.classes.values() if count]
        return max(counts) / min(counts) if counts else None


@dataclass(frozen=True)
class FolderCheck:
    """All that was found in ``folder``; ``splits`` says how many images each would have, where a supernet takes it."""

    folder: str
    parts: Mapping[str, PartFigures]
    splits: Mapping[str, int]
    findings: tuple[DataFinding, ...]
    supernet: str | None = None
    preprocessing: str | None = None

    def count(self, severity: FindingSeverity) -> int:
        return sum(finding.severity == severity for finding in self.findings)


@dataclass(frozen=True)
class SeenParts:
    """The parts with their looks, and names of labels."""

    classes: tuple[str, ...]
    looks: Mapping[str, Sequence[Look]]
    origins: Mapping[str, Origin | None]

    def images_of(self, part: str) -> Counter[str]:
        return Counter(self.classes[look.label] for look in self.looks[part])

    def total(self, part: str) -> int:
        return len(self.looks[part])


def check_images_in(
    folder: Path, supernet: Supernet | None = None, show: LookProgress = lambda *_: None
) -> FolderCheck:
    """Look at every image in a folder. ``show`` is told how many of how many were looked at.

    Raises InputError where there is no such folder, or nothing in it that could be looked at, and for a supernet that does
    not say what it takes.
    """
    if supernet is not None and not (supernet.classes and "resolution" in supernet.space.by_name):
        raise InputError(
            f"{supernet.name} does not say what images it takes: it needs classes, and a dimension called resolution; leave it out"
        )
    findings, parts = list[DataFinding](), parts_to_look_at(folder)
    taken: Mapping[str, Images | ImageFiles] = {}
    try:
        taken = as_taken(folder, parts, supernet)
    except InputError as error:
        findings.append(
            DataFinding("error", "layout", str(error), "a search and an export will refuse this folder")
        )
    seen = see(parts, show)
    findings += [
        *decoding(seen, supernet), *leaks(seen), *copies(seen), *near_copies(seen), *classes_found(seen), *amounts(seen), *not_read(seen),
    ]  # fmt: skip
    if supernet is not None:
        findings += [*misfits(seen, supernet), *label_orders(taken, supernet)]
    if set(parts) == {IMAGES}:
        findings.append(only_images(folder))
    return FolderCheck(
        str(folder), {name: part_figures(seen, name) for name in parts},
        {name: len(images) for name, images in taken.items() if name != IMAGES},
        tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))),
        supernet.name if supernet is not None else None,
        told_preprocessing(supernet) if supernet is not None else None,
    )  # fmt: skip


IMAGES = "images"
"""What a folder of class folders alone is called, as ``oncefit evaluate --images`` takes it."""


TRAINED_ON = ("train", "calibration")
"""Batch norms may be calibrated on images to train on: what is in both gives nothing away."""


def parts_to_look_at(folder: Path) -> dict[str, DataPart]:
    """The parts that are there, with images to train on beside the three splits, or else the folder itself as one."""
    parts = parts_in(folder)
    if not parts:
        return {IMAGES: part_at(folder)}
    train, *_ = TRAINED_ON
    place = folder / train
    if train in parts or (place.is_dir() and not visible(place)):
        return parts
    beside = find_part(folder, train)
    return parts if beside is None else {train: beside, **parts}


def as_taken(
    folder: Path, parts: Mapping[str, DataPart], supernet: Supernet | None
) -> Mapping[str, Images | ImageFiles]:
    """The splits as a search takes them, or the one part as an evaluation does; none without a supernet.

    Raises InputError where these would refuse the folder.
    """
    if IMAGES in parts:
        return {IMAGES: parts[IMAGES].listed(supernet.classes)} if supernet is not None else {}
    find_parts(folder)
    return list_splits(folder, supernet.classes) if supernet is not None else {}


def only_images(folder: Path) -> DataFinding:
    return DataFinding(
        "note", "one part", f"{folder} has no splits: oncefit evaluate takes it as --images, a search does not",
        "for a search, make calibration/, validation/ and report/ in it, or train/ and val/, with class folders in each",
    )  # fmt: skip


def see(parts: Mapping[str, DataPart], show: LookProgress) -> SeenParts:
    """Look at all images of all parts, labelled by what their own labels are called."""
    classes = tuple(dict.fromkeys(name for part in parts.values() for name in part.names))
    listed = {name: part.listed(classes) for name, part in parts.items()}
    total, looks = sum(map(len, listed.values())), dict[str, list[Look]]()
    done = 0
    for name, images in listed.items():
        looks[name] = []
        for look in looks_at(images, name):
            looks[name].append(look)
            done += 1
            show(done, total, name)
    return SeenParts(classes, looks, {name: images.origin for name, images in listed.items()})


def part_figures(seen: SeenParts, part: str) -> PartFigures:
    sound = [look for look in seen.looks[part] if look.reason is None]
    counts = seen.images_of(part)
    return PartFigures(
        images=seen.total(part),
        unreadable=seen.total(part) - len(sound),
        classes={name: counts[name] for name in seen.classes},
        modes=dict(Counter(look.mode for look in sound).most_common()),
        width=sides_of([look.size[0] for look in sound]),
        height=sides_of([look.size[1] for look in sound]),
    )


def sides_of(sides: Sequence[int]) -> Sides | None:
    return Sides(min(sides), median(sides), max(sides)) if sides else None


def told_preprocessing(supernet: Supernet) -> str:
    """What happens to an image before the network sees it."""
    sides = resolutions(supernet)
    return f"{supernet.preprocessing.told}, resolution {sides[0]} to {sides[-1]}"


def resolutions(supernet: Supernet) -> tuple[int, ...]:
    return tuple(int(choice) for choice in supernet.space.by_name["resolution"].choices)


def plural(count: int, noun: str) -> str:
    """``1 image``, ``2,000 classes``."""
    return f"{count:,} {noun}{'' if count == 1 else 'es' if noun.endswith('s') else 's'}"


# -- findings ----------------------------------------------------------------------


def decoding(seen: SeenParts, supernet: Supernet | None) -> Iterator[DataFinding]:
    """Files that are no images; where images stay in memory one of them stops everything."""
    stops = supernet is not None and supernet.preprocessing.stored is not None
    for part, looks in seen.looks.items():
        bad = [look for look in looks if look.reason is not None]
        if not bad:
            continue
        consequence = "every command will refuse the folder" if stops else "figures will be without them"
        yield DataFinding(
            "error" if stops or len(bad) == len(looks) else "warning", "unreadable",
            f"{plural(len(bad), 'file')} of {len(looks):,} in {part} cannot be decoded: "
            f"{few([f'{look.called} ({look.reason})' for look in bad])}",
            f"remove or replace them; {consequence}", tuple(look.called for look in bad),
        )  # fmt: skip


def by_content(seen: SeenParts) -> Mapping[bytes, Sequence[tuple[str, Look]]]:
    """Images that are there more than once, each with its part."""
    found = defaultdict[bytes, list[tuple[str, Look]]](list)
    for part, looks in seen.looks.items():
        for look in looks:
            if look.reason is None:
                found[look.digest].append((part, look))
    return {digest: images for digest, images in found.items() if len(images) > 1}


def leaks(seen: SeenParts) -> Iterator[DataFinding]:
    """Images of one part that are in another one too, so that what they measure was known before."""
    twice = by_content(seen)
    for before, measured in combinations(seen.looks, 2):
        if (before, measured) == TRAINED_ON:
            continue
        pairs = [
            (first.called, then.called)
            for images in twice.values()
            for first in [look for part, look in images if part == before][:1]
            for then in [look for part, look in images if part == measured]
        ]
        if not pairs:
            continue
        share = len(pairs) / seen.total(measured)
        yield DataFinding(
            "error" if share >= MUCH_LEAKED else "warning", "leakage",
            f"{plural(len(pairs), 'image')} of {measured} ({100 * share:.2g} %) "
            f"{'is' if len(pairs) == 1 else 'are'} in {before} too: {few([f'{b} = {a}' for a, b in pairs])}",
            f"remove them from one of the two: accuracy on {measured} is otherwise of images that were seen before",
            tuple(name for pair in pairs for name in pair),
        )  # fmt: skip


def copies(seen: SeenParts) -> Iterator[DataFinding]:
    """Images that one part holds more than once, and images of one content with several labels."""
    twice = by_content(seen)
    for part in seen.looks:
        groups = [[look for of, look in images if of == part] for images in twice.values()]
        groups = [group for group in groups if len(group) > 1]
        if groups:
            both = " They may fall into both validation and report." if part == "val" else ""
            yield DataFinding(
                "warning", "duplicates",
                f"{plural(sum(len(group) - 1 for group in groups), 'image')} of {part} "
                f"{'is' if sum(map(len, groups)) == 2 else 'are'} copies of others in it: "
                f"{few([' = '.join(look.called for look in group) for group in groups])}.{both}",
                "remove the copies: they count more than once",
                tuple(look.called for group in groups for look in group),
            )  # fmt: skip
    torn = [
        [f"{look.called} ({seen.classes[look.label]})" for _, look in images]
        for images in twice.values()
        if len({look.label for _, look in images}) > 1
    ]
    if torn:
        yield DataFinding(
            "warning", "labels",
            f"{plural(len(torn), 'image')} {'has' if len(torn) == 1 else 'have'} several labels: "
            f"{few([' = '.join(group) for group in torn])}",
            "keep the right one: of each, at most one can be counted as right",
            tuple(name for group in torn for name in group),
        )  # fmt: skip


def near_copies(seen: SeenParts) -> Iterator[DataFinding]:
    """Images of other content that look alike: in two parts, or in one."""
    distinct = {
        (part, look.digest): look for part, looks in seen.looks.items() for look in looks if look.thumb
    }
    images = [
        (part, look)
        for (part, digest), look in distinct.items()
        if part != "calibration" or ("train", digest) not in distinct  # told of train already
    ]
    thumbs = np.frombuffer(b"".join(look.thumb for _, look in images), np.uint8).reshape(
        -1, THUMB_ROWS, THUMB_COLUMNS
    )
    found = defaultdict[tuple[str, str], list[tuple[Look, Look]]](list)
    for one, other in look_alike(thumbs):
        (before, first), (measured, then) = images[one], images[other]
        if first.digest != then.digest:
            found[before, measured].append((first, then))
    for (before, measured), pairs in found.items():
        count = len({then.called for _, then in pairs})
        where = "others in it" if before == measured else f"images in {before}"
        told = f"{plural(count, 'image')} of {measured} {'looks' if count == 1 else 'look'} like {where}"
        yield DataFinding(
            "warning", "near copies", f"{told}: {few([f'{b.called} ~ {a.called}' for a, b in pairs])}",
            "look at them: copies that were resized or saved again count as seen before, or more than once",
            tuple(look.called for pair in pairs for look in pair),
        )  # fmt: skip


def classes_found(seen: SeenParts) -> Iterator[DataFinding]:
    """Classes: how many, in which parts, and how unevenly."""
    everywhere = {part: seen.images_of(part) for part in seen.looks}
    held = {part: {name for name in seen.classes if counts[name]} for part, counts in everywhere.items()}
    for part, counts in everywhere.items():
        if len(held[part]) == 1:
            yield DataFinding(
                "error", "one class", f"{part} has images of one class only, {next(iter(held[part]))}",
                "give images of all classes: an accuracy on one of them says nothing",
            )  # fmt: skip
        single = [name for name, count in counts.items() if count == 1]
        if single and len(held[part]) > 1:
            yield DataFinding(
                "warning", "one image", f"{part} has one image only of {some(single)}",
                f"give more of {'it' if len(single) == 1 else 'them'}: a class's accuracy is 0 or 100 % then",
            )  # fmt: skip
        present = [counts[name] for name in held[part]]
        if len(present) > 1 and max(present) >= SLIGHTLY * min(present):
            largest = max(held[part], key=lambda name: (counts[name], name))
            smallest = min(held[part], key=lambda name: (counts[name], name))
            much = max(present) >= IMBALANCED * min(present)
            yield DataFinding(
                "warning" if much else "note", "imbalance",
                f"{part} has {counts[largest]:,} images of {largest} and {counts[smallest]:,} of {smallest}, "
                f"{max(present) / min(present):.3g} to 1",
                "top-1 is mostly that of the large classes: look at the balanced accuracy of oncefit evaluate too",
            )  # fmt: skip
    for one, other in combinations(held, 2):
        for here, there in ((one, other), (other, one)):
            if missing := sorted(held[here] - held[there]):
                yield DataFinding(
                    "warning", "classes differ",
                    f"{plural(len(missing), 'class')} of {here} "
                    f"{'has' if len(missing) == 1 else 'have'} no image in {there}: {some(missing)}",
                    f"put images of {'it' if len(missing) == 1 else 'them'} into {there}, or take "
                    f"{'it' if len(missing) == 1 else 'them'} out of {here}",
                )  # fmt: skip


def amounts(seen: SeenParts) -> Iterator[DataFinding]:
    """Too few images to calibrate or to measure on."""
    for part in seen.looks:
        count = seen.total(part)
        if part in ("calibration", "train") and count < CALIBRATION_BATCH:
            yield DataFinding(
                "warning", "few images", f"{part} has {plural(count, 'image')}, and batch norms are calibrated on them",
                f"give some hundred: statistics are taken in batches of {CALIBRATION_BATCH}",
            )  # fmt: skip
        elif part not in ("calibration", "train") and count < FEW_TO_MEASURE:
            low, high = wilson(round(0.9 * count), count)
            yield DataFinding(
                "warning", "few images",
                f"{part} has {plural(count, 'image')}: a top-1 of 90 % would have the 95 % interval "
                f"{100 * low:.0f} to {100 * high:.0f} %",
                "give more: subnets differ by less",
            )  # fmt: skip


def not_read(seen: SeenParts) -> Iterator[DataFinding]:
    """Files that nothing will read."""
    for part, origin in seen.origins.items():
        if origin is not None and origin.left_out:
            yield DataFinding(
                "note", "left out", f"left out of {part}: {', '.join(origin.left_out)}",
                "nothing, if they are not meant to be images",
            )  # fmt: skip


def misfits(seen: SeenParts, supernet: Supernet) -> Iterator[DataFinding]:
    """What the images are against what the network takes: size, colour, classes."""
    how = supernet.preprocessing
    largest = resolutions(supernet)[-1]
    wanted = shorter_side(largest, how) if how.crop is not None else largest
    grey_network = len(how.mean) == 1
    for part, looks in seen.looks.items():
        sound = [look for look in looks if look.reason is None]
        small = [look.called for look in sound if min(look.size) < wanted]
        if small:
            half = 2 * len(small) > len(sound)
            yield DataFinding(
                "warning" if half else "note", "small images",
                f"{plural(len(small), 'image')} of {len(sound):,} in {part} "
                f"{'is' if len(small) == 1 else 'are'} smaller than the {wanted} pixels that {supernet.name} takes at "
                f"resolution {largest}, and will be enlarged",
                "give larger ones, or search smaller resolutions with space: {resolution: [...]}", tuple(small),
            )  # fmt: skip
        grey = [look.called for look in sound if look.mode in ("1", "L", "I;16", "I", "F", "LA")]
        other = len(sound) - len(grey)
        if not grey_network and grey:
            yield DataFinding(
                "warning" if not other else "note", "colour",
                f"{plural(len(grey), 'image')} of {len(sound):,} in {part} "
                f"{'is' if len(grey) == 1 else 'are'} grey, and {supernet.name} takes RGB: three equal channels",
                "nothing, if the network was trained with such images", tuple(grey),
            )  # fmt: skip
        if grey_network and other:
            yield DataFinding(
                "note", "colour", f"{plural(other, 'image')} of {len(sound):,} in {part} "
                f"{'is' if other == 1 else 'are'} in colour, and {supernet.name} takes grey: colour is dropped",
                "nothing, if the network was trained with such images",
            )  # fmt: skip
        clear = [look.called for look in sound if look.mode in ("LA", "RGBA", "PA", "La", "RGBa")]
        if clear:
            yield DataFinding(
                "note", "transparency", f"{plural(len(clear), 'image')} of {part} may be transparent, which is dropped",
                "paint a background, if what is behind transparent pixels is not meant to be seen", tuple(clear),
            )  # fmt: skip
    present = {name for name in seen.classes for part in seen.looks if seen.images_of(part)[name]}
    if len(present) < len(supernet.classes):
        yield DataFinding(
            "note", "classes without images",
            f"there are images of {plural(len(present), 'class')}, "
            f"and {supernet.name} tells {len(supernet.classes):,} apart",
            "nothing, if the others do not occur; accuracy is of those that are there, against all outputs",
        )  # fmt: skip


def label_orders(taken: Mapping[str, Images | ImageFiles], supernet: Supernet) -> Iterator[DataFinding]:
    """Labels that no name vouches for: what some of them count as, for a person to compare."""
    origins = dict.fromkeys(images.origin for images in taken.values() if images.origin is not None)
    for origin in origins:
        if Order.NAMES.value not in origin.labels:
            shown = [f"{name} counts as {supernet.classes[label]}" for name, label in origin.outputs.items()]
            yield DataFinding(
                "note", "label order", f"in {origin.folder} {origin.labels}: {few(shown)}",
                "compare some with --picture: in a wrong order, accuracy is that of guessing",
            )  # fmt: skip
