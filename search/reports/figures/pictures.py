"""The pictures of a run, by what they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from search.reports.figures.history import history_figure
from search.reports.figures.importance import importance_figure
from search.reports.figures.layers import layers_figure
from search.reports.figures.plots import PICTURE_FORMATS, front_figure
from search.reports.figures.timeline import timeline_figure
from search.runs.results import Result
from supernet.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES: Mapping[str, Callable[[Result], Figure]] = {
    "front": front_figure,
    "history": history_figure,
    "importance": importance_figure,
    "layers": layers_figure,
    "timeline": timeline_figure,
}


def picture(result: Result, kind: str) -> Figure:
    """A picture of a run by its name. Raises InputError for an unknown one, and where the run does not have what it shows."""
    check_kind(kind)
    return FIGURES[kind](result)


def check_kind(kind: str) -> None:
    """Raises InputError for a picture that there is not."""
    if kind not in FIGURES:
        raise InputError(f"{kind!r} is no kind of picture; give one of {', '.join(FIGURES)}")


def picture_file(folder: Path, kind: str, format: str | None, out: Path | None) -> Path:
    """Where a picture is written. Raises InputError for a format that pictures do not have, and one beside another ending."""
    ending = out.suffix.removeprefix(".").lower() if out is not None else None
    for given, what in ((format, "--format"), (ending, f"--out {out}")):
        if given is not None and given not in PICTURE_FORMATS:
            raise InputError(
                f"{what}: {given!r} is no format of a picture; give {' or '.join(PICTURE_FORMATS)}"
            )
    if format is not None and ending is not None and format != ending:
        raise InputError(f"--format {format} and --out {out} differ; leave one of them out")
    return out if out is not None else folder / f"{kind}.{format or PICTURE_FORMATS[0]}"
