"""Documents in YAML and JSON: found by name or path, read safely, checked against a pydantic model.

Every such file comes through :func:`load` or :func:`load_json`, every value of it through :func:`check`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from supernet.atomic import whole
from supernet.errors import FIRST, InputError, short, some, unknown
from supernet.parsing import Dumper, parse_json, parse_yaml

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
"""The shipped YAML files, beside this package in a checkout and in an installation."""


SINGULAR = {
    "supernets": "supernet",
    "devices": "device",
    "searches": "search",
    "training": "training recipe",
    "labels": "list of classes",
}
PLURAL = {"training": "training recipes", "labels": "lists of classes"}
NOT_ALONE = {"training": ("adapt", "finetune", "finetune_int8")}
"""Shipped files that are no documents of their kind alone: recipes without a supernet, which other commands begin with."""
YAML = (".yaml", ".yml")
LARGEST_FILE = 64 * 2**20
"""Bytes of a document; a device such as ``/dev/zero`` has no end."""


class Document(BaseModel):
    """Base of all models: unknown keys are errors, values are not converted and do not change.

    ``true`` and ``"3"`` are no numbers; ``3`` is one where a float is due, and numbers are finite.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


WORDS = {
    **dict.fromkeys(("tuple_type", "list_type"), "Input should be a list, as [a, b]"),
    **dict.fromkeys(("dict_type", "model_type"), "Input should be a mapping, as {key: value}"),
}
"""What pydantic says in words of JSON or Python, by the kinds of its errors."""
SHOULD_BE = "Input should be "

Model = TypeVar("Model", bound=BaseModel)


def find(kind: str, name_or_path: str | Path, more: Path | None = None) -> Path:
    """The file of a shipped document (``find("devices", "note10")``), of one in ``more``, or a path.

    Raises InputError that lists the names there are.
    """
    given = str(name_or_path)
    if given.endswith(YAML):
        for candidate in (Path(given), CONFIGS.parent / given):
            if candidate.is_file():
                return candidate
        raise InputError(
            f"there is no file {given}; shipped {PLURAL.get(kind, kind)}: {some(names(kind, more))}"
        )
    folders = [CONFIGS / kind] + ([more] if more is not None else [])
    for folder in reversed(folders):
        if (folder / f"{given}.yaml").is_file():
            return folder / f"{given}.yaml"
    if Path(given).exists():
        what = "is a folder" if Path(given).is_dir() else "is not named *.yaml"
        raise InputError(
            f"{given} {what}; a {SINGULAR[kind]} is a .yaml file, or one of those that ship: "
            f"{', '.join(names(kind, more))}"
        )
    raise unknown(SINGULAR[kind], given, names(kind, more))


def from_folder(folder: Path, given: str) -> str:
    """A path made absolute where it leads to something from ``folder``; anything else, as a name, as it is."""
    path = folder.resolve() / given
    # an empty text would lead to the folder itself
    return str(path) if given.strip() and path.exists() else given


def names(kind: str, more: Path | None = None) -> list[str]:
    """The names that :func:`find` knows."""
    folders = [CONFIGS / kind] + ([more] if more is not None else [])
    return sorted(
        {path.stem for folder in folders for path in folder.glob("*.yaml")} - {*NOT_ALONE.get(kind, ())}
    )


def read(path: Path, model: type[Model]) -> Model:
    """Parse a YAML file into ``model``. Raises InputError that names file, key, value and what is allowed."""
    return check(load(path), model, str(path))


def load(path: Path) -> dict[str, object]:
    """The mapping in a YAML file."""
    data = parse_yaml(text_of(path, "YAML"), str(path))
    if not isinstance(data, dict):
        raise InputError(f"{path} must hold keys and values, but holds {type(data).__name__}")
    return data


def load_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    text = text_of(path, "JSON")
    try:
        return json_object(text, str(path))
    except InputError as error:
        if path.suffix in YAML:
            raise InputError(f"{path} is a YAML file, and what is asked for here is JSON") from error
        raise


def json_object(text: str, where: str) -> dict[str, Any]:
    """The object in a JSON text, which was read from ``where``."""
    data = parse_json(text, where)
    if not isinstance(data, dict):
        raise InputError(f"{where} must hold an object, {{...}}, but holds {type(data).__name__}")
    return data


