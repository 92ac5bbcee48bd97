"""Whole numbers in documents, within :mod:`supernet.bounds`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from supernet.bounds import MOST, MOST_LAYERS, MOST_SEED

Count = Annotated[int, Field(gt=0, le=MOST)]
CountOrNone = Annotated[int, Field(ge=0, le=MOST)]
Few = Annotated[int, Field(gt=0, le=MOST_LAYERS)]
Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]
