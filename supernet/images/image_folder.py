"""Folders with one folder of images a class: which images there are, and reading them when they are needed."""

from __future__ import annotations

import errno
import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from supernet.errors import InputError, some
from supernet.families.catalog import PreprocessingKeys
from supernet.images.class_folders import Order, labels_of
from supernet.images.preprocessing import resize_and_crop
from supernet.printable import check_names
from supernet.reading import read_at_most
from supernet.threads import Made

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
"""All that torchvision's ``ImageFolder`` takes, and GIFs."""
LARGEST_IMAGE = 256 * 2**20
"""Bytes of a file."""


class Undecodable(InputError):
    """A file is no image, or a damaged one; ``reason`` is the decoder's."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be decoded as an image ({reason}); remove or replace it")
        self.reason = reason


@dataclass(frozen=True)
class Origin:
    """Where images are from, for people: a folder, how its class folders became labels, and what was left out.

    ``images`` are those that the folder holds, which a split may be a part of. ``outputs`` are the labels by class
    folder, and ``sorted_names`` says that nothing but the order of the folders' names decided on them.
    """

    folder: str
    labels: str
    left_out: tuple[str, ...] = ()
    images: int = 0
    outputs: Mapping[str, int] = field(default_factory=dict, compare=False)
    sorted_names: bool = False


@dataclass(frozen=True)
class ImageFiles:
    """Images of any size below ``folder`` as ``CLASS/.../FILE``, read when needed, and labels (n,) int64.

    ``undecodable`` says by path why files were left out, once they were met; every figure is without
    them.
    """

    folder: Path
    files: tuple[str, ...]
    labels: Tensor
    undecodable: dict[str, str] = field(default_factory=dict, compare=False)
    origin: Origin | None = field(default=None, compare=False)
    batch_size: ClassVar[int] = 16
    """Images of 224 pixels whose maps stay in the cache: a third of the time that 100 take."""

    def __len__(self) -> int:
        return len(self.files)

    def decodable(self, places: range) -> list[int]:
        """Those of ``places`` whose images could be decoded, once they were read."""
        return [place for place in places if str(self.folder / self.files[place]) not in self.undecodable]

    def picked(self, places: Sequence[int]) -> ImageFiles:
        """Those at ``places``, in that order."""
        files, labels = tuple(self.files[i] for i in places), self.labels[list(places)]
        return ImageFiles(self.folder, files, labels, origin=self.origin)

    def batch(self, places: slice, resolution: int, how: PreprocessingKeys) -> tuple[Tensor, Tensor]:
        """Inputs (n, c, resolution, resolution) float32 and labels (n,) of those that can be decoded."""
        prepared = resize_and_crop(resolution, how)
        inputs, labels = self.made(
            range(len(self))[places], len(how.mean), lambda image, place: prepared(image)
        )
        none = torch.empty(0, len(how.mean), resolution, resolution)
        return torch.stack(inputs) if inputs else none, labels

    def made(
        self, places: Iterable[int], channels: int, make: Callable[[Image.Image, int], Made]
    ) -> tuple[list[Made], Tensor]:
        """``make(image, place)`` of those at ``places`` that can be decoded, one after the other, and their labels (n,)."""
        found, labels = [], []
        for place in places:
            path = self.folder / self.files[place]
            if str(path) in self.undecodable:
                continue
            try:
                image = read_image(path, channels)
            except Undecodable as error:
                self.undecodable[str(path)] = error.reason
                continue
            found.append(make(image, place))
            labels.append(int(self.labels[place]))
        return found, torch.tensor(labels, dtype=torch.int64)

    def sizes(self) -> list[int]:
        """Bytes of each file."""
        try:
            return [os.stat(self.folder / file).st_size for file in self.files]
        except OSError as error:
            raise InputError(f"cannot read {error.filename}: {error.strerror}") from error


def list_images(folder: Path, classes: Sequence[str]) -> ImageFiles:
    """The images below ``folder/CLASS``, class by class, in torchvision's order.

    Raises InputError for no image, and for class folders that do not fit ``classes``.
    """
    names = class_folders(folder)
    labelled = labels_of(folder, names, classes)
    walks = {name: walked(folder, name) for name in labelled.labels}
    files = tuple(file for walk in walks.values() for file in walk.files)
    labels = [label for name, label in labelled.labels.items() for _ in walks[name].files]
    if not files:
        raise InputError(
            f"{folder} holds no image: put {', '.join(sorted(SUFFIXES))} files into {folder}/CLASS/, "
            f"where CLASS is one of {some(names)}"
        )
    origin = Origin(
        str(folder), labelled.told, left_out_of(folder, walks), len(files), labelled.labels,
        labelled.order is Order.SORTED,
    )  # fmt: skip
    return ImageFiles(folder, files, torch.tensor(labels), origin=origin)


class HasOrigin(Protocol):
    @property
    def origin(self) -> Origin | None: ...


def check_alike(*splits: HasOrigin) -> None:
    """Raises InputError where a class folder's name decides on another output in one split than in another.

    Folders that are called like the classes agree by themselves; those that are outputs in sorted order only where
    each split has the same ones.
    """
    first, *others = [images.origin for images in splits if images.origin is not None]
    for other in others:
        here, there = first.outputs, other.outputs
        if first.sorted_names and other.sorted_names and set(here) != set(there):
            raise InputError(
                f"{first.folder} and {other.folder} have other class folders ({some(sorted(set(here) - set(there)))} "
                f"and {some(sorted(set(there) - set(here)))}), and none is called like a class: in sorted order, the same "
                "output would be other classes in each; name them alike, or like the network's classes"
            )
        turned = next((name for name in here if there.get(name, here[name]) != here[name]), None)
        if turned is not None:
            raise InputError(
                f"the class folder {turned} is output {here[turned]} in {first.folder} and output {there[turned]} in "
                f"{other.folder}; give both the same class folders, or name them like the network's classes"
            )


def class_folders(folder: Path) -> list[str]:
    """The folders in a folder, sorted. Raises InputError where there is none."""
    found = visible(folder, folders_only=True)
    if not found:
        raise InputError(
            f"{folder} holds no image: it needs one folder a class with images in it "
            f"({', '.join(sorted(SUFFIXES))})"
        )
    check_names(found, f"{folder} has class folders")
    return found


def visible(folder: Path, folders_only: bool = False) -> list[str]:
    """Names of what a folder holds, sorted, without hidden ones. Raises InputError where it cannot be read."""
    return sorted(
        entry.name
        for entry in held_in_folder(folder)
        if not hidden(entry) and (not folders_only or is_folder(entry))
    )


def held_in_folder(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What a folder holds. Raises InputError where it cannot be read."""
    try:
        with os.scandir(folder) as entries:  # a training set has more than a million files
            yield from entries
    except FileNotFoundError:
        raise InputError(f"there is no folder {folder}") from None
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}") from error


