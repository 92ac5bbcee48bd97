"""Why a model file is as big as it is, and how one became another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.reports import size_words
from supernet.atomic import Unwritable, unwritable
from supernet.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from supernet.sizes.becoming import Change
    from supernet.sizes.file_sizes import FileSizes


@dataclass(frozen=True, repr=False)
class ModelSizes:
    """Model files side by side.

    Each of ``files`` has a ``name``, a ``format``, its ``bytes``, its ``parts``, which add up to these, and its
    ``tensors`` with what each of them takes.
    """

    files: tuple[FileSizes, ...]

    @cached_property
    def changes(self) -> Mapping[str, Sequence[Change]]:
        """How the tensors of the first file became those of each other, by its name."""
        from supernet.sizes.becoming import changes

        first, others = self.with_tensors[:1], self.with_tensors[1:]
        return {one.name: changes(first[0].tensors, one.tensors) for one in others}

    @property
    def with_tensors(self) -> list[FileSizes]:
        """Those that hold tensors, which the documents of a bundle do not."""
        return [one for one in self.files if one.tensors]

    def plot(self) -> Figure:
        """A bar for each file, of its parts on one another; a matplotlib figure."""
        return size_words.sizes_figure(self.files)

    def write(self, picture: str | Path) -> Path:
        """Write that as PNG or SVG, by the name's ending; returns the path. Raises InputError for another ending."""
        from search.reports.figures.plots import PICTURE_FORMATS, save_figure

        path = Path(picture)
        if path.suffix.removeprefix(".").lower() not in PICTURE_FORMATS:
            raise InputError(
                f"{path}: a picture's name ends with .{' or .'.join(PICTURE_FORMATS)}; give such a file"
            )
        try:
            save_figure(self.plot(), path)
        except Unwritable as error:
            raise unwritable(path, error.error, "give another file for the picture") from error
        return path

    def to_dict(self) -> dict[str, Any]:
        """All of it, as ``oncefit sizes --json`` prints it."""
        return {
            "files": [size_words.of_file(one) for one in self.files],
            "compared_with_the_first": size_words.of_changes(self.changes),
        }

    def __repr__(self) -> str:
        told = ", ".join(f"{one.name} {one.bytes:,} bytes" for one in self.files)
        return f"ModelSizes({told})"

    def _repr_html_(self) -> str:
        keys = size_words.part_keys(self.files)
        head = "".join(f"<th>{escape(name)}</th>" for name in ("", *size_words.short_names(self.files)))
        rows = [(size_words.part_name(key), [one.parts.get(key, 0) for one in self.files]) for key in keys]
        rows.append(("all of it", [one.bytes for one in self.files]))
        cells = "".join(
            f"<tr><th>{escape(name)}</th>{''.join(f'<td>{size:,}</td>' for size in sizes)}</tr>"
            for name, sizes in rows
        )
        return f"<table><tr>{head}</tr>{cells}</table>"


def sizes(*files: str | Path) -> ModelSizes:
    """What every byte of model files, or of those of a bundle, is for. Nothing in them is run.

    PyTorch (.pth, .pt, .ckpt, .pt2), safetensors, ONNX with its external data, TensorFlow Lite, OpenVINO (.xml with
    .bin) and ExecuTorch (.pte). Raises InputError for what is none of these, and for what is damaged.
    """
    from supernet.sizes.registry import model_files

    if not files:
        raise InputError("no file is given; give model files or a bundle")
    return ModelSizes(tuple(one for file in files for one in model_files(Path(file))))
