"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else, on stdout.")]
Region = Annotated[str | None, typer.Option(help="Grid region of the device, as FRA.", metavar="CODE")]
DeviceFile = Annotated[
    Path | None, typer.Option(help="YAML file to write.", metavar="FILE", show_default="found by NAME later")
]
ReplaceFile = Annotated[bool, typer.Option("--replace", help="Write over the file that is there.")]
Bundle = Annotated[Path, typer.Argument(help="Bundle folder.", metavar="BUNDLE")]


def out_folder(default: str) -> Any:
    return typer.Option("--out", help="Folder to write to.", metavar="DIR", show_default=default)


def storage_url(default: str | bool) -> Any:
    """The environment variable is that of :data:`search.storages.urls.STORAGE_VARIABLE`: the URL may hold a password."""
    return typer.Option(
        "--storage", help="Optuna storage.", metavar="URL", show_default=default, envvar="ONCEFIT_STORAGE", show_envvar=False,
    )  # fmt: skip


FormatNames = Annotated[
    str, typer.Option("--format", help="Formats, with commas: onnx, openvino, ...", metavar="NAMES")
]
MoreFormats = Annotated[
    str | None, typer.Option("--format", help="Further formats, with commas.", metavar="NAMES")
]
BatchOption = Annotated[
    str | None,
    typer.Option("--batch", help="Images at once, or dynamic.", metavar="N", show_default="the format's"),
]
ImageSize = Annotated[
    int | None, typer.Option(help="Side of images in pixels.", metavar="N", show_default="the arch's")
]
Opset = Annotated[int | None, typer.Option(help="Opset of ONNX.", metavar="N", show_default="17")]
TimedThreads = Annotated[int, typer.Option("--threads", help="Threads to time with.", metavar="N")]