def hidden(entry: os.DirEntry[str]) -> bool:
    """As file managers leave them: ``.DS_Store``, ``._1.png``."""
    return entry.name.startswith(".")


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Or a link to one; a link to itself is none, and an error where it is read as an image."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def suffix_of(name: str) -> str:
    return os.path.splitext(name)[1].lower()


@dataclass(frozen=True)
class Walk:
    """Images below a class folder as ``CLASS/.../FILE``, and what else there is: files by suffix, links by path."""

    files: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    hidden: list[str] = field(default_factory=list)
    circular: list[str] = field(default_factory=list)


def walked(folder: Path, name: str) -> Walk:
    """What is below ``folder/name`` at any depth, links followed, in the order of torchvision's ``ImageFolder``.

    That sorts the paths of folders as text, and the files within each. A link to a folder that it is in
    would have no end, and is passed over.
    """
    found, images = Walk(), list[tuple[str, str]]()
    waiting = [(name, os.path.realpath(folder / name), frozenset[str]())]
    while waiting:  # no recursion: paths may be deeper than Python's stack
        inside, real, above = waiting.pop()
        if real in above:
            found.circular.append(inside)
            continue
        for entry in held_in_folder(folder / inside):
            path = f"{inside}/{entry.name}"
            if hidden(entry):
                found.hidden.append(path)
            elif is_folder(entry):
                below = f"{real}/{entry.name}"  # of a link alone all parts of the path are looked up
                waiting.append(
                    (path, os.path.realpath(below) if entry.is_symlink() else below, above | {real})
                )
            elif suffix_of(entry.name) in SUFFIXES:
                images.append((inside, entry.name))
            else:
                found.others[suffix_of(entry.name)] += 1
    found.files.extend(f"{inside}/{file}" for inside, file in sorted(images))
    return found