def text_of(path: Path, form: str) -> str:
    """What is in a file of a ``form``. Raises InputError where it cannot be read, has no end or is not UTF-8."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise InputError(f"{path} is larger than {LARGEST_FILE // 2**20} MiB, and no document is")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not valid {form}, which is UTF-8 text: {error}") from error


def check(data: Mapping[str, object], model: type[Model], where: str) -> Model:
    """Validate what was read from ``where``: as JSON, whose lists may become tuples though nothing else is converted."""
    text = json.dumps(data, default=plain)
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        errors = of_alternatives(error.errors(), json.loads(text))
        more = f"; and {len(errors) - FIRST} more" if len(errors) > FIRST else ""
        raise InputError("; ".join(explain(e, model, where) for e in errors[:FIRST]) + more) from error


def plain(value: object) -> object:
    """NumPy's numbers and arrays as Python's, and documents as mappings, for settings that a program gives."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise InputError(f"got {short(value)} of type {type(value).__name__}, which no document can hold")


def check_json(text: str, model: type[Model], where: str) -> Model:
    """The same for a JSON text."""
    return check(json_object(text, where), model, where)


def dump(data: object, flow: bool | None = False, width: int | None = None) -> str:
    """A YAML text that :func:`load` reads as the same values; ``flow=None`` gives each innermost list a line."""
    return str(
        yaml.dump(
            data, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=width
        )
    )


def of_alternatives(errors: Sequence[Any], data: object) -> list[dict[str, Any]]:
    """The errors with their ``place`` in the data; of a value that may be one of several types, the closest type's.

    pydantic tells what is wrong with such a value for each type, with the name of the type in the error's location.
    """
    found: dict[tuple[object, ...], list[dict[str, Any]]] = {}
    for error in errors:
        place, alternatives = place_in(data, error["loc"], error["type"] == "missing")
        found.setdefault(error["loc"] if alternatives is None else alternatives, []).append(
            {**error, "place": place}
        )
    kept = [one for at, group in found.items() for one in closest(group, len(at))]
    # of a list whose entries are wrong pydantic also says that too few are left
    inner = {error["place"][:-1] for error in kept}
    return [error for error in kept if error["type"] != "too_short" or error["place"] not in inner]


def place_in(
    data: Any, loc: Sequence[Any], is_missing: bool
) -> tuple[tuple[object, ...], tuple[object, ...] | None]:
    """A location without the names of types, which are no keys of the data, and the place before the first of these."""
    place: list[object] = []
    before = None
    for i, part in enumerate(loc):
        if (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int)):
            data = data[part]
        elif not (is_missing and i + 1 == len(loc)):
            before = tuple(place) if before is None else before
            continue
        place.append(part)
    return tuple(place), before


def closest(errors: Sequence[dict[str, Any]], depth: int) -> list[dict[str, Any]]:
    """Of what is wrong with one value by each of its types: what is wrong inside it, or all that it may be, as one."""
    inside = [e for e in errors if len(e["place"]) > depth or not e["type"].endswith("_type")]
    if inside or len(errors) == 1:
        return inside or list(errors)
    allowed = dict.fromkeys(whats_wrong(error).removeprefix(SHOULD_BE) for error in errors)
    return [{**errors[0], "msg": SHOULD_BE + ", or ".join(allowed), "type": "alternatives"}]


def whats_wrong(error: Mapping[str, Any]) -> str:
    """What is wrong, in words that are not of pydantic."""
    if error["type"] in ("too_short", "string_too_short") and error["ctx"]["min_length"] == 1:
        return "Input should not be empty"
    return WORDS.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")


def explain(error: Mapping[str, Any], model: type[BaseModel], where: str) -> str:
    """One pydantic error as a sentence."""
    key = ".".join(map(str, error["place"]))
    if error["type"] == "extra_forbidden":
        *parents, name = error["loc"]
        known = fields_at(model, parents)
        inside = f" {'.'.join(map(str, error['place'][:-1]))}:" if parents else ""
        return f"{where}:{inside} {unknown('key', name, known)}"
    if error["type"] == "missing":
        return f"{where}: the key {key!r} is missing"
    return f"{where}: {key or 'document'}: got {short(str(error['input']))}; {whats_wrong(error)}"


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
