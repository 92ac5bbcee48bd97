"""What stands in a file of a subnet: JSON, a Python dict, or YAML; and the image size in the file beside it."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supernet import documents
from supernet.errors import InputError
from supernet.parsing import parse_yaml

RUN_CONFIG = "run.config"
"""The file that ``ofa`` writes beside a net.config; it holds the image size."""
LONGEST_PRINTED = 2**20
"""Characters of a dict as Python prints it, which Python's parser takes a hundred times as much memory for."""


def load(path: Path) -> dict[str, Any]:
    """The keys and values in a file: in YAML where its name says so, else in JSON or as Python prints a dict."""
    if path.suffix in documents.YAML:
        return with_names(documents.load(path))
    return parse(documents.text_of(path, "JSON"), str(path))


def with_names(data: Mapping[Any, Any]) -> dict[str, Any]:
    """The same with keys that are text: YAML's and Python's may be numbers."""
    return {str(key): value for key, value in data.items()}


def parse(text: str, where: str) -> dict[str, Any]:
    """The object in JSON, or the dict as Python prints it."""
    try:
        return documents.json_object(text, where)
    except InputError:
        printed = python_dict(text)
        if printed is None:
            raise
        return printed


def parse_inline(text: str, where: str) -> dict[str, Any]:
    """The same, or YAML in braces, of which JSON is a part: its error says what is wrong with either."""
    try:
        return parse(text, where)
    except InputError:
        data = parse_yaml(text, where)
        if not isinstance(data, dict):
            raise
        return with_names(data)


def python_dict(text: str) -> dict[str, Any] | None:
    """The dict of a text that is not JSON, as that with a key twice is; None for anything else."""
    try:
        json.loads(text)
    except RecursionError:
        return None
    except ValueError:
        if len(text) > LONGEST_PRINTED:
            return None
        try:
            data = ast.literal_eval(text.strip())
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return None
        return with_names(data) if isinstance(data, dict) else None
    return None


def image_size_beside(path: Path) -> int | None:
    """Side in pixels that the run.config in the same folder gives; None where there is no such file."""
    beside = path.parent / RUN_CONFIG
    if not beside.exists():
        return None
    size = load(beside).get("image_size")
    if not isinstance(size, int) or isinstance(size, bool):
        raise InputError(
            f"{beside}: image_size must be a number of pixels, got {size!r}; --image-size N gives another"
        )
    return size
