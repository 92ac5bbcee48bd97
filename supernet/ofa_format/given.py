"""A subnet as a caller gives it: a file, the text itself, keys and values, or an arch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supernet.archs.arch import Arch
from supernet.errors import InputError, prefixed, short
from supernet.families.catalog import Supernet
from supernet.ofa_format import files, reader

Given = str | Path | Mapping[str, Any] | Arch
"""A path, or a text that begins with ``{`` and is JSON, a dict as Python prints it, or YAML."""

LIKE_AN_ID = re.compile("[0-9a-f]{4,10}")
"""What an arch id, or the beginning of one, looks like."""
ID_HINT = (
    "An arch id is known to the run that has it, and to nobody else: oncefit export RUN --pick ID writes that subnet "
    "with its arch.json"
)
WAYS = f"the file of a subnet, or the subnet itself in braces: {reader.forms()}"


def is_inline(given: Given) -> bool:
    """Whether it is the subnet itself and not where it is."""
    return not isinstance(given, Path) and not (isinstance(given, str) and not given.lstrip().startswith("{"))


def called(given: Given) -> str:
    """What messages call it: its file, or the arch that is given."""
    if isinstance(given, Arch):
        return f"arch {given.id}"
    if isinstance(given, Mapping):
        return short(json.dumps(given, default=str))
    return short(given) if is_inline(given) else str(given)


def data_of(given: Given) -> Mapping[str, Any]:
    """Its keys and values. Raises InputError for what is neither JSON, a Python dict nor YAML."""
    if isinstance(given, Arch):
        return given.to_dict()
    if isinstance(given, Mapping):
        return files.with_names(given)
    if is_inline(given):
        return files.parse_inline(str(given), "the subnet")
    return files.load(existing_file(given))


def existing_file(given: str | Path) -> Path:
    """Where a subnet's file is. Raises InputError for a folder, and for what is no file, as an arch id is."""
    path = Path(given)
    if not str(given).strip():
        raise InputError(f"a subnet is given as {str(given)!r}, which is empty; give {WAYS}")
    if path.is_dir():
        raise InputError(f"cannot read {given}: it is a folder; give {WAYS}")
    if not path.exists():
        hint = f". {ID_HINT}" if LIKE_AN_ID.fullmatch(str(given)) else ""
        raise InputError(f"cannot read {given}: there is no such file; give {WAYS}{hint}")
    return path


def read(given: Given, image_size: int | None = None, supernet: Supernet | None = None) -> reader.Network:
    """The network of it, see :func:`supernet.ofa_format.reader.read`."""
    if not is_inline(given):
        return reader.read(existing_file(str(given)), image_size, supernet)
    return reader.network_of(data_of(given), called(given), image_size, supernet)


def given_arch(given: Given, supernet: Supernet) -> Arch:
    """The arch of a supernet that it is; the image size may be in a run.config beside a file.

    Raises InputError where it is none.
    """
    data, name = data_of(given), called(given)
    beside = None if is_inline(given) else files.image_size_beside(Path(str(given)))
    try:
        if beside is None or "arch" in data or "choices" in data:
            return reader.arch_in(data, supernet, name)
        return reader.arch_at(read(given, None, supernet), supernet, name)
    except InputError as error:
        raise prefixed(error, name) from None


def within_space(given: Given, supernet: Supernet) -> Arch:
    """The same, within the choices that a search leaves. Raises InputError for one outside."""
    arch = given_arch(given, supernet)
    try:
        return supernet.space.arch(arch.values)
    except InputError as error:
        raise prefixed(error, called(given)) from None
