"""What stands in a file of a subnet: JSON, a Python dict, or YAML; and the image size in the file beside it."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supernet import documents
from supernet.errors import InputError

RUN_CONFIG = "run.config"
"""The file that ``ofa`` writes beside a net.config; it holds the image size."""


def load(path: Path) -> dict[str, Any]:
    """The keys and values in a file: in JSON or as Python prints a dict where it begins as they do, else in YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8: {error}") from error
    if text.lstrip()[:1] in ("{", "["):
        return parse(text, str(path))
    return with_names(documents.load(path))


def with_names(data: Mapping[Any, Any]) -> dict[str, Any]:
    """The same with keys that are text: YAML's and Python's may be numbers."""
    return {str(key): value for key, value in data.items()}


def parse(text: str, where: str) -> dict[str, Any]:
    """The object in JSON, or the dict as Python prints it."""
    data: object
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        try:
            data = ast.literal_eval(text.strip())
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            raise InputError(f"{where} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"{where} must hold an object, {{...}}, but holds {type(data).__name__}")
    return with_names(data)


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
