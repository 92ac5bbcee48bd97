"""Training recipes: everything that decides trained weights but images and the network, from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from supernet import documents
from supernet.amounts import Count, CountOrNone, NameOrPath, Seed
from supernet.archs.arch import Choice
from supernet.errors import InputError

ADAPTING = documents.CONFIGS / "training" / "adapt.yaml"
"""What a supernet is trained on by if nothing is said."""
PROGRESSIVE, SANDWICH = "progressive", "sandwich"
FINETUNING_KEYS = ("patience", "distil_weight")
"""Keys that only a recipe of ``oncefit finetune`` has."""


@dataclass(frozen=True)
class Phase:
    """Epochs in which the named kinds of dimension are elastic, or all; the rest stays at its largest."""

    name: str
    epochs: int
    elastic: tuple[str, ...] | None

    @property
    def narrows(self) -> bool:
        """Whether it has subnets of fewer channels, so that these must be in order."""
        return self.elastic is not None and not set(self.elastic) <= {"resolution", "kernel", "depth"}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the trained weights. Docstrings of keys are in docs/training.md."""

    phases: tuple[Phase, ...]
    batch_size: int
    random_subnets: int
    learning_rate: float
    momentum: float
    weight_decay: float
    clip_norm: float
    shift_pixels: int
    seed: int
    threads: int | None = None
    warmup_steps: int | None = None
    warmup: float = 0.0
    optimizer: str = "sgd"
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    mirror: bool = True
    crop_area: float = 0.5
    bf16: bool | str = False
    validate_every: int = 1
    space: tuple[tuple[str, tuple[Choice, ...]], ...] = ()

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

    def warmup_of(self, steps: int) -> int:
        """How many of all steps the learning rate rises in."""
        return self.warmup_steps if self.warmup_steps is not None else round(self.warmup * steps)


Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]
AboveZero = Annotated[float, Field(gt=0)]


class PhaseKeys(documents.Document):
    name: str
    epochs: Count
    elastic: Annotated[tuple[str, ...], Field(min_length=1)]


class RecipeKeys(documents.Document):
    """All but the supernet and its images."""

    method: Literal["progressive", "sandwich"] = "progressive"
    phases: Annotated[tuple[PhaseKeys, ...], Field(min_length=1)] | None = None
    epochs: Count | None = None
    batch_size: Annotated[Count, Field(ge=2)]
    random_subnets: CountOrNone
    optimizer: Literal["adamw", "sgd"] = "sgd"
    learning_rate: AboveZero
    momentum: Fraction
    weight_decay: Fraction
    warmup_steps: CountOrNone | None = None
    warmup: Fraction = 0.0
    clip_norm: AboveZero
    label_smoothing: Fraction = 0.0
    ema_decay: Fraction = 0.0
    mirror: bool = True
    shift_pixels: CountOrNone
    crop_area: Share = 0.5
    bf16: bool | Literal["auto"] = False
    validate_every: Count = 1
    space: Mapping[str, tuple[Choice, ...]] = Field(default_factory=dict)
    seed: Seed
    threads: Count | None = None


class RecipeFile(RecipeKeys):
    """``configs/training/*.yaml``."""

    supernet: NameOrPath
    data: NameOrPath | None = None


@dataclass(frozen=True)
class NamedRecipe:
    """A recipe, the supernet that it trains, and its images where it names some; paths are absolute."""

    supernet: str
    data: str | None
    recipe: Recipe


def read_recipe(path: Path) -> NamedRecipe:
    """The recipe in a YAML file. Raises InputError for a recipe of a fine-tuning, too."""
    given = documents.load(path)
    refuse_finetuning(given, path)
    if "family" in given and "network" in given:
        raise InputError(
            f"{path} describes a supernet; oncefit train takes a recipe, whose key 'supernet' names it: oncefit supernet new "
            "writes both, and docs/training.md says what a recipe has"
        )
    if "supernet" not in given and "epochs" in given:
        raise InputError(
            f"{path}: the key 'supernet' is missing: name the one to train from scratch, or its file; or adapt a trained one: "
            f"oncefit train --from SUPERNET --data DIR --recipe {path}"
        )
    keys = documents.check(given, RecipeFile, str(path))
    data = documents.from_folder(path.parent, keys.data) if keys.data is not None else None
    name = keys.supernet
    if name.endswith(documents.YAML):
        name = documents.from_folder(path.parent, name)
    return NamedRecipe(name, data, recipe_of(keys, str(path)))


def read_adapting_recipe(path: Path | None, changed: Mapping[str, object]) -> Recipe:
    """The shipped recipe of adapting with what a file of some keys says otherwise, and then ``changed``, None left out."""
    given = documents.load(path) if path is not None else {}
    if path is not None:
        refuse_finetuning(given, path)
        if "supernet" in given:
            raise InputError(
                f"{path}: supernet: {given['supernet']} is trained from scratch by this recipe; what it is adapted from "
                "is given with --from: leave the key out, or leave --from out"
            )
    shipped = documents.load(ADAPTING)
    if given.get("method") == PROGRESSIVE or "phases" in given:
        shipped = {key: value for key, value in shipped.items() if key not in ("method", "epochs")}
    if "warmup_steps" in given:
        shipped.pop("warmup", None)
    changed = {name: value for name, value in changed.items() if value is not None}
    keys = documents.check(shipped | given | changed, RecipeKeys, str(path or ADAPTING))
    return recipe_of(keys, str(path or ADAPTING))


def refuse_finetuning(given: Mapping[str, object], path: Path) -> None:
    """Raises InputError for keys that are of ``oncefit finetune``."""
    theirs = [key for key in FINETUNING_KEYS if key in given]
    if theirs and "supernet" not in given:
        raise InputError(
            f"{path} is a recipe for fine-tuning a subnet, by its {' and '.join(theirs)}: "
            f"oncefit finetune BUNDLE --data DIR --recipe {path} takes it"
        )


def recipe_of(keys: RecipeKeys, where: str) -> Recipe:
    """Keys as a recipe. Raises InputError for those that do not go together."""
    needed, other = ("phases", "epochs") if keys.method == PROGRESSIVE else ("epochs", "phases")
    if getattr(keys, needed) is None:
        raise InputError(f"{where}: the key {needed!r} is missing, which method: {keys.method} needs")
    if getattr(keys, other) is not None:
        raise InputError(
            f"{where}: {other} is not for method: {keys.method}; leave it out, or give another method"
        )
    if keys.warmup_steps is not None and keys.warmup > 0:
        raise InputError(f"{where}: warmup_steps and warmup, a share of all steps, are both given; give one")
    phases = (
        tuple(Phase(phase.name, phase.epochs, phase.elastic) for phase in keys.phases)
        if keys.phases is not None
        else (Phase(SANDWICH, keys.epochs or 0, None),)
    )
    rest = keys.model_dump(exclude={"method", "phases", "epochs", "space", "supernet", "data"})
    return Recipe(phases=phases, space=tuple(sorted(keys.space.items())), **rest)