def left_out_of(folder: Path, walks: Mapping[str, Walk]) -> tuple[str, ...]:
    """Clauses on what is in a folder and is not read, and why."""
    beside = [entry for entry in held_in_folder(folder) if hidden(entry) or not is_folder(entry)]
    others = sum((walk.others for walk in walks.values()), Counter[str]())
    passed_over = sum(map(hidden, beside)) + sum(len(walk.hidden) for walk in walks.values())
    circular = [path for walk in walks.values() for path in walk.circular]
    empty = [name for name, walk in walks.items() if not walk.files]
    clauses = [
        (others.total(), "file", f" of no image's suffix ({by_suffix(others)})"),
        (passed_over, "hidden name", ""),
        (sum(not hidden(entry) for entry in beside), "file", " outside of class folders"),
        (len(circular), "link", f" to a folder that holds it ({some(circular)})"),
        (len(empty), "class folder", f" without an image ({some(empty)})"),
    ]
    return tuple(f"{count:,} {what}{'s' * (count != 1)}{why}" for count, what, why in clauses if count)


def by_suffix(counts: Mapping[str, int]) -> str:
    """``38 .txt, 2 without``, the most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return some(f"{count:,} {suffix or 'without'}" for suffix, count in ranked)


def read_image(path: Path, channels: int) -> Image.Image:
    """The first frame of an image file, grey (mode L) for one channel or RGB for three; errors are those of decoded."""
    return decoded(path, lambda image, _: converted(image, channels))


def decoded(path: Path, use: Callable[[Image.Image, bytes], Made]) -> Made:
    """What ``use`` makes of the image in a file, which it must load, and of the file's bytes.

    Raises Undecodable where its content is to blame. A file that cannot be read now is another
    InputError: leaving it out would measure one candidate on other images than the next.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        content = read_at_most(path, LARGEST_IMAGE)
        with Image.open(io.BytesIO(content)) as image:
            return use(image, content)
    except UnidentifiedImageError as error:  # its message names the bytes' place in memory
        raise Undecodable(path, "cannot identify image file") from error
    except MemoryError as error:
        raise unreadable(path, "there is not enough memory") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, EOFError and more
        if isinstance(error, OSError) and error.errno not in (
            None,
            errno.EFBIG,
            errno.EINVAL,
        ):  # the system's; a decoder's has none
            raise unreadable(path, error.strerror or str(error)) from error
        raise Undecodable(
            path, getattr(error, "strerror", None) or str(error) or type(error).__name__
        ) from error


def unreadable(path: Path, reason: str) -> InputError:
    return InputError(
        f"cannot read {path}: {reason}; it was there when the images were listed, "
        "and every candidate must be measured on the same ones: mend that and run the same command again"
    )


def converted(image: Image.Image, channels: int) -> Image.Image:
    """Mode L or RGB. Pillow clips 16-bit greys at 255 instead of scaling them, so that is done here."""
    if image.mode.startswith("I;16"):
        from PIL import Image

        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns of a direct way, which gives the same colours
    return image.convert("L" if channels == 1 else "RGB")
