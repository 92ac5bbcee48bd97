"""Bundles: exported subnets with weights, ONNX and a card that says all that is known of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from search.reports import export, words
from supernet.archs.arch import Arch
from supernet.families import catalog
from supernet.messages import Say, say

if TYPE_CHECKING:
    import pandas
    import torch
    from matplotlib.figure import Figure
    from torch import nn

    from supernet.bundles.bundle import Bundle as Opened
    from supernet.bundles.bundle_card import Card
    from supernet.evaluating.confusion import Confusion


class HasDescription(Protocol):
    """An :class:`oncefit.Supernet`."""

    @property
    def described(self) -> catalog.Supernet: ...


class Evaluation(dict[str, Any]):
    """Figures by name, as ``oncefit evaluate --json`` prints them, and which classes are taken for which."""

    def __init__(self, figures: Mapping[str, Any], found: Confusion) -> None:
        super().__init__(figures)
        self._found = found

    @property
    def confusion(self) -> pandas.DataFrame:
        """Images of the class of the row that are taken for the class of the column, in the order of the outputs."""
        import pandas

        return pandas.DataFrame(self._found.counts, self._found.classes, self._found.classes)

    def plot(self) -> Figure:
        """The same as a matplotlib figure, as shares of the images of each class."""
        from search.reports.confusion_report import confusion_figure

        return confusion_figure(self._found)

    def write(self, picture: str | Path) -> list[Path]:
        """Write that picture, and beside it the confusion matrix as CSV; returns both paths."""
        from search.reports.confusion_report import write_confusion

        return write_confusion(self._found, Path(picture))


@dataclass(frozen=True, repr=False)
class Bundle:
    """A bundle on disk whose files had the card's hashes when it was opened.

    ``summary`` are the figures of an export that was made just now.
    """

    opened: Opened
    summary: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def folder(self) -> Path:
        return self.opened.folder

    @property
    def arch(self) -> Arch:
        return self.opened.arch

    @property
    def card(self) -> Card:
        """All that is known of it: predicted and measured figures, preprocessing, classes, splits, hashes."""
        return self.opened.card

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return self.opened.classes

    def subnet(self) -> nn.Module:
        """The subnet in torch with its weights, in eval mode: images (n, c, r, r) to logits (n, classes)."""
        return self.opened.subnet()

    def onnx(self, threads: int = 1) -> Callable[[torch.Tensor], torch.Tensor]:
        """The ONNX model in ONNX Runtime, as a function of a tensor of images (n, c, r, r)."""
        from supernet.bundles.bundle import predictor

        return predictor(self.opened.session(threads))

    def verify(self, *, supernet: str | None = None, data: str | Path | None = None) -> dict[str, Any]:
        """Compare ONNX Runtime with torch on the report images. Raises InputError where they disagree."""
        return export.verify_summary(self.folder, supernet, str(data) if data is not None else None)

    def evaluate(self, images: str | Path | None = None) -> Evaluation:
        """Top-1, top-5 and latency, measured here: on the report split, or on a folder with one folder a class.

        Also the balanced accuracy, which is the mean of all classes' recalls, each of these, and the confusion matrix.
        """
        found, confusion = export.evaluate_summary(self.folder, Path(images) if images is not None else None)
        return Evaluation(found, confusion)

    def update(
        self,
        weights: str | Path,
        *,
        data: str | Path | None = None,
        out: str | Path | None = None,
        say: Say = say,
    ) -> Bundle:
        """A new bundle with weights that were changed elsewhere, in a file; beside this one, as NAME-updated, by default.

        They are under our names of tensors, as in weights.safetensors, or ``ofa``'s. They are measured on the bundle's own
        images, or on ``data``, and the new card has the hash of this one's. Raises InputError where they do not fit.
        """
        folder = (
            Path(out) if out is not None else self.folder.with_name(f"{self.folder.resolve().name}-updated")
        )
        images = str(data) if data is not None else None
        summary = export.update_summary(self.opened, Path(weights), images, folder, say)
        from supernet.bundles.bundle import open_bundle as opened

        return Bundle(opened(folder, self.opened.supernet), summary)

    def ofa_state(self) -> dict[str, torch.Tensor]:
        """The weights under the names of ``ofa``'s static networks, which load them with ``strict=True``."""
        from supernet.networks.ofa_names import in_ofa_names

        return in_ofa_names(self.subnet())

    def __repr__(self) -> str:
        return f"Bundle({str(self.folder)!r}: arch {self.arch.id})"

    def _repr_html_(self) -> str:
        figures = self.card.figures
        rows = [
            ("arch", self.arch.id),
            *_flat("predicted", figures.predicted),
            *_flat("measured", figures.measured),
            *_flat(
                "validation, corrected for having been chosen,", figures.validation_corrected_for_choice or {}
            ),
        ]
        cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(shown)}</td></tr>" for name, shown in rows)
        return f"<b>{escape(str(self.folder))}</b><table>{cells}</table>"


def _flat(kind: str, figures: Mapping[str, Any]) -> words.Lines:
    """Figures of a card as rows; those of a split or of a latency are one row each."""
    rows: words.Lines = []
    for name, value in figures.items():
        if isinstance(value, Mapping):
            rows += [(f"{kind} {name}: {inner}", f"{one:.5g}" if isinstance(one, float) else str(one))
                     for inner, one in value.items()]  # fmt: skip
        else:
            rows.append((f"{kind} {name}", f"{value:.5g}" if isinstance(value, float) else str(value)))
    return rows


def open_bundle(
    folder: str | Path,
    *,
    supernet: str | Path | HasDescription | None = None,
    summary: Mapping[str, Any] | None = None,
) -> Bundle:
    """A bundle on disk. Raises InputError for what is none, and for files that changed since it was written.

    ``supernet`` is what it was cut out of, where that is a description of your own.
    """
    from supernet.bundles.bundle import open_bundle as opened

    if isinstance(supernet, (str, Path)):
        described: catalog.Supernet | None = catalog.open_supernet(str(supernet))
    else:
        described = supernet.described if supernet is not None else None
    return Bundle(opened(Path(folder), described), summary or {})
