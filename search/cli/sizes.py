"""``oncefit sizes``: what every byte of a model file is for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.options import Json

if TYPE_CHECKING:
    from oncefit import ModelSizes


def sizes(
    files: Annotated[list[Path], typer.Argument(help="Model files, or a bundle.", metavar="FILE")],
    plot: Annotated[
        Path | None,
        typer.Option(help="PNG or SVG of the parts as bars.", metavar="FILE", show_default="none"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what every byte of a model file is for.

    Reads .pth, .pt, .ckpt, .pt2, .safetensors, .onnx, .tflite, .xml with .bin (OpenVINO) and .pte.
    Nothing in a file is run. With several it also says how the tensors of the first became those of each other.
    """
    import oncefit
    from search.cli import terminal

    found = oncefit.sizes(*files)
    if plot is not None:
        terminal.say_files([found.write(plot)])
    if as_json:
        terminal.print_json(found.to_dict())
    else:
        show_sizes(found)


def show_sizes(found: ModelSizes) -> None:
    """The parts; of one file its largest tensors, of several what became of the first one's."""
    from search.cli import terminal
    from search.reports import size_words

    several = len(found.with_tensors) > 1
    repeated = [
        (one, size_words.of_repeated(one))
        for one in found.files
        if size_words.repeats_much(one) or not several
    ]
    notes = "\n".join(f"{one.name}:\n{told}" for one, told in repeated if told)
    terminal.show_titled("bytes by what they are for", size_words.file_parts_table(found.files), notes)
    if not several and found.with_tensors:
        terminal.show(size_words.tensors_table(found.with_tensors[0].tensors))
    for name, changes in found.changes.items():
        title = f"tensors of {found.with_tensors[0].name}, and what they are in {name}"
        terminal.show_titled(title, size_words.changes_table(changes))
