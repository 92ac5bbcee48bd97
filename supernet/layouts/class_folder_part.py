"""``PART/CLASS/.../FILE``: one folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from supernet.image_folder import ImageFiles, class_folders, list_images, visible


@dataclass(frozen=True)
class ClassFolderPart:
    """See :func:`supernet.class_folders.labels_of` for the labels."""

    folder: Path

    @property
    def where(self) -> str:
        return str(self.folder)

    @property
    def names(self) -> Sequence[str]:
        return class_folders(self.folder)

    def listed(self, classes: Sequence[str]) -> ImageFiles:
        return list_images(self.folder, classes)


def class_folder_part(folder: Path, name: str) -> ClassFolderPart | None:
    """The part ``name`` of a data set in ``folder``, where it is a folder with folders in it."""
    path = folder / name
    return ClassFolderPart(path) if path.is_dir() and visible(path, folders_only=True) else None
