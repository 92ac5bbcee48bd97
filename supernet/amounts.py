"""Whole numbers in documents, within :mod:`supernet.bounds`, and names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from supernet.bounds import MOST, MOST_LAYERS, MOST_SEED
from supernet.printable import NO_NAME

Count = Annotated[int, Field(gt=0, le=MOST)]
CountOrNone = Annotated[int, Field(ge=0, le=MOST)]
Few = Annotated[int, Field(gt=0, le=MOST_LAYERS)]
Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]
NameOrPath = Annotated[str, Field(min_length=1)]
"""A name or a path; an empty text would be the folder that one is in."""


def one_line(name: str) -> str:
    if NO_NAME.search(name):
        raise ValueError("a name is one line, without control characters")
    return name


ShownName = Annotated[str, AfterValidator(one_line)]
"""A name that is shown as it is."""


def no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("Input should be a whole number")
    return value


NoBool = BeforeValidator(no_bool)
"""For a Literal of whole numbers: ``True == 1``, so that pydantic takes one for the other there."""
Stride = Annotated[Literal[1, 2], NoBool]
