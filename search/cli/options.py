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
