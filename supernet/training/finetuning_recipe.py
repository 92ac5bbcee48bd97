"""The recipe of a fine-tuning: everything that decides its weights but images and the subnet, from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from supernet import documents
from supernet.amounts import Count, CountOrNone, Seed
from supernet.training.recipes import AboveZero, Fraction, Share

SHIPPED_RECIPE = documents.CONFIGS / "training" / "finetune.yaml"
INT8_RECIPE = SHIPPED_RECIPE.with_name("finetune_int8.yaml")
"""What is otherwise where 8 bits are simulated."""


class FinetuningRecipe(documents.Document):
    """``configs/training/finetune.yaml``, which says what the keys are; a bundle's card repeats them."""

    epochs: Count
    patience: Count
    batch_size: Annotated[Count, Field(ge=2)]
    optimizer: Literal["adamw", "sgd"]
    learning_rate: AboveZero
    warmup: Fraction
    momentum: Fraction
    weight_decay: Fraction
    clip_norm: AboveZero
    label_smoothing: Fraction
    ema_decay: Fraction
    mirror: bool
    shift_pixels: CountOrNone
    crop_area: Share
    distil_weight: Fraction
    seed: Seed


def read_finetuning_recipe(
    path: Path | None, changed: Mapping[str, object], in_int8: bool = False
) -> FinetuningRecipe:
    """The shipped recipe, of that precision, with what a file of some of its keys says otherwise, and then ``changed``, None left out."""
    keys = documents.load(SHIPPED_RECIPE) | (documents.load(INT8_RECIPE) if in_int8 else {})
    given = documents.load(path) if path is not None else {}
    changed = {name: value for name, value in changed.items() if value is not None}
    return documents.check(keys | given | changed, FinetuningRecipe, str(path or SHIPPED_RECIPE))
