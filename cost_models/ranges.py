"""A figure that is not known exactly: a central estimate, and the least and greatest that it may be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, model_serializer, model_validator

from supernet.documents import Document
from supernet.errors import InputError


class Range(Document):
    """``{low: 1.0, value: 1.9, high: 3.5}``. Arithmetic is that of intervals: operands vary independently."""

    low: float
    value: float
    high: float

    @model_validator(mode="after")
    def check_order(self) -> Range:
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"a range has low <= value <= high, not {self.low:g}, {self.value:g}, {self.high:g}"
            )
        return self

    @model_serializer
    def plain(self) -> float | dict[str, float]:
        """A number where it is known exactly, so that files stay as people write them."""
        return {"low": self.low, "value": self.value, "high": self.high} if self.is_wide else self.value

    @property
    def is_wide(self) -> bool:
        return self.low < self.high

    def __add__(self, other: Range) -> Range:
        return computed(self.low + other.low, self.value + other.value, self.high + other.high)

    def __sub__(self, other: Range) -> Range:
        return computed(self.low - other.high, self.value - other.value, self.high - other.low)

    def __mul__(self, other: Range | float) -> Range:
        by = other if isinstance(other, Range) else exactly(other)
        corners = [a * b for a in (self.low, self.high) for b in (by.low, by.high)]
        return computed(min(corners), self.value * by.value, max(corners))


def computed(low: float, value: float, high: float) -> Range:
    """A range that was computed. Raises InputError where figures were so large that it is not finite."""
    if not all(map(math.isfinite, (low, value, high))):
        raise InputError("figures are so large that what follows from them is no number; give smaller ones")
    return Range(low=low, value=value, high=high)


def exactly(value: float) -> Range:
    return computed(value, value, value)


ZERO = exactly(0.0)


def as_range(given: Any) -> Any:
    """What a document holds: a range, or a number that stands for itself and is not negative."""
    if isinstance(given, (Range, Mapping)):
        return given
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise ValueError("a figure is a number, or {low: 1.0, value: 1.9, high: 3.5}")
    if not 0 <= given < math.inf:
        raise ValueError("a figure is finite and not negative")
    return exactly(given)


def not_negative(found: Range) -> Range:
    if found.low < 0:
        raise ValueError("a figure is not negative, and so is its low")
    return found


Figure = Annotated[Range, BeforeValidator(as_range), AfterValidator(not_negative)]
"""A figure of a document, which is not negative."""
