"""What is wrong with a folder of images, before anything is measured on it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oncefit.supernets import Supernet, as_supernet
from search.reports import data_words
from supernet.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from supernet.images.data_check import DataFinding, FolderCheck, PartFigures


@dataclass(frozen=True, repr=False)
class DataCheck:
    """What was found in a folder of images.

    ``findings`` have a ``severity`` (error, warning or note), a ``kind``, a sentence ``told``, a ``remedy``, and the
    ``files`` that they are of; errors come first.
    """

    found: FolderCheck
    supernet: Supernet | None = None

    @property
    def findings(self) -> tuple[DataFinding, ...]:
        return self.found.findings

    @property
    def parts(self) -> Mapping[str, PartFigures]:
        """Images by class and mode, and their sizes, of each part of the folder (``train``, ``report``)."""
        return self.found.parts

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return self.found.count("error")

    def plot(self) -> Figure:
        """Some images as the supernet would see them, with the names of their classes; a matplotlib figure.

        Raises InputError without a supernet, and where it refuses the folder.
        """
        from search.reports.figures.image_grid import batch_figure
        from supernet.images.data import load_dataset, load_folder
        from supernet.images.data_check import IMAGES, resolutions

        if self.supernet is None:
            raise InputError("a picture shows images as a network sees them: say which one with --supernet")
        described, folder = self.supernet.described, self.found.folder
        images = (
            load_folder(Path(folder), described)
            if set(self.parts) == {IMAGES}
            else load_dataset(folder, described).calibration
        )
        side = resolutions(described)[-1]
        title = f"{folder}, as {described.name} sees it at resolution {side}"
        return batch_figure(images, described.classes, described.preprocessing, side, title)

    def to_dict(self) -> dict[str, Any]:
        """All of it, as ``oncefit data check --json`` prints it."""
        return data_words.of_check_json(self.found)

    def __repr__(self) -> str:
        return f"DataCheck({self.found.folder!r}: {data_words.counted_findings(self.found)})"

    def _repr_html_(self) -> str:
        rows = "".join(
            "".join(
                ["<tr>", *(f"<td>{escape(cell)}</td>" for cell in (f.severity, f.told, f.remedy)), "</tr>"]
            )
            for f in self.findings
        )
        return f"<b>{escape(self.found.folder)}</b>: {escape(data_words.counted_findings(self.found))}<table>{rows}</table>"


def check_data(
    folder: str | Path, *, supernet: str | Path | Supernet | None = None, progress: bool = False
) -> DataCheck:
    """Read and decode every image in a folder, and say what is wrong and what to do.

    With a supernet it is also held against what that takes. Raises InputError where there is no image.
    """
    from search.reports.progress import bar
    from supernet.images.data_check import check_images_in

    chosen = as_supernet(supernet) if supernet is not None else None
    with ExitStack() as opened:
        shown = {"show": opened.enter_context(bar("looking at images"))} if progress else {}
        return DataCheck(
            check_images_in(Path(folder), chosen.described if chosen is not None else None, **shown), chosen
        )
