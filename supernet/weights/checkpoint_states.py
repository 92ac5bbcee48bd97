"""Which state dicts a checkpoint holds, whatever they are wrapped in, and which of them is taken.

People save a network's tensors bare or under ``state_dict``, ``model``, ``net``, ``model_state_dict``, beside an
optimizer and a moving average, from within DataParallel (``module.``), ``torch.compile`` (``_orig_mod.``) or a
Lightning module (``model.``, ``net.``). None of these names is known here: a state dict is a mapping of
names to tensors, and a wrapper is what stands before the names of a network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from supernet.errors import InputError, some, unknown

State = dict[str, Tensor]

DEPTH = 4
"""Mappings in mappings that are looked into."""
AVERAGE = re.compile(r"(^|[._-])ema([._-]|$)", re.IGNORECASE)
"""A key of an exponential moving average of the weights: ``state_dict_ema``, ``ema``, ``model_ema``."""
USUAL = ("state_dict", "model", "model_state_dict", "net")
"""Keys that are taken before others, where none is of an average."""


@dataclass(frozen=True)
class FoundState:
    """A state dict at ``key``, names of keys joined by dots; ``left`` are tensors beside it that are no part of it."""

    key: str
    state: State
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChosenState:
    """The one that was taken, and the keys of others that would fit too."""

    taken: FoundState
    others: tuple[str, ...] = ()

    def told(self, called: str) -> list[str]:
        """Sentences on what was not taken; none where there was nothing to choose."""
        found = []
        if self.others:
            why = ", the moving average, as timm does" if AVERAGE.search(self.taken.key) else ""
            found.append(
                f"{called} holds weights more than once; taken are those of {self.taken.key}{why}; "
                f"--key {self.others[0]} takes others (there are: {some(self.others)})"
            )
        if self.taken.left:
            found.append(
                f"{called}: left out of the weights, as no part of the network: {some(self.taken.left)}"
            )
        return found


def states_in(loaded: object, own: Collection[str]) -> list[FoundState]:
    """Every state dict in what a file holds; ``own`` are the first parts of the network's names."""
    return [
        found for key, state in mappings_of_tensors(loaded, "", DEPTH) for found in unwrapped(key, state, own)
    ]


def mappings_of_tensors(value: object, key: str, depth: int) -> Iterator[tuple[str, State]]:
    """Mappings of nothing but tensors, and the keys that lead to them."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        return
    if all(isinstance(inner, Tensor) for inner in value.values()):
        if value or not key:
            yield key, dict(value)
    elif depth:
        for name, inner in value.items():
            yield from mappings_of_tensors(inner, f"{key}.{name}".lstrip("."), depth - 1)


def unwrapped(key: str, state: State, own: Collection[str]) -> list[FoundState]:
    """The state dicts in one, by what stands before the first part of a name that is the network's own.

    It is one as it is where nothing does. Where different things do, as in a Lightning module of a network and
    its average, these are different ones, and their keys say so.
    """
    parts: dict[str, State] = {}
    left = []
    for name, value in state.items():
        before, rest = split(name, own)
        if rest:
            parts.setdefault(before, {})[rest] = value
        else:
            left.append(name)
    if not parts or "" in parts:
        return [FoundState(key, state)]
    keys = {before: key if len(parts) == 1 else f"{key}.{before}".lstrip(".") for before in parts}
    return [FoundState(keys[before], part, tuple(left)) for before, part in parts.items()]


def split(name: str, own: Collection[str]) -> tuple[str, str]:
    """What stands before the network's own name, and that name, which is empty where there is none."""
    words = name.split(".")
    for i, word in enumerate(words):
        if word in own:
            return ".".join(words[:i]), ".".join(words[i:])
    return name, ""


def choose_state(
    found: list[FoundState], key: str | None, called: str, check: Callable[[State], None]
) -> ChosenState:
    """The state dict that is meant: the one at ``key``, else the only one that fits, else the moving average.

    ``check`` raises InputError for one that does not fit. Raises InputError for an unknown key, and what ``check``
    says of the first where none fits.
    """
    if key is not None:
        return chosen(found, key, called, check)
    fitting, errors = [], []
    for candidate in sorted(found, key=rank):
        try:
            check(candidate.state)
            fitting.append(candidate)
        except InputError as error:
            errors.append(error)
    if not fitting:
        raise errors[0]
    return ChosenState(fitting[0], tuple(other.key for other in fitting[1:]))


def rank(found: FoundState) -> tuple[bool, int]:
    """Small for what is taken first; in the order of the file where equal."""
    usual = USUAL.index(found.key) if found.key in USUAL else len(USUAL)
    return AVERAGE.search(found.key) is None, usual


def chosen(found: list[FoundState], key: str, called: str, check: Callable[[State], None]) -> ChosenState:
    keys = [candidate.key for candidate in found]
    if keys == [""]:
        raise InputError(
            f"{called} holds the weights of one network under no key; leave --key out, got {key!r}"
        )
    if key not in keys:
        raise unknown(f"key in {called}:", key, keys)
    taken = found[keys.index(key)]
    check(taken.state)
    return ChosenState(taken)
