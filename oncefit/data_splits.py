"""One folder of images a class, split for training, choosing and reporting."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.reports import data_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from supernet.images.split_folder import WrittenSplit


@dataclass(frozen=True, repr=False)
class ImageSplit:
    """A folder with ``train``, ``calibration``, ``validation`` and ``report`` that was written.

    ``counts`` are images of each class by split; ``told`` are sentences on copies and on what was left out.
    """

    written: WrittenSplit

    @property
    def folder(self) -> Path:
        return Path(self.written.folder)

    @property
    def counts(self) -> Mapping[str, Mapping[str, int]]:
        return self.written.counts

    @property
    def told(self) -> tuple[str, ...]:
        return self.written.told

    def to_dict(self) -> dict[str, Any]:
        """All of it, as ``oncefit data split --json`` prints it."""
        return asdict(self.written)

    def __repr__(self) -> str:
        return f"ImageSplit({data_words.of_split(self.written)})"

    def _repr_html_(self) -> str:
        return f"<b>{escape(data_words.of_split(self.written))}</b>"


def split_images(
    source: str | Path,
    out: str | Path,
    *,
    validation: float = 0.1,
    report: float = 0.1,
    calibration: int = 2_000,
    link: bool = False,
    progress: bool = False,
) -> ImageSplit:
    """Split one folder of images a class, or a TAR or ZIP file of it, into the new folder ``out``.

    ``validation`` and ``report`` are shares of each class; the others are to train on, and ``calibration`` of these are for
    the statistics of batch norms too. Which file goes where follows from the sha256 of its bytes. ``link`` makes hard links
    in place of copies. Raises InputError for damaged files, classes with too few images, and an ``out`` that is there.
    """
    from search.reports.progress import bar
    from supernet.images.image_split import Shares
    from supernet.images.split_folder import write_split

    shares = Shares(validation, report, calibration)
    with ExitStack() as opened:
        shown = {"show": opened.enter_context(bar("reading images"))} if progress else {}
        return ImageSplit(write_split(Path(source), Path(out), shares, link, **shown))
