"""Supernets from models that are trained already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oncefit.supernets import Supernet, open_supernet
from supernet.families.residual_source import INNER_SHARES, resolutions_around
from supernet.messages import Say, say

if TYPE_CHECKING:
    from torch import nn

    from supernet.families.catalog import PreprocessingKeys
    from supernet.making.torchvision_models import TrainedModel

SIDE, CROP = 224, 0.875
"""Of images, where nothing is said of a model in memory: as torchvision's references train and evaluate."""


def supernet_from_model(
    model: str | nn.Module,
    out: str | Path,
    *,
    weights: str | Path | None = None,
    classes: str | Sequence[str] | None = None,
    resolutions: Sequence[int] | None = None,
    expands: Sequence[float] = INNER_SHARES,
    preprocessing: Mapping[str, Any] | None = None,
    name: str | None = None,
    key: str | None = None,
    untrained: bool = False,
    seed: int = 0,
    replace: bool = False,
    say: Say = say,
) -> Supernet:
    """Make a supernet of a trained model, whose largest subnet gives the model's logits, in the folder ``out``.

    ``model`` is ``torchvision:NAME``, with ``weights`` by torchvision's name or in a file (of several in it those at
    ``key``), or with random ones of ``seed`` if ``untrained``; or a torchvision ResNet, MobileNetV2 or MobileNetV3 in
    memory, which stays as it is. ``classes`` name the outputs: a sequence, ``a,b,c``, a folder of class folders; None
    for ImageNet's. ``resolutions`` are the sides of images that it offers, ``expands`` the shares of inner channels, and
    ``preprocessing`` the keys of a supernet's YAML; None for the model's own. Raises InputError where a part of the
    model is not known, and where logits differ by more than 1e-4.
    """
    from supernet.making.from_model import make_supernet
    from supernet.making.torchvision_models import named_classes, trained_model, untrained_model

    named = named_classes(classes)
    if not isinstance(model, str):
        found = model_in_memory(model, named)
    elif untrained:
        found = untrained_model(model, named, seed)
    else:
        found = trained_model(model, str(weights) if weights is not None else None, named, key, say)
    about = f"{model} ({found.weights})" if isinstance(model, str) else found.weights
    made = make_supernet(
        found.model, Path(out), found.classes, preprocessing_keys(preprocessing, found),
        resolutions or resolutions_around(found.resolution), expands, name, about, replace,
    )  # fmt: skip
    say(f"logits of the largest subnet are within {made.max_difference:.2g} of the model's")
    return open_supernet(made.file)


def model_in_memory(model: nn.Module, classes: tuple[str, ...] | None) -> TrainedModel:
    """A model that the caller has, and what is taken for granted where nothing is said of it."""
    from torch import nn

    from supernet.errors import InputError
    from supernet.families.catalog import PreprocessingKeys
    from supernet.making.torchvision_models import TrainedModel, classes_of

    if not isinstance(model, nn.Module):
        raise InputError(f"a model is torchvision:NAME or a torch module, got {type(model).__name__}")
    linear = [part for part in model.modules() if isinstance(part, nn.Linear)]
    called = f"a {type(model).__name__} in memory"
    names = classes_of(linear[-1].out_features, classes, called) if linear else classes or ()
    usual = PreprocessingKeys(
        mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), crop=CROP, rounded="nearest"
    )
    return TrainedModel(model, names, usual, SIDE, called)


def preprocessing_keys(given: Mapping[str, Any] | None, found: TrainedModel) -> PreprocessingKeys:
    from supernet import documents
    from supernet.families.catalog import PreprocessingKeys

    if given is None:
        return found.preprocessing
    return documents.check(dict(given), PreprocessingKeys, "preprocessing")
