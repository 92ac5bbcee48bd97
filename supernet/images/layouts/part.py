"""A part of a data set as it lies on disk: ``train``, ``val``, or one of the three splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from supernet.images.image_folder import ImageFiles
from supernet.images.images import Images


class DataPart(Protocol):
    """Images with names of labels; which outputs of a network these are is asked later.

    Reading ``names`` and ``listed`` raises InputError that says what is wrong with the files.
    """

    @property
    def where(self) -> str:
        """The folder or file that it is in."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Names of the labels, each once, in the order in which they would be outputs."""
        ...

    def listed(self, classes: Sequence[str]) -> ImageFiles | Images:
        """The images with labels that are places in ``classes``; those in memory are as they lie on disk."""
        ...
