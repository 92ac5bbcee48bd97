"""Training recipes: everything that decides trained weights, from YAML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from supernet import documents
from supernet.amounts import Count, CountOrNone, Seed


@dataclass(frozen=True)
class Phase:
    """Epochs in which the named kinds of dimension are elastic; the rest stays at its largest."""

    name: str
    epochs: int
    elastic: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the trained weights."""

    phases: tuple[Phase, ...]
    batch_size: int
    random_subnets: int
    learning_rate: float
    momentum: float
    weight_decay: float
    warmup_steps: int
    clip_norm: float
    shift_pixels: int
    seed: int
    threads: int

    @property
    def epochs(self) -> int:
        return sum(phase.epochs for phase in self.phases)

    def phase_of(self, epoch: int) -> Phase:
        """The phase of epoch ``epoch``, counted from 0."""
        for phase in self.phases:
            if epoch < phase.epochs:
                return phase
            epoch -= phase.epochs
        raise ValueError(f"epoch {epoch} is past the last phase")


Fraction = Annotated[float, Field(ge=0, lt=1)]


class PhaseKeys(documents.Document):
    name: str
    epochs: Count
    elastic: Annotated[tuple[Literal["resolution", "kernel", "depth", "expand"], ...], Field(min_length=1)]


class RecipeFile(documents.Document):
    """``configs/training/*.yaml``."""

    supernet: str
    phases: Annotated[tuple[PhaseKeys, ...], Field(min_length=1)]
    batch_size: Count
    random_subnets: CountOrNone
    learning_rate: Annotated[float, Field(gt=0)]
    momentum: Fraction
    weight_decay: Fraction
    warmup_steps: CountOrNone
    clip_norm: Annotated[float, Field(gt=0)]
    shift_pixels: CountOrNone
    seed: Seed
    threads: Count


def read_recipe(path: Path) -> tuple[str, Recipe]:
    """The supernet's name and the recipe in a YAML file."""
    keys = documents.read(path, RecipeFile)
    phases = tuple(Phase(phase.name, phase.epochs, phase.elastic) for phase in keys.phases)
    return keys.supernet, Recipe(phases=phases, **keys.model_dump(exclude={"supernet", "phases"}))
