"""Images to train on: which there are beside the three splits, without those that a figure is of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from supernet.errors import InputError, some
from supernet.families.catalog import PreprocessingKeys
from supernet.images.data import SPLITS, Dataset, list_splits, listing_hash, load_dataset
from supernet.images.image_folder import ImageFiles, class_folders, list_images, visible
from supernet.images.images import Images, ready
from supernet.training.heads import ClassMatch, match_classes
from supernet.weights.checkpoints import sha256_of

TRAIN = "train"
JUDGED = ("validation", "report")
"""Splits that a figure is of."""
BEGINNING = 4096
"""Bytes of a file that tell most files apart: a training set is read whole only where these are alike."""


@dataclass(frozen=True)
class OtherClasses:
    """What images must fit: a network with outputs for ``classes``."""

    classes: tuple[str, ...]
    preprocessing: PreprocessingKeys


@dataclass(frozen=True)
class TrainingData:
    """A data set, the images to train on, and which classes these are; ``told`` are warnings.

    ``sha256`` covers class, path and size of every training image.
    """

    dataset: Dataset
    images: Images | ImageFiles
    match: ClassMatch
    sha256: str
    told: tuple[str, ...]


def load_training_data(
    folder: Path, known: tuple[str, ...], preprocessing: PreprocessingKeys
) -> TrainingData:
    """The images in ``folder``, whose class folders decide on the classes; ``known`` are those of the network.

    Either ``train`` and ``val`` as torchvision reads ImageNet, or ``calibration``, ``validation`` and ``report`` with
    ``train`` beside them. Raises InputError where nothing could be learned or no figure would be one.
    """
    names = training_classes(folder)
    check_splits(folder, names)
    match = match_classes(known, names)
    dataset = load_dataset(str(folder.absolute()), OtherClasses(match.after, preprocessing))
    listed = list_splits(folder, match.after)
    files = list_images(folder / TRAIN, match.after)
    files, leaked = without_shared(files, {split: listed[split] for split in JUDGED})
    check_every_class(files, match.after)
    warnings = [*leaked, *scarce(files, listed, match.after)]
    return TrainingData(
        dataset,
        ready(files, preprocessing),
        match,
        listing_hash(match.after, {TRAIN: files}),
        tuple(warnings),
    )


def training_classes(folder: Path) -> list[str]:
    """The class folders in ``folder/train``. Raises InputError where there are none, or only one."""
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give a folder of images with --data")
    if not (folder / TRAIN).is_dir():
        raise InputError(
            f"{folder} has no {TRAIN}/, and training needs images to train on: put them there, one folder of images a "
            "class, beside val/, or beside calibration/, validation/ and report/"
        )
    names = class_folders(folder / TRAIN)
    if len(names) == 1:
        raise InputError(
            f"{folder / TRAIN} has one class, {names[0]}: there is nothing to tell apart; add a folder of other images"
        )
    return names


def check_splits(folder: Path, names: Sequence[str]) -> None:
    """Raises InputError for a class that images are of in a split, and none to train on."""
    for split in (*SPLITS, "val"):
        if (folder / split).is_dir():
            foreign = [name for name in visible(folder / split, folders_only=True) if name not in names]
            if foreign:
                raise InputError(
                    f"{folder / split} has class folders that {folder / TRAIN} has not: {some(foreign)}; a class is learned "
                    f"from images in {TRAIN}/, which has {some(names)}: put some there, or remove these folders"
                )


def check_every_class(files: ImageFiles, classes: Sequence[str]) -> None:
    """Raises InputError for a class without an image to train on."""
    found = set(files.labels.tolist())
    without = [name for label, name in enumerate(classes) if label not in found]
    if without:
        raise InputError(
            f"{files.folder} has no image to train on of {some(without)}; put some there, which are in no other split, "
            "or remove these classes from every split"
        )


def scarce(files: ImageFiles, splits: Mapping[str, Images | ImageFiles], classes: Sequence[str]) -> list[str]:
    """Warnings of classes with one training image, and of those that figures are not of."""
    counts = Counter(files.labels.tolist())
    single = [name for label, name in enumerate(classes) if counts[label] == 1]
    warnings = [f"only one image to train on of {some(single)}: it may not be learned"] if single else []
    for split in JUDGED:
        found = set(splits[split].labels.tolist())
        unseen = [name for label, name in enumerate(classes) if label not in found]
        if unseen:
            warnings.append(
                f"no {split} images of {some(unseen)}: figures on that split are of the other classes"
            )
    return warnings


def without_shared(
    files: ImageFiles, splits: Mapping[str, Images | ImageFiles]
) -> tuple[ImageFiles, list[str]]:
    """Training images whose file is in none of the splits, and a warning of each split that had some of them.

    A copy of a file that a figure is of would make the figure too high.
    """
    shared, warnings = set[int](), []
    for split, others in splits.items():
        if isinstance(others, Images):
            warnings.append(f"{split} images are in an array: copies of them to train on are not looked for")
            continue
        found = places_shared(files, others)
        shared.update(found)
        if found:
            shown = some(files.files[place] for place in found)
            warnings.append(
                f"left {len(found):,} of the training images out, copies of {split} images: {shown}"
            )
    if len(shared) == len(files):
        raise InputError(
            f"all images in {files.folder} are copies of images that figures are of; give other images to train on"
        )
    return files.picked([place for place in range(len(files)) if place not in shared]), warnings


def places_shared(files: ImageFiles, others: ImageFiles) -> list[int]:
    """Places of those files whose bytes are those of one of ``others``; few are read whole."""
    mine, theirs = (
        dict(enumerate(images.folder / file for file in images.files)) for images in (files, others)
    )
    for told_apart_by in (file_size, file_beginning, sha256_of_file):
        my_keys, their_keys = ({p: told_apart_by(path) for p, path in one.items()} for one in (mine, theirs))
        common = set(my_keys.values()) & set(their_keys.values())
        mine = {place: mine[place] for place, key in my_keys.items() if key in common}
        theirs = {place: theirs[place] for place, key in their_keys.items() if key in common}
    return list(mine)


def file_size(path: Path) -> int:
    return path.stat().st_size


def file_beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(BEGINNING)


def sha256_of_file(path: Path) -> str:
    return sha256_of(path.read_bytes())
