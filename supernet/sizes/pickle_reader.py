"""What a pickle says, without doing any of it.

A pickle is a program: it names functions and calls them. Here its opcodes are read with :mod:`pickletools`, and what
it would call is written down as a :class:`PickledCall`. Nothing is imported, called or set.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import Any, Protocol

from supernet.errors import short

MOST_OPCODES = 20_000_000
LARGE = 4096
"""Bytes of a value that is told apart."""


class NotAPickle(ValueError):
    """What is wrong with it."""


class _Mark:
    """Where a list of values begins on the stack."""


@dataclass(frozen=True)
class Name:
    """A function or class that a pickle names."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class PickledCall:
    """What a pickle would make: by calling, with which arguments, and what it would put into the result."""

    of: object
    arguments: object
    state: object = None
    items: dict[Any, Any] = field(default_factory=dict)
    values: list[Any] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Persistent:
    """Something outside the pickle, by its id."""

    id: object


@dataclass(frozen=True)
class LargeValue:
    """A text or bytes that a pickle holds, from where to where in its stream; what it says is not kept."""

    start: int
    end: int


class Stream(Protocol):
    """What is asked of a file."""

    def read(self, size: int, /) -> bytes: ...
    def readline(self) -> bytes: ...
    def tell(self) -> int: ...


def read_pickle(stream: Stream, large: list[LargeValue] | None = None) -> object:
    """The value of the pickle that begins where the stream stands, which is at its end then. Raises NotAPickle.

    Long texts and bytes in it are added to ``large``.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, place) in enumerate(pickletools.genops(stream)):  # type: ignore[arg-type]
            if count > MOST_OPCODES:
                raise NotAPickle(f"it has more than {MOST_OPCODES:,} opcodes")
            if isinstance(argument, (str, bytes, bytearray)) and len(argument) >= LARGE:
                argument = LargeValue(place or 0, stream.tell())
                machine.large.append(argument)
            machine.step(opcode.name, argument)
        if large is not None:
            large += machine.large
        return machine.stack[-1]
    except NotAPickle:
        raise
    except (
        ValueError,
        IndexError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise NotAPickle(f"its pickle breaks off or makes no sense: {short(str(error))}") from error


SIMPLE = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
LITERALS = (
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING", "SHORT_BINSTRING",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE",
    "BINUNICODE8", "FLOAT", "BINFLOAT",
)  # fmt: skip
IGNORED = ("PROTO", "FRAME", "STOP", "READONLY_BUFFER")


class _Machine:
    """The stack and the memo of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.large: list[LargeValue] = []

    def step(self, name: str, argument: Any) -> None:
        if name in LITERALS:
            self.stack.append(argument)
        elif name in SIMPLE:
            self.stack.append(SIMPLE[name])
        elif name not in IGNORED:
            method = getattr(self, f"do_{name.lower()}", None)
            if method is None:
                raise NotAPickle(f"its pickle has the opcode {name}, which no model file needs")
            method(argument)

    def since_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while place >= 0 and self.stack[place] is not _Mark:
            place -= 1
        if place < 0:
            raise NotAPickle("its pickle has a list without a beginning")
        found = self.stack[place + 1 :]
        del self.stack[place:]
        return found

    # -- the stack and the memo

    def do_mark(self, _: Any) -> None:
        self.stack.append(_Mark)

    def do_pop(self, _: Any) -> None:
        self.stack.pop()

    def do_pop_mark(self, _: Any) -> None:
        self.since_mark()

    def do_dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def do_put(self, argument: Any) -> None:
        self.memo[int(argument)] = self.stack[-1]

    do_binput = do_long_binput = do_put

    def do_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def do_get(self, argument: Any) -> None:
        self.stack.append(self.memo[int(argument)])

    do_binget = do_long_binget = do_get

    # -- tuples, lists, mappings and sets

    def do_empty_tuple(self, _: Any) -> None:
        self.stack.append(())

    def do_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self.since_mark()))

    def take(self, number: int) -> list[Any]:
        if len(self.stack) < number:
            raise NotAPickle("its pickle takes more values than it has")
        found = self.stack[-number:]
        del self.stack[-number:]
        return found

    def do_tuple1(self, _: Any) -> None:
        self.stack.append(tuple(self.take(1)))

    def do_tuple2(self, _: Any) -> None:
        self.stack.append(tuple(self.take(2)))

    def do_tuple3(self, _: Any) -> None:
        self.stack.append(tuple(self.take(3)))

    def do_empty_list(self, _: Any) -> None:
        self.stack.append([])

    do_empty_set = do_empty_list

    def do_list(self, _: Any) -> None:
        self.stack.append(self.since_mark())

    do_frozenset = do_list

    def do_append(self, _: Any) -> None:
        value = self.stack.pop()
        values_put_into(self.stack[-1]).append(value)

    def do_appends(self, _: Any) -> None:
        values = self.since_mark()
        values_put_into(self.stack[-1]).extend(values)

    do_additems = do_appends

    def do_empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def do_dict(self, _: Any) -> None:
        self.stack.append(dict_of_pairs(self.since_mark()))

    def do_setitem(self, _: Any) -> None:
        pair = self.take(2)
        items_put_into(self.stack[-1]).update(dict_of_pairs(pair))

    def do_setitems(self, _: Any) -> None:
        pairs = self.since_mark()
        items_put_into(self.stack[-1]).update(dict_of_pairs(pairs))

    # -- what would be called

    def do_global(self, argument: Any) -> None:
        module, _, name = str(argument).partition(" ")
        self.stack.append(Name(module, name))

    def do_stack_global(self, _: Any) -> None:
        module, name = self.take(2)
        if not isinstance(module, str) or not isinstance(name, str):  # a list as text may have no end
            raise NotAPickle("its pickle names something otherwise than by text")
        self.stack.append(Name(module, name))

    def do_reduce(self, _: Any) -> None:
        self.stack.append(PickledCall(*self.take(2)))

    do_newobj = do_reduce

    def do_newobj_ex(self, _: Any) -> None:
        of, arguments, named = self.take(3)
        self.stack.append(PickledCall(of, arguments, named))

    def do_inst(self, argument: Any) -> None:
        self.do_global(argument)
        of = self.stack.pop()
        self.stack.append(PickledCall(of, tuple(self.since_mark())))

    def do_obj(self, _: Any) -> None:
        of, *arguments = self.since_mark()
        self.stack.append(PickledCall(of, tuple(arguments)))

    def do_build(self, _: Any) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], PickledCall):
            self.stack[-1].state = state

    def do_persid(self, argument: Any) -> None:
        self.stack.append(Persistent(argument))

    def do_binpersid(self, _: Any) -> None:
        self.stack.append(Persistent(self.stack.pop()))


def values_put_into(value: Any) -> list[Any]:
    if isinstance(value, PickledCall):
        return value.values
    if not isinstance(value, list):
        raise NotAPickle(f"its pickle appends to a {type(value).__name__}")
    return value


def items_put_into(value: Any) -> dict[Any, Any]:
    if isinstance(value, PickledCall):
        return value.items
    if not isinstance(value, dict):
        raise NotAPickle(f"its pickle puts items into a {type(value).__name__}")
    return value


def dict_of_pairs(values: list[Any]) -> dict[Any, Any]:
    """A mapping of alternating keys and values; a key that cannot be one is known by its place in memory."""
    if len(values) % 2:
        raise NotAPickle("its pickle has a key without a value")
    return {
        key if isinstance(key, (str, int, float, bool, bytes, Name)) else f"key {id(key)}": value
        for key, value in zip(values[::2], values[1::2], strict=True)
    }
