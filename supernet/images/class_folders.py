"""Which output of a network the images of a class folder are for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from supernet.errors import InputError, some, unknown
from supernet.images.wnids import class_of_wnid
from supernet.printable import check_names

LOOKED_AT = 10
"""Class folders whose names tell whether they are called like classes: a training set has a thousand."""


class Order(Enum):
    """What labels follow from, in words that end "class folders are ..."."""

    NAMES = "matched with the classes by name"
    WNIDS = "matched with the classes by name, which their WordNet ids stand for"
    NUMBERS = "taken as numbers"
    SORTED = "the outputs in sorted order"
    OWN = "the outputs in the order of the set's own list"


@dataclass(frozen=True)
class ClassFolders:
    """The label of each class folder, in the order in which they are read, and what decided."""

    labels: Mapping[str, int]
    order: Order

    @property
    def told(self) -> str:
        """A clause for people; it does not hide where numbers would have been sorted otherwise as text."""
        names = list(self.labels)
        clause = f"class folders are {self.order.value}"
        if self.order is Order.NUMBERS and (pair := turned(names, sorted(names))):
            return f"{clause}: {pair[0]} before {pair[1]}, which as text would come after it"
        if self.order is Order.SORTED and (pair := turned(names, sorted(names, key=by_numbers))):
            return f"{clause}, as text: {pair[0]} before {pair[1]}"
        return clause


def turned(names: Sequence[str], otherwise: Sequence[str]) -> tuple[str, str] | None:
    """Two names that stand the other way round in another order of the same names, if there are any."""
    for one, other in zip(names, otherwise, strict=True):
        if one != other:
            return one, other
    return None


def by_numbers(name: str) -> list[tuple[int, str]]:
    """A key that sorts ``class_2`` before ``class_10``."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if i % 2 else (-1, part) for i, part in enumerate(parts)]


def folder_name(class_name: str) -> str:
    """How a class is called as a folder: ``T-shirt/top`` is ``T-shirt_top``."""
    return class_name.replace("/", "_")


def labels_of(
    folder: Path, names: Sequence[str], classes: Sequence[str], called: str = "class folder"
) -> ClassFolders:
    """The label of each class folder: the place of its name in ``classes``.

    Names of labels that are in a list are taken likewise, and are ``called`` so.

    ImageNet's ``n01440764`` is the class that ImageNet calls so, ``tench``, where all folders are called like classes of
    the network in one way or the other. Where no folder is, folders in sorted order are
    the outputs in theirs, as torchvision reads them; folders that are numbers, as ImageNetV2's ``0`` to
    ``999``, in the order of these. Raises InputError where there are more or fewer of them than
    outputs, and for a name that is not one of a class where others are.
    """
    check_names(names, f"{folder} has {called}s")
    known = {folder_name(name): label for label, name in enumerate(classes)}
    if all(map(is_numbered, names)) and (
        all(map(is_numbered, known)) or not any(name in known for name in names)
    ):
        return by_value(folder, sorted(names, key=int), classes, called)
    if (by_wnid := matched_by_wnid(folder, names, known, called)) is not None:
        return by_wnid
    if not any(resembles_one_of(known, name) for name in names[:LOOKED_AT]):
        if len(names) != len(classes):
            raise other_count(folder, names, classes, called)
        return ClassFolders({name: label for label, name in enumerate(names)}, Order.SORTED)
    for name in names:
        if name not in known:
            raise unknown(f"{called} in {folder}:", name, known)
        if [folder_name(other) for other in classes].count(name) > 1:
            raise InputError(
                f"{folder / name}: the network has more than one class {name!r}; name no folder like a class "
                f"and give one for each of its {len(classes)} outputs, in the sorted order of their names"
            )
    return ClassFolders({name: known[name] for name in names}, Order.NAMES)


def matched_by_wnid(
    folder: Path, names: Sequence[str], known: Mapping[str, int], called: str
) -> ClassFolders | None:
    """Labels where some names are wnids of classes and the others these classes; None where there are others too.

    Raises InputError for two names of one class.
    """
    classes = {name: name if name in known else folder_name(class_of_wnid(name) or "") for name in names}
    if all(name == of for name, of in classes.items()) or not set(classes.values()) <= known.keys():
        return None
    first: dict[str, str] = {}
    for name, of in classes.items():
        if first.setdefault(of, name) != name:
            raise InputError(
                f"{folder} has the {called}s {first[of]} and {name}, which are the same class, {of}; put their images into "
                "one of them"
            )
    return ClassFolders({name: known[of] for name, of in classes.items()}, Order.WNIDS)


def is_numbered(name: str) -> bool:
    """Not what else Python takes for one: a sign, underscores, other scripts' digits."""
    return re.fullmatch(r"[0-9]{1,18}", name) is not None


def by_value(folder: Path, names: Sequence[str], classes: Sequence[str], called: str) -> ClassFolders:
    """Labels of folders that are numbers, given from the smallest to the largest.

    Classes that are numbers too are matched by value. Else all together are the outputs in order,
    whether they begin at 0 or at 1; some of them are outputs where a folder ``0`` says that they begin there.
    """
    numbers = [int(name) for name in names]
    for i, number in enumerate(numbers[1:], 1):
        if number == numbers[i - 1]:
            raise InputError(
                f"{folder} has the {called}s {names[i - 1]} and {names[i]}, which are the same number; put their "
                "images into one of them"
            )
    if all(map(is_numbered, classes)):
        known = {int(name): label for label, name in enumerate(classes)}
        for name, number in zip(names, numbers, strict=True):
            if number not in known:
                raise unknown(f"{called} in {folder}:", name, classes)
        labels: Iterable[int] = (known[number] for number in numbers)
        return ClassFolders(dict(zip(names, labels, strict=True)), Order.NAMES)
    if len(names) == len(classes):
        labels = range(len(names))
    elif numbers[0] == 0 and numbers[-1] < len(classes):
        labels = numbers
    else:
        raise other_count(folder, names, classes, called)
    return ClassFolders(dict(zip(names, labels, strict=True)), Order.NUMBERS)


def other_count(folder: Path, names: Sequence[str], classes: Sequence[str], called: str) -> InputError:
    noun = called.rpartition(" ")[2]
    return InputError(
        f"{folder} has {len(names)} {called}s ({some(names)}), but the network has {len(classes)} "
        f"outputs ({some(classes)}); name {noun}s like the network's classes, or give one {noun} "
        "for each output in the sorted order of their names"
    )


def resembles_one_of(known: Mapping[str, int], name: str) -> bool:
    """Whether a folder is called like a class, or was meant to: then places in sorted order are no labels."""
    return bool(difflib.get_close_matches(name.casefold(), [other.casefold() for other in known], 1, 0.8))
