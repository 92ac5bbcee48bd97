"""``oncefit weights``: the weights that do not ship, listed, fetched and imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.options import Json

if TYPE_CHECKING:
    from rich.table import Table

    from supernet.weights.kept_weights import Record

app = typer.Typer(
    help="List, fetch and import weights that do not ship.", no_args_is_help=True, rich_markup_mode=None
)

SHORT = 12
"""Digits of a sha256 that tell two apart."""

Name = Annotated[str, typer.Argument(help="Supernet's name or YAML file.", metavar="NAME")]
CacheDir = Annotated[
    Path | None,
    typer.Option("--cache-dir", help="Folder to keep them in, else ONCEFIT_CACHE.", metavar="DIR"),
]
Replace = Annotated[bool, typer.Option("--replace", help="Take what comes in place of what was here.")]
Key = Annotated[
    str | None,
    typer.Option("--key", help="Weights to take of several.", metavar="KEY", show_default="the average"),
]


@app.command("list")
def list_weights(cache_dir: CacheDir = None, as_json: Json = False) -> None:
    """Show which weights are here, and where from."""
    import oncefit
    from search.cli import terminal
    from supernet.weights import kept_weights

    found = oncefit.list_weights(cache_dir=cache_dir)
    if as_json:
        listed = {name: record_dict(name, record, cache_dir) for name, record in found.items()}
        terminal.print_json({"folder": str(kept_weights.kept_folder(cache_dir)), "weights": listed})
    else:
        terminal.show_titled(f"weights in {kept_weights.kept_folder(cache_dir)}", weights_table(found), NOTE)


@app.command()
def fetch(
    name: Name,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--from", help="Address to use; may be repeated.", metavar="URL", show_default="published"
        ),
    ] = None,
    key: Key = None,
    replace: Replace = False,
    cache_dir: CacheDir = None,
    as_json: Json = False,
) -> None:
    """Download a checkpoint and keep its weights.

    A download that was stopped is continued. What was once fetched is checked for ever.
    """
    import oncefit
    from search.cli import terminal

    with terminal.resumable():
        record = oncefit.fetch_weights(
            name, source=source or (), key=key, replace=replace, cache_dir=cache_dir, progress=True
        )
    tell(name, record, cache_dir, as_json)


@app.command("import")
def import_checkpoint(
    name: Name,
    file: Annotated[Path, typer.Argument(help="Checkpoint, or safetensors file.", metavar="FILE")],
    key: Key = None,
    replace: Replace = False,
    cache_dir: CacheDir = None,
    as_json: Json = False,
) -> None:
    """Keep the weights in a checkpoint that is on disk.

    Takes what ofa publishes, any torch.save of its state dict in whatever wrapper, and safetensors.
    """
    import oncefit

    record = oncefit.import_weights(name, file, key=key, replace=replace, cache_dir=cache_dir)
    tell(name, record, cache_dir, as_json)


NOTE = "size and sha256 of the checkpoint; oncefit weights fetch NAME gets what is not here"


def weights_table(found: Mapping[str, Record | None]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from search.reports.progress import MEGABYTE

    made = Table(box=box.SIMPLE)
    for heading in ("supernet", "state", "size (MB)", "sha256", "source"):
        made.add_column(heading, justify="right" if "size" in heading else "left", overflow="fold")
    for name, record in found.items():
        if record is None:
            made.add_row(name, "not here", "", "", "")
        else:
            size, sha256 = f"{record.checkpoint.size / MEGABYTE:.1f}", record.checkpoint.sha256[:SHORT]
            made.add_row(name, f"here since {record.date}", size, sha256, Text(record.source))
    return made


def record_dict(name: str, record: Record | None, cache_dir: Path | None) -> dict[str, Any]:
    """``here``, and what is known of weights that are."""
    from supernet.weights.kept_weights import weights_path

    if record is None:
        return {"here": False}
    return {"here": True, "file": str(weights_path(name, cache_dir)), **record.model_dump(exclude_none=True)}


def tell(name: str, record: Record, cache_dir: Path | None, as_json: bool) -> None:
    """What is kept now, and how other commands find it."""
    from search.cli import terminal
    from supernet.cache import VARIABLE, default_cache
    from supernet.families.catalog import open_supernet
    from supernet.weights import kept_weights

    name = open_supernet(name).name
    path = kept_weights.locate(name, cache_dir).path
    if as_json:
        terminal.print_json({"supernet": name} | record_dict(name, record, cache_dir))
    else:
        terminal.say(
            f"the weights of {name} are in {path} (sha256 of the checkpoint: {record.checkpoint.sha256})"
        )
    if cache_dir is not None and cache_dir.resolve() != default_cache().resolve():
        terminal.say(f"set {VARIABLE}={cache_dir} for other commands to find them")
