"""``PART/CLASS/.../FILE``: one folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from supernet.images.image_folder import ImageFiles, class_folders, list_images, visible


@dataclass(frozen=True)
class ClassFolderPart:
    """See :func:`supernet.images.class_folders.labels_of` for the labels; ``passed_over`` are clauses on what lies beside."""

    folder: Path
    passed_over: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        return str(self.folder)

    @property
    def names(self) -> Sequence[str]:
        return class_folders(self.folder)

    def listed(self, classes: Sequence[str]) -> ImageFiles:
        found = list_images(self.folder, classes)
        assert found.origin is not None
        told = replace(found.origin, left_out=(*found.origin.left_out, *self.passed_over))
        return replace(found, origin=told)


def class_folder_part(folder: Path, name: str) -> ClassFolderPart | None:
    """The part ``name`` of a data set in ``folder``, where it is a folder with folders in it."""
    path = folder / name
    return ClassFolderPart(path) if path.is_dir() and visible(path, folders_only=True) else None
