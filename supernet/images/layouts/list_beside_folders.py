"""Class folders with a list beside them: the folders are read, where the list does not say otherwise."""

from __future__ import annotations

from collections.abc import Set
from pathlib import PurePath

from supernet.errors import InputError
from supernet.images.class_folders import folder_name
from supernet.images.image_folder import visible
from supernet.images.layouts.class_folder_part import ClassFolderPart
from supernet.images.layouts.file_list_part import FileListPart, ListRow


def folders_beside_list(folders: ClassFolderPart, beside: FileListPart) -> ClassFolderPart:
    """The class folders, with a clause on why the list is passed over.

    A list is none of their images where it cannot be read as one or names none of them, and does no harm where it gives
    all that it names the label of their folder. Raises InputError where it gives one another label, or lists images that
    are in no class folder: then nothing says which of the two is right.
    """
    try:
        rows, _ = beside.table
    except InputError:
        return passing_over(folders, f"{beside.listing.name}, which is no list of images")
    classes = set(folders.names)
    placed = [(row, class_of(row, folders, classes)) for row in rows]
    if wrong := next(((row, own) for row, own in placed if own and folder_name(row.label) != own), None):
        row, own = wrong
        raise says_otherwise(folders, beside, f"line {row.line} calls {row.file} {row.label!r}, in {own}/")
    loose = set(visible(folders.folder)) - classes
    outside = [row for row, own in placed if not own and names_one_of(row, loose, beside)]
    if outside:
        raise says_otherwise(folders, beside, f"line {outside[0].line} is of an image in no class folder")
    agrees = any(own for _, own in placed)
    why = "which says of them what the class folders say" if agrees else "which names none of these images"
    return passing_over(folders, f"{beside.listing.name}, {why}")


def class_of(row: ListRow, folders: ClassFolderPart, classes: Set[str]) -> str | None:
    """The class folder that a row's file is in, by its path from there or from the list's folder."""
    parts = PurePath(row.file or "").parts
    inside = parts[1:] if parts[:1] == (folders.folder.name,) else parts
    return inside[0] if len(inside) > 1 and inside[0] in classes else None


def names_one_of(row: ListRow, files: Set[str], beside: FileListPart) -> bool:
    """Whether a row is of a file that lies in the part's folder itself; rows without names are of all of these."""
    if row.file is None:
        return bool(files - {beside.listing.name})
    return PurePath(row.file).name in files


def passing_over(folders: ClassFolderPart, clause: str) -> ClassFolderPart:
    return ClassFolderPart(folders.folder, (clause,))


def says_otherwise(folders: ClassFolderPart, beside: FileListPart, how: str) -> InputError:
    name = folders.folder.name
    return InputError(
        f"{name} is there in two forms that differ, class folders in {folders.folder} and the list {beside.listing}: {how}. To "
        f"take the folders, give the list another name; to take the list, give the folder {name} another name, also in the "
        f"list's paths, and keep the list as {beside.folder.parent / name}.csv"
    )
