"""Folders with one folder of images a class: which images there are, and reading them when they are needed."""

from __future__ import annotations

import difflib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from supernet.catalog import PreprocessingKeys
from supernet.errors import InputError, unknown
from supernet.preprocessing import resize_and_crop

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"}
SOME = 10
"""Names of a long list that a message shows."""


class Undecodable(InputError):
    """A file is no image, or a damaged one; ``reason`` is the decoder's."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be decoded as an image ({reason}); remove or replace it")
        self.reason = reason


@dataclass(frozen=True)
class ImageFiles:
    """Images of any size below ``folder`` as ``CLASS/FILE``, read when needed, and labels (n,) int64.

    ``undecodable`` says by path why files were left out, once they were met; every figure is without
    them.
    """

    folder: Path
    files: tuple[str, ...]
    labels: Tensor
    undecodable: dict[str, str] = field(default_factory=dict, compare=False)
    batch_size: ClassVar[int] = 16
    """Images of 224 pixels whose maps stay in the cache: a third of the time that 100 take."""

    def __len__(self) -> int:
        return len(self.files)

    def decodable(self, places: range) -> list[int]:
        """Those of ``places`` whose images could be decoded, once they were read."""
        return [place for place in places if str(self.folder / self.files[place]) not in self.undecodable]

    def picked(self, places: Sequence[int]) -> ImageFiles:
        """Those at ``places``, in that order."""
        return ImageFiles(self.folder, tuple(self.files[i] for i in places), self.labels[list(places)])

    def batch(self, places: slice, resolution: int, how: PreprocessingKeys) -> tuple[Tensor, Tensor]:
        """Inputs (n, c, resolution, resolution) float32 and labels (n,) of those that can be decoded."""
        inputs, labels = [], []
        for file, label in zip(self.files[places], self.labels[places].tolist(), strict=True):
            path = self.folder / file
            if str(path) in self.undecodable:
                continue
            try:
                image = read_image(path, len(how.mean))
            except Undecodable as error:
                self.undecodable[str(path)] = error.reason
                continue
            inputs.append(resize_and_crop(resolution, how)(image))
            labels.append(label)
        none = torch.empty(0, len(how.mean), resolution, resolution)
        return torch.stack(inputs) if inputs else none, torch.tensor(labels, dtype=torch.int64)

    def sizes(self) -> list[int]:
        """Bytes of each file."""
        try:
            return [os.stat(self.folder / file).st_size for file in self.files]
        except OSError as error:
            raise InputError(f"cannot read {error.filename}: {error.strerror}") from error


def list_images(folder: Path, classes: Sequence[str]) -> ImageFiles:
    """The images of ``folder/CLASS/*`` in sorted order, class by class.

    Raises InputError for no image, and for class folders that do not fit ``classes``.
    """
    names = class_folders(folder)
    labels = labels_of(folder, names, classes)
    found = [
        (f"{name}/{file}", labels[name])
        for name in names
        for file in visible(folder / name)
        if os.path.splitext(file)[1].lower() in SUFFIXES
    ]
    if not found:
        raise InputError(
            f"{folder} holds no image: put {', '.join(sorted(SUFFIXES))} files into {folder}/CLASS/, "
            f"where CLASS is one of {some(names)}"
        )
    return ImageFiles(folder, tuple(file for file, _ in found), torch.tensor([label for _, label in found]))


def class_folders(folder: Path) -> list[str]:
    """The folders in a folder, sorted. Raises InputError where there is none."""
    found = visible(folder, folders_only=True)
    if not found:
        raise InputError(
            f"{folder} holds no image: it needs one folder a class with images in it "
            f"({', '.join(sorted(SUFFIXES))})"
        )
    return found


def visible(folder: Path, folders_only: bool = False) -> list[str]:
    """Names of what a folder holds, sorted, without hidden ones. Raises InputError where it cannot be read."""
    try:
        with os.scandir(folder) as entries:  # a training set has more than a million files
            return sorted(
                entry.name
                for entry in entries
                if not entry.name.startswith(".") and (not folders_only or entry.is_dir())
            )
    except FileNotFoundError:
        raise InputError(f"there is no folder {folder}") from None
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}") from error


def folder_name(class_name: str) -> str:
    """How a class is called as a folder: ``T-shirt/top`` is ``T-shirt_top``."""
    return class_name.replace("/", "_")


def labels_of(folder: Path, names: Sequence[str], classes: Sequence[str]) -> Mapping[str, int]:
    """The label of each class folder: the place of its name in ``classes``.

    Where no folder is called like a class, as ImageNet's ``n01440764``, folders in sorted order are
    the outputs in theirs, as torchvision reads them. Raises InputError where there are more or fewer
    of them than outputs, and for a name that is not one of a class where others are.
    """
    known = {folder_name(name): label for label, name in enumerate(classes)}
    if not any(resembles_one_of(known, name) for name in names[:SOME]):
        if len(names) != len(classes):
            raise InputError(
                f"{folder} has {len(names)} class folders ({some(names)}), but the network has {len(classes)} "
                f"outputs ({some(classes)}); name folders like the network's classes, or give one folder "
                "for each output in the sorted order of their names"
            )
        return {name: label for label, name in enumerate(names)}
    for name in names:
        if name not in known:
            raise unknown(f"class folder in {folder}:", name, known)
        if [folder_name(other) for other in classes].count(name) > 1:
            raise InputError(
                f"{folder / name}: the network has more than one class {name!r}; name no folder like a class "
                f"and give one for each of its {len(classes)} outputs, in the sorted order of their names"
            )
    return {name: known[name] for name in names}


def resembles_one_of(known: Mapping[str, int], name: str) -> bool:
    """Whether a folder is called like a class, or was meant to: then places in sorted order are no labels."""
    return bool(difflib.get_close_matches(name.casefold(), [other.casefold() for other in known], 1, 0.8))


def some(names: Sequence[str]) -> str:
    """The first names of a list that may be as long as ImageNet's."""
    return ", ".join(names[:SOME]) + (", ..." if len(names) > SOME else "")


def read_image(path: Path, channels: int) -> Image.Image:
    """The first frame of an image file, grey (mode L) for one channel or RGB for three.

    Raises Undecodable where its content is to blame. A file that cannot be read now is another
    InputError: leaving it out would measure one candidate on other images than the next.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            return converted(image, channels)
    except UnidentifiedImageError as error:  # its message names the bytes' place in memory
        raise Undecodable(path, "cannot identify image file") from error
    except MemoryError as error:
        raise unreadable(path, "there is not enough memory") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, EOFError and more
        if isinstance(error, OSError) and error.errno is not None:  # the system's; a decoder's has none
            raise unreadable(path, error.strerror or str(error)) from error
        raise Undecodable(path, str(error) or type(error).__name__) from error


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
