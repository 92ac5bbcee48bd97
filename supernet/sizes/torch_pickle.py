"""Tensors that a pickle of torch speaks of: which storage each is a view of, and what it is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from supernet.errors import short
from supernet.sizes.pickle_reader import Name, NotAPickle, Persistent, PickledCall
from supernet.sizes.stored_tensor import BITS

STORAGES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64", "Int": "int32",
    "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool", "ComplexFloat": "complex64",
    "ComplexDouble": "complex128", "QInt8": "qint8", "QUInt8": "quint8", "QInt32": "qint32", "QUInt4x2": "uint4",
    "QUInt2x4": "uint2", "Untyped": "uint8",
}  # fmt: skip
"""dtype by the class of a storage, ``torch.FloatStorage``."""
PLAIN = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor")
"""Functions of ``torch._utils`` whose first arguments are storage, offset, shape and strides."""
PARAMETERS = ("_rebuild_parameter", "_rebuild_parameter_with_state")
"""Functions of ``torch._utils`` whose first argument is a tensor."""
OF_MODULES = ("_modules", "_parameters", "_buffers")
"""Where a pickled module, as against its state dict, has its tensors; no part of their names."""
MOST_VALUES = 20_000_000
MOST_WRAPPED = 8
"""Calls around that of a tensor: torch makes one for a parameter, and one for attributes."""


@dataclass(frozen=True)
class Storage:
    """Bytes that tensors are views of, by the key under which a file has them; elements are of ``dtype``."""

    key: str
    dtype: str
    elements: int


@dataclass(frozen=True)
class View:
    """A tensor: elements of a storage from ``offset`` on."""

    name: str
    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    of_optimizer: bool

    @property
    def span(self) -> tuple[int, int]:
        """From which byte of the storage to which it is."""
        wide = BITS[self.dtype] // 8 or 1
        reach = sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        end = self.offset + reach + 1 if 0 not in self.shape else self.offset
        return self.offset * wide, end * wide


def views_in(value: object) -> Iterator[View]:
    """Every tensor in what a pickle holds, once for each name it has. Raises NotAPickle for one that cannot be."""
    waiting: list[tuple[str, object, bool]] = [("", value, False)]
    seen: set[int] = set()
    for _ in range(MOST_VALUES):
        if not waiting:
            return
        name, one, of_optimizer = waiting.pop()
        view = view_of(name, one, of_optimizer)
        if view is not None:
            yield view
        elif isinstance(one, (dict, list, tuple, PickledCall)):
            if id(one) in seen:
                continue
            seen.add(id(one))
            waiting += reversed(list(inside(name, one, of_optimizer)))


def inside(name: str, value: Any, of_optimizer: bool) -> Iterator[tuple[str, object, bool]]:
    """What is in a mapping, a list or an object that would be made, with the names that lead there."""
    if isinstance(value, PickledCall):
        for part in (value.arguments, value.state, value.items, value.values):
            if part:
                yield name, part, of_optimizer
        return
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    in_optimizer = of_optimizer or (isinstance(value, dict) and {"state", "param_groups"} <= value.keys())
    for key, inner in pairs:
        if isinstance(inner, (dict, list, tuple, PickledCall)):
            called = name if key in OF_MODULES else f"{name}.{key}".lstrip(".")
            yield called, inner, in_optimizer


def view_of(name: str, value: object, of_optimizer: bool) -> View | None:
    """A tensor, where a call would make one."""
    called, given = plain_call(value)
    if called not in PLAIN or len(given) < 4:
        return None
    storage = named_storage(given[0])
    offset, shape, strides = count_of(given[1]), counts_in(given[2]), counts_in(given[3])
    if len(shape) != len(strides):
        raise NotAPickle(f"the tensor {name!r} has {len(shape)} sides and {len(strides)} strides")
    dtype = storage.dtype
    if called == "_rebuild_tensor_v3" and len(given) > 6:
        dtype = dtype_of(given[6])
    return View(name, storage, dtype, offset, shape, strides, of_optimizer)


def plain_call(value: object) -> tuple[str, tuple[Any, ...]]:
    """The name of a function of ``torch._utils`` and what it is given, out of what it is wrapped in; else nothing."""
    for _ in range(MOST_WRAPPED):
        if not (
            isinstance(value, PickledCall)
            and isinstance(value.of, Name)
            and isinstance(value.arguments, tuple)
        ):
            return "", ()
        of, given = value.of, value.arguments
        if (
            str(of) == "torch._tensor._rebuild_from_type_v2" and len(given) > 2
        ):  # one with attributes of its own
            value = PickledCall(given[0], given[2])
        elif of.module != "torch._utils":
            return "", ()
        elif of.name in PARAMETERS and given:
            value = given[0]
        else:
            return of.name, given
    raise NotAPickle(f"it has a tensor in more than {MOST_WRAPPED} wrappings")


def dtype_of(value: object) -> str:
    """Raises NotAPickle for a dtype whose bits nobody here knows."""
    found = value.name if isinstance(value, Name) else ""
    if found not in BITS:
        raise NotAPickle(
            f"it has a tensor of the dtype {short(found) or 'of no name'}, which is not known here"
        )
    return found


def named_storage(value: object) -> Storage:
    """``('storage', torch.FloatStorage, '0', 'cpu', 216)``, which the file has outside of the pickle."""
    match value:
        case Persistent(("storage", Name(_, name), str(key), _, int(elements), *_)):
            dtype = STORAGES.get(name.removesuffix("Storage"))
            if dtype is None:
                raise NotAPickle(f"it has a storage of the class {name}, which is not known here")
            return Storage(key, dtype, count_of(elements))
    raise NotAPickle("it has a tensor without a storage")


def counts_in(value: object) -> tuple[int, ...]:
    if isinstance(value, PickledCall):  # torch.Size
        value = value.arguments[0] if isinstance(value.arguments, tuple) and value.arguments else None
    if not isinstance(value, (tuple, list)):
        raise NotAPickle("it has a tensor without a shape")
    return tuple(map(count_of, value))


def count_of(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**63:
        told = (
            f" {value}" if isinstance(value, int) and abs(value) < 2**64 else ""
        )  # others have no end as text
        raise NotAPickle(f"it has a tensor with a size{told} that none can have")
    return value


def storages_of(views: list[View]) -> Mapping[str, Storage]:
    return {view.storage.key: view.storage for view in views}
