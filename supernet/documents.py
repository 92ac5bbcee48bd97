"""YAML documents: found by name or path, read safely, checked against a pydantic model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from supernet.atomic import whole
from supernet.errors import FIRST, InputError, some, unknown

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
"""The shipped YAML files, beside this package in a checkout and in an installation."""


SINGULAR = {
    "supernets": "supernet",
    "devices": "device",
    "searches": "search",
    "training": "training recipe",
    "labels": "list of classes",
}
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's safe loader, ten times as fast as the one in Python; absent where PyYAML was built without it."""


class Document(BaseModel):
    """Base of all YAML models: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=BaseModel)


def find(kind: str, name_or_path: str | Path, more: Path | None = None) -> Path:
    """The file of a shipped document (``find("devices", "note10")``), of one in ``more``, or a path.

    Raises InputError that lists the names there are.
    """
    given = str(name_or_path)
    if given.endswith((".yaml", ".yml")):
        for candidate in (Path(given), CONFIGS.parent / given):
            if candidate.is_file():
                return candidate
        raise InputError(f"there is no file {given}; shipped {kind}: {some(names(kind, more))}")
    folders = [CONFIGS / kind] + ([more] if more is not None else [])
    for folder in reversed(folders):
        if (folder / f"{given}.yaml").is_file():
            return folder / f"{given}.yaml"
    raise unknown(SINGULAR[kind], given, names(kind, more))


def from_folder(folder: Path, given: str) -> str:
    """A path made absolute where it leads to something from ``folder``; anything else, as a name, as it is."""
    path = folder.resolve() / given
    return str(path) if path.exists() else given


def names(kind: str, more: Path | None = None) -> list[str]:
    """The names that :func:`find` knows."""
    folders = [CONFIGS / kind] + ([more] if more is not None else [])
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})


def read(path: Path, model: type[Model]) -> Model:
    """Parse a YAML file into ``model``. Raises InputError that names file, key, value and what is allowed."""
    return check(load(path), model, str(path))


def load(path: Path) -> dict[str, object]:
    """The mapping in a YAML file."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} must hold keys and values, but holds {type(data).__name__}")
    return data


def check(data: dict[str, object], model: type[Model], where: str) -> Model:
    """Validate what was read from ``where``."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        errors = error.errors()
        more = f"; and {len(errors) - FIRST} more" if len(errors) > FIRST else ""
        raise InputError("; ".join(explain(e, model, where) for e in errors[:FIRST]) + more) from error


def explain(error: object, model: type[BaseModel], where: str) -> str:
    """One pydantic error as a sentence."""
    assert isinstance(error, dict)
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        *parents, name = error["loc"]
        known = fields_at(model, parents)
        inside = f" {'.'.join(map(str, parents))}:" if parents else ""
        return f"{where}:{inside} {unknown('key', name, known)}"
    if error["type"] == "missing":
        return f"{where}: the key {key!r} is missing"
    message = error["msg"].removeprefix("Value error, ")
    return f"{where}: {key or 'document'}: got {str(error['input'])[:80]!r}; {message}"


def fields_at(model: type[BaseModel], keys: Sequence[object]) -> list[str]:
    """The keys that are allowed below ``keys``, which are names of fields and places in lists."""
    within = [model]
    for key in keys:
        tagged = [m for m in within if "kind" in m.model_fields and m.model_fields["kind"].default == key]
        if tagged:
            within = tagged
        elif len(within) == 1 and isinstance(key, str) and key in within[0].model_fields:
            within = list(models_in(within[0].model_fields[key].annotation))
    return list(within[0].model_fields) if len(within) == 1 else []


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """The models in a type such as ``tuple[Phase, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises InputError where the folder cannot be written."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")
