"""How the tensors of one file became those of another: by their bytes, their values, and what they are near to."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial

from supernet.sizes.near import is_near, values_key
from supernet.sizes.stored_tensor import FLOATS, StoredTensor

SAME = "the same bytes"
MOVED = "the same values in another order"
CAST = "the same values, rounded to another dtype"
SCALED = "scaled by channel, as by a batch norm folded in"
TO_INTEGERS = "quantised to whole numbers"
FROM_INTEGERS = "restored from whole numbers"
COPIED = "a copy of what is there already"
GONE = "only in the first"
NEW = "only in the second"
HOWS = (SAME, MOVED, CAST, SCALED, TO_INTEGERS, FROM_INTEGERS, COPIED, GONE, NEW)
"""Every way, in the order in which they are shown."""

MOST_TRIALS = 64
"""Tensors of one shape that one is held against."""

Pair = tuple[StoredTensor, StoredTensor]
Keyed = tuple[Hashable, StoredTensor]


@dataclass(frozen=True)
class Change:
    """Tensors of two files that belong together in one way; either side is empty for what only the other has."""

    how: str
    before: tuple[StoredTensor, ...]
    after: tuple[StoredTensor, ...]

    @property
    def bytes_before(self) -> int:
        return sum(one.stored_bytes for one in self.before)

    @property
    def bytes_after(self) -> int:
        return sum(one.stored_bytes for one in self.after)


def changes(before: Sequence[StoredTensor], after: Sequence[StoredTensor]) -> list[Change]:
    """Every tensor of both is in one of the changes, which are in the order of :data:`HOWS`."""
    left = _Left(before, after)
    found: dict[str, list[Pair]] = defaultdict(list)
    found[SAME] += left.pair(lambda one: one.content)
    again = left.copies(before)
    found[MOVED] += left.pair(values_key)
    for dtype in dict.fromkeys(one.dtype for one in left.after):
        found[CAST] += left.pair(partial(values_key, dtype=dtype))
    for pair in left.near():
        found[how_near(*pair)].append(pair)
    again += left.copies([made for pairs in found.values() for _, made in pairs])
    told = [
        Change(how, tuple(a for a, _ in pairs), tuple(b for _, b in pairs))
        for how, pairs in found.items()
        if pairs
    ]
    told += [Change(COPIED, (), tuple(again))] if again else []
    told += [Change(GONE, tuple(left.before), ())] if left.before else []
    told += [Change(NEW, (), tuple(left.after))] if left.after else []
    return sorted(told, key=lambda change: HOWS.index(change.how))


def how_near(before: StoredTensor, after: StoredTensor) -> str:
    floats = before.dtype in FLOATS, after.dtype in FLOATS
    if all(floats) and before.dtype != after.dtype:
        return CAST
    return TO_INTEGERS if floats == (True, False) else FROM_INTEGERS if floats == (False, True) else SCALED


class _Left:
    """What no way has been found for yet, of either file."""

    def __init__(self, before: Sequence[StoredTensor], after: Sequence[StoredTensor]) -> None:
        self.before, self.after = list(before), list(after)

    def pair(self, key: Callable[[StoredTensor], Hashable]) -> list[Pair]:
        """Take out those that have the same key; among several, those of the same name belong together."""
        before, after = ([(key(one), one) for one in side] for side in (self.before, self.after))
        found = same_keyed(before, after, lambda one: one.name)
        taken = {id(one) for pair in found for one in pair}
        before, after = ([(k, one) for k, one in side if id(one) not in taken] for side in (before, after))
        found += same_keyed(before, after, lambda _: "")
        self._take_out(found)
        return found

    def copies(self, known: Sequence[StoredTensor]) -> list[StoredTensor]:
        """Those of the second file that have the bytes of a known tensor once more."""
        contents = {one.content for one in known}

        def is_copy(one: StoredTensor) -> bool:
            return one.content in contents and one.elements > 0

        found = [one for one in self.after if is_copy(one)]
        self.after = [one for one in self.after if not is_copy(one)]
        return found

    def near(self) -> list[Pair]:
        """Those that one could be made of the other by a factor for each channel, and rounding."""
        by_sides: dict[Hashable, list[StoredTensor]] = defaultdict(list)
        for one in self.before:
            by_sides[sorted_sides(one)].append(one)
        found = []
        for one in self.after:
            for candidate in by_sides[sorted_sides(one)][:MOST_TRIALS]:
                if is_near(candidate, one):
                    by_sides[sorted_sides(one)].remove(candidate)
                    found.append((candidate, one))
                    break
        self._take_out(found)
        return found

    def _take_out(self, pairs: Sequence[Pair]) -> None:
        before, after = (
            ({id(one) for one in side} for side in zip(*pairs, strict=True)) if pairs else (set(), set())
        )
        self.before = [one for one in self.before if id(one) not in before]
        self.after = [one for one in self.after if id(one) not in after]


def same_keyed(
    before: Sequence[Keyed], after: Sequence[Keyed], name: Callable[[StoredTensor], str]
) -> list[Pair]:
    """Those with the same key and name, in order; a key that is None is none."""
    waiting = defaultdict[Hashable, deque[StoredTensor]](deque)
    for key, one in before:
        if key is not None:
            waiting[key, name(one)].append(one)
    return [(fitting.popleft(), one) for key, one in after if (fitting := waiting.get((key, name(one))))]


def sorted_sides(one: StoredTensor) -> tuple[int, ...]:
    """Its shape, whatever the order of its axes."""
    return tuple(sorted(side for side in one.shape if side != 1))
