"""Text as YAML or JSON, read in bounds: no text makes a parser recurse, multiply or guess.

Both formats give the values of JSON only: mappings with keys that differ, lists, strings, 64-bit integers,
floats, booleans and null. What YAML 1.1 takes for a date is a string here, and ``3e6`` is a number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

import yaml

from supernet.errors import InputError, short

DEEPEST = 64
"""Levels of lists and mappings within each other; documents have fewer than ten."""
MOST_REPEATED = 10_000
"""Values that the aliases of a YAML text may stand for: nine anchors of nine aliases are a billion."""
LARGEST_INTEGER = 2**63 - 1

CORE_TAGS = ("null", "bool", "int", "float", "str", "seq", "map")
TAG = "tag:yaml.org,2002:"
TIMESTAMP, FLOAT, MERGE = f"{TAG}timestamp", f"{TAG}float", f"{TAG}merge"
EXPONENT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$")
"""Numbers such as ``3e6``, which YAML 1.1 takes for text where dot and sign are missing."""

JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}:]', re.DOTALL)
ODDITY = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters but for tabs and ends of lines, which would steer a terminal, and halves of a surrogate pair."""

T = TypeVar("T")


def parse_yaml(text: str, where: str) -> object:
    """The value of a YAML text. Raises InputError, which begins with ``where``, for anything out of bounds."""
    try:
        check_events(text, where)
        loader = Loader(text)
        loader.where = where
        try:
            return whole_text(loader.get_single_data(), text, where)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        said = " ".join(str(error).replace('in "<unicode string>", ', "in ").split())
        raise InputError(f"{where} is not valid YAML: {said}") from error


def parse_json(text: str, where: str) -> object:
    """The value of a JSON text. Raises InputError, which begins with ``where``, for anything out of bounds."""
    check_tokens(text, where)

    def constant(name: str) -> NoReturn:
        raise InputError(f"{where}: {name} is no number in JSON; leave out what is not known")

    try:
        found = json.loads(
            text, parse_int=lambda digits: integer(digits, int, where), parse_constant=constant
        )
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is not JSON: {error}") from error
    return whole_text(found, text, where)


# -- YAML ------------------------------------------------------------------------


