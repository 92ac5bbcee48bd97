"""The forms that a part of a data set may have; a new one is a module beside this and a line in :data:`PART_FORMS`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from supernet.errors import InputError
from supernet.images.layouts.array_part import array_part
from supernet.images.layouts.cifar_part import cifar_part
from supernet.images.layouts.class_folder_part import ClassFolderPart, class_folder_part
from supernet.images.layouts.file_list_part import FileListPart, file_list_part
from supernet.images.layouts.idx_part import idx_part
from supernet.images.layouts.list_beside_folders import folders_beside_list
from supernet.images.layouts.part import DataPart
from supernet.images.layouts.stl10_part import stl10_part
from supernet.images.layouts.svhn_part import svhn_part

PART_FORMS: tuple[Callable[[Path, str], DataPart | None], ...] = (
    class_folder_part,
    file_list_part,
    array_part,
    idx_part,
    cifar_part,
    stl10_part,
    svhn_part,
)
"""Each is asked for the part of a name in a folder, and gives None where it is not there in its form."""


def find_part(folder: Path, name: str) -> DataPart | None:
    """The part ``name`` (``train``, ``report``) of the data set in ``folder``; None where it is in no form.

    Raises InputError where it is there in more than one form, as labels may differ, but for class folders with a list
    beside them that does not say otherwise.
    """
    found = [part for form in PART_FORMS if (part := form(folder, name)) is not None]
    match found:
        case [ClassFolderPart() as folders, FileListPart() as beside]:
            return folders_beside_list(folders, beside)
    if len(found) > 1:
        forms = " and ".join(part.where for part in found)
        raise InputError(
            f"{name} is there in more than one form: {forms}; leave one, or give the folder of one, as their labels may differ"
        )
    if found:
        return found[0]
    return ClassFolderPart(folder / name) if (folder / name).is_dir() else None  # which says what it lacks


def part_at(folder: Path) -> DataPart:
    """The labelled images of one folder, which is no data set of several parts."""
    place = folder if folder.name not in ("", "..") else folder.resolve()
    return find_part(place.parent, place.name) or ClassFolderPart(folder)
