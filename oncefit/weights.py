"""Weights that do not ship with their supernets: which are here, fetched, and imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from supernet.messages import Say, say

if TYPE_CHECKING:
    from supernet.weights.kept_weights import Record


def list_weights(*, cache_dir: Path | None = None) -> Mapping[str, Record | None]:
    """By supernet, the record of the weights that are here: source, date, sizes and hashes; None where they are not.

    ``cache_dir`` is where they are kept, else ``ONCEFIT_CACHE``.
    """
    from supernet.weights import kept_weights

    return {name: kept_weights.read_record(name, cache_dir) for name in kept_weights.kept_names(cache_dir)}


def fetch_weights(
    name: str,
    *,
    source: Sequence[str] = (),
    key: str | None = None,
    replace: bool = False,
    cache_dir: Path | None = None,
    progress: bool = False,
    say: Say = say,
) -> Record:
    """Download a supernet's checkpoint and keep its weights; what was once fetched is checked for ever.

    ``source`` are addresses, else those that are published, ``key`` the weights to take of several. A download that
    was stopped is continued. Raises InputError that lists why each address failed.
    """
    from search.reports.progress import download_progress
    from supernet.families import fetched_weights as weights

    today = date.today().isoformat()
    with download_progress() if progress else nullcontext(lambda *_: None) as show:
        return weights.fetch(name, today, say, show, cache_dir, source, replace, key=key)


def import_weights(
    name: str,
    file: str | Path,
    *,
    key: str | None = None,
    replace: bool = False,
    cache_dir: Path | None = None,
    say: Say = say,
) -> Record:
    """Keep the weights in a checkpoint that is on disk; of several in it those at ``key``.

    Raises InputError where it is none of that supernet, and where others are here, unless ``replace`` is given.
    """
    from supernet.families import fetched_weights as weights

    return weights.import_file(name, Path(file), date.today().isoformat(), say, cache_dir, replace, key)