def check_events(text: str, where: str) -> None:
    """Raises InputError for what would make a composer recurse deeply, or a reader of its result multiply.

    Events are had one by one, without recursion; the sizes are those with every alias written out.
    """
    opened: list[str] = []  # anchors of the lists and mappings that are not closed yet, empty without one
    sizes = [0]
    known: dict[str, int] = {}
    repeated = 0
    for event in yaml.parse(text, Loader=Loader):
        anchor, line = getattr(event, "anchor", None) or "", line_at(event)
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append(anchor)
            sizes.append(1)
            if len(opened) > DEEPEST:
                raise too_deep(where, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            size = known[opened.pop()] = sizes.pop()
            sizes[-1] += size
        elif isinstance(event, yaml.ScalarEvent):
            known[anchor] = 1
            sizes[-1] += 1
        elif isinstance(event, yaml.AliasEvent):
            if anchor in opened:
                raise InputError(
                    f"{where}, line {line}: *{anchor} would hold itself; write out what is meant"
                )
            size = known.get(anchor, 1)  # an anchor that is not known is the composer's to refuse
            sizes[-1] += size
            repeated += size
            if repeated > MOST_REPEATED:
                raise InputError(
                    f"{where}, line {line}: its aliases stand for more than {MOST_REPEATED:,} values; "
                    "write out what is meant"
                )


def line_at(found: yaml.Event | yaml.Node) -> int:
    return found.start_mark.line + 1 if found.start_mark is not None else 1


def too_deep(where: str, line: int) -> InputError:
    return InputError(
        f"{where}, line {line}: lists and mappings stand within each other on more than {DEEPEST} levels; "
        "no document of oncefit is that deep"
    )


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Of libyaml where it is there, ten times as fast as the one in Python; knows the tags of JSON's values only."""

    where = ""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.checked: set[int] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Called before a mapping is made and before it is merged into another; checks its keys the first time."""
        if id(node) not in self.checked:
            self.checked.add(id(node))
            lines: dict[str, int] = {}
            for key_node, _ in node.value:
                key, line = self.key(key_node), line_at(key_node)
                if key in lines:
                    raise twice(key, lines[key], line, self.where)
                lines[key] = line
        super().flatten_mapping(node)

    def key(self, node: yaml.Node) -> str:
        """A key as JSON would have it, so that ``7`` and ``"7"`` are the same."""
        if node.tag == MERGE or not isinstance(node, yaml.ScalarNode):
            return str(node.value)
        made = self.construct_object(node)
        return made if isinstance(made, str) else json.dumps(made)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except InputError:
            raise
        except (ValueError, LookupError, ArithmeticError) as error:
            kind = node.tag.removeprefix(TAG)
            raise InputError(
                f"{self.where}, line {line_at(node)}: {short(node.value)} cannot be read as {kind}; "
                "if it is text, put it between quotes"
            ) from error

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        place = f"{self.where}, line {line_at(node)}"
        return integer(node.value, lambda _: int(super(Loader, self).construct_yaml_int(node)), place)


Loader.yaml_constructors = {
    tag: make
    for tag, make in Loader.yaml_constructors.items()
    if tag is None or tag.removeprefix(TAG) in CORE_TAGS
} | {f"{TAG}int": Loader.construct_yaml_int}
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != TIMESTAMP]
    for first, resolvers in Loader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(FLOAT, EXPONENT, list("-+.0123456789"))


class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Quotes what :class:`Loader` would take for a number: a hash may read ``12e4567``."""


Dumper.add_implicit_resolver(FLOAT, EXPONENT, list("-+.0123456789"))


# -- JSON ------------------------------------------------------------------------


def check_tokens(text: str, where: str) -> None:
    """Raises InputError for a text that is too deep for a parser, or gives a key twice."""
    opened: list[dict[str, int]] = []
    last = ""
    for found in JSON_TOKEN.finditer(text):
        token = found[0]
        if token in "[{":
            opened.append({})
            if len(opened) > DEEPEST:
                raise too_deep(where, line_of(text, found.start()))
        elif token in "]}":
            del opened[-1:]
        elif token == ":" and opened:
            start = opened[-1].setdefault(last, found.start())
            if start != found.start():
                raise twice(last, line_of(text, start), line_of(text, found.start()), where)
        else:
            last = unescaped(token)


def unescaped(token: str) -> str:
    """What a string in JSON says; a wrong one, which the parser will refuse, as it is."""
    if "\\" not in token:
        return token[1:-1]
    try:
        return str(json.loads(token))
    except ValueError:
        return token


def line_of(text: str, start: int) -> int:
    return text.count("\n", 0, start) + 1


# -- both ------------------------------------------------------------------------


def twice(key: str, first: int, second: int, where: str) -> InputError:
    lines = f"in lines {first} and {second}" if first != second else f"in line {first}"
    return InputError(f"{where}: the key {short(key)} is given twice, {lines}; remove one of them")


def integer(digits: str, convert: Callable[[str], int], where: str) -> int:
    """A whole number of 64 bits. Python itself refuses to convert more than 4,300 digits."""
    found = convert(digits) if len(digits) <= 100 else LARGEST_INTEGER + 1
    if abs(found) > LARGEST_INTEGER:
        raise InputError(
            f"{where}: {short(digits)} is too large for a whole number; the largest is {LARGEST_INTEGER:,}"
        )
    return found


def whole_text(found: T, text: str, where: str) -> T:
    """What was read, whose strings can all be written, shown and be paths."""
    if "\\" in text or ODDITY.search(text):
        for string in strings(found):
            if ODDITY.search(string):
                raise InputError(f"{where}: {short(string)} holds a character that no text may hold")
    return found


def strings(value: object) -> Iterator[str]:
    """All strings in a value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from strings(key)
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
