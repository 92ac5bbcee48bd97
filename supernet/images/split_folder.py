"""A split of images (:mod:`supernet.images.image_split`) as a new folder, whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from supernet import locks
from supernet.atomic import check_writable, make_folder, unwritable
from supernet.errors import InputError, few
from supernet.images.image_archives import is_archive, unpack_images
from supernet.images.image_split import (
    WRITTEN,
    FoundImages,
    Shares,
    SplitPlan,
    SplitProgress,
    found_images,
    planned_split,
)

RECORD = "split.json"
RULE = (
    "Each class by itself: files sorted by the sha256 of their bytes, the first for report, the next for validation, the "
    "others for train; the same bytes stay together, and are for train where they are in several classes. calibration is "
    "the last of each class of train."
)

Place = Callable[[Path, Path], object]


@dataclass(frozen=True)
class WrittenSplit:
    """A folder that was written: images of each class by split, and sentences on what a person should know.

    ``sha256`` covers which bytes are in which class of which split, and nothing of what files are called.
    """

    folder: str
    source: str
    shares: Shares
    counts: Mapping[str, Mapping[str, int]]
    sha256: str
    told: tuple[str, ...]


def write_split(
    source: Path, out: Path, shares: Shares, link: bool = False, show: SplitProgress = lambda *_: None
) -> WrittenSplit:
    """Split a folder of class folders, or a TAR or ZIP file of it, into ``out``.

    ``link`` makes hard links in place of copies. Raises InputError for an ``out`` that is there, and for images that
    cannot be split; then nothing is written.
    """
    check_new_folder(source, out)
    work = out.with_name(f".{out.name}.partial")
    check_writable(work)
    refusal = f"another process splits into {out}; wait for it, or choose another folder with --out"
    try:
        make_folder(out.parent)
        with locks.held(work.with_suffix(".lock"), refusal):
            try:
                shutil.rmtree(work, ignore_errors=True)  # what a killed one left
                return split_in(work, source, out, shares, link, show)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise unwritable(out, error) from error


def split_in(
    work: Path, source: Path, out: Path, shares: Shares, link: bool, show: SplitProgress
) -> WrittenSplit:
    """The split, made in the new folder ``work`` beside ``out``; an archive is unpacked there first."""
    unpacked, split = work / "unpacked", work / "split"
    make_folder(work)
    if not is_archive(source):
        return written(source, source, split, out, shares, linked if link else shutil.copyfile, show)
    unpack_images(source, unpacked)
    try:
        return written(source, unpacked, split, out, shares, os.rename, show)
    except InputError as error:  # of files as they are called in the archive
        raise InputError(str(error).replace(str(unpacked), str(source))) from error


def check_new_folder(source: Path, out: Path) -> None:
    """Raises InputError where nothing can be read, or nothing new be written."""
    if not source.exists():
        raise InputError(
            f"there is no {source}; give a folder with one folder of images a class, or a TAR or ZIP file of it"
        )
    if source.is_file() and not is_archive(source):
        raise InputError(
            f"{source} is neither a folder nor a TAR or ZIP file; give one folder of images a class"
        )
    if out.name == "..":
        raise InputError(f"{out} names no new folder; choose another one with --out")
    if os.path.lexists(out):
        raise InputError(f"{out} is there already; choose another folder with --out, or remove it")
    if source.resolve() in out.resolve().parents:
        raise InputError(
            f"{out} is inside {source}, and would be one of its class folders; choose another one with --out"
        )
    check_writable(out)


def written(
    source: Path, folder: Path, split: Path, out: Path, shares: Shares, place: Place, show: SplitProgress
) -> WrittenSplit:
    """Write the split of the images below ``folder`` to ``split``, and rename that to ``out``."""
    found = found_images(folder, show)
    plan = planned_split(found, shares)
    made = WrittenSplit(
        str(out),
        str(source),
        shares,
        counts_of(plan),
        digest_of_split(found, plan),
        tuple(told_split(found, plan)),
    )
    for name in WRITTEN:
        for file in (file for of_class in plan.files[name].values() for file in of_class):
            target = split / name / file
            make_folder(target.parent)
            if name == "calibration":  # which is in train already, and takes no room so
                linked_or_copied(split / "train" / file, target)
            else:
                place(found.folder / file, target)
    record = {key: value for key, value in asdict(made).items() if key not in ("folder", "told")}
    (split / RECORD).write_text(json.dumps({"rule": RULE, **record}, indent=2) + "\n", encoding="utf-8")
    if os.path.lexists(out):
        raise InputError(f"{out} has come to be there meanwhile; choose another folder with --out")
    split.rename(out)
    return made


def linked(source: Path, target: Path) -> None:
    """A hard link to what ``source`` leads to. Raises InputError where the disk has none."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise InputError(
                f"cannot link {source} to {target.parent}: {error.strerror}; leave --link out to copy, or choose --out on "
                "the same disk"
            ) from error
        raise


def linked_or_copied(source: Path, target: Path) -> None:
    try:
        linked(source, target)
    except InputError:
        shutil.copyfile(source, target)


def counts_of(plan: SplitPlan) -> dict[str, dict[str, int]]:
    """Images of each class by split."""
    return {split: {name: len(files) for name, files in plan.files[split].items()} for split in WRITTEN}


def digest_of_split(found: FoundImages, plan: SplitPlan) -> str:
    """The sha256 of a line of split, class and sha256 for each file, sorted."""
    lines = sorted(
        f"{split} {name} {found.digests[name][file]}\n"
        for split in WRITTEN
        for name, files in plan.files[split].items()
        for file in files
    )
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def told_split(found: FoundImages, plan: SplitPlan) -> list[str]:
    """Sentences on copies, on images of several classes, and on what was left out."""
    told = []
    if plan.copies:
        told.append(
            f"copies of other images of their class ({plan.copies:,} files) are in the split of these"
        )
    if plan.torn:
        told.append(
            f"images that are in several classes ({len(plan.torn):,} files) are in train: {few(plan.torn)}; keep each in the "
            "right one"
        )
    if found.left_out:
        told.append(f"left out: {', '.join(found.left_out)}")
    return told
