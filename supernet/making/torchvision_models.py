"""torchvision's models that a supernet can be made of, by name, with weights by torchvision's name or from a file."""

from __future__ import annotations

import pickle
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision import models

from supernet.downloads import content_of
from supernet.errors import InputError, some, unknown
from supernet.families.catalog import PreprocessingKeys, label_names
from supernet.families.residual_source import IMAGENET_LABELS, MODELS, PREFIX
from supernet.images.image_folder import class_folders
from supernet.messages import Say
from supernet.weights.checkpoint_states import states_in
from supernet.weights.conversion import load_checkpoint, no_tensors, read_file

RECOMMENDED = "DEFAULT"
HASH_IN_NAME = 8
"""Digits of a file's sha256 that torchvision has in its name, behind the last dash."""


@dataclass(frozen=True)
class TrainedModel:
    """A model with its weights; ``weights`` says in words which they are. It was made for images of ``resolution``."""

    model: nn.Module
    classes: tuple[str, ...]
    preprocessing: PreprocessingKeys
    resolution: int
    weights: str


def model_name(source: str) -> str:
    """``torchvision:resnet50`` as ``resnet50``. Raises InputError for what is none that is known."""
    prefix, colon, name = source.partition(":")
    if not colon or f"{prefix}:" != PREFIX:
        raise InputError(
            f"a model is given as {PREFIX}NAME, got {source!r}; NAME is one of {', '.join(MODELS)}. One of your own is "
            "given in Python: oncefit.supernet_from_model(model, ...)"
        )
    if name not in MODELS:
        others = (
            ". torchvision has it, but a supernet cannot be made of it yet."
            if name in models.list_models()
            else ""
        )
        raise InputError(str(unknown("model of torchvision", name, MODELS)) + others)
    return name


def trained_model(
    source: str, weights: str | None, classes: tuple[str, ...] | None, key: str | None, say: Say
) -> TrainedModel:
    """One of torchvision's models with ``weights``: a name of torchvision's, a checkpoint, or None for its default.

    Raises InputError for an unknown name, weights that cannot be had, and a checkpoint of another network.
    """
    name = model_name(source)
    known = models.get_model_weights(name)
    given = RECOMMENDED if weights is None else weights.rpartition(".")[2]
    if given in known.__members__:
        return with_published(name, known[given], classes)
    assert weights is not None
    if not Path(weights).is_file():
        raise InputError(
            f"weights of {name}: got {weights!r}, which is no file; torchvision has {', '.join(known.__members__)}, "
            "and a checkpoint is given by its path"
        )
    return with_checkpoint(name, Path(weights), known, classes, key, say)


def untrained_model(source: str, classes: tuple[str, ...] | None, seed: int) -> TrainedModel:
    """One of torchvision's models with random weights, always the same for a seed."""
    name = model_name(source)
    names = classes or label_names(IMAGENET_LABELS)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = models.get_model(name, weights=None, num_classes=len(names))
    default = models.get_model_weights(name)[RECOMMENDED]
    return TrainedModel(model, names, preprocessing_of(default), side_of(default), f"untrained, seed {seed}")


def with_published(name: str, weights: Any, classes: tuple[str, ...] | None) -> TrainedModel:
    """Weights that torchvision names, downloaded and checked by torchvision itself."""
    names = tuple(weights.meta["categories"])
    if classes is not None and classes != names:
        raise InputError(
            f"{weights} tells the {len(names):,} classes of ImageNet apart, and --classes gives {len(classes):,} others; "
            "leave it out, and fine-tune what you cut out of the supernet on images of yours"
        )
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    try:
        with redirect_stdout(sys.stderr):  # torch says there what it downloads
            state = weights.get_state_dict(progress=sys.stderr.isatty(), check_hash=True, weights_only=True)
    except OSError as error:
        why = getattr(error, "reason", None) or error.strerror or error
        raise InputError(
            f"{weights} could not be downloaded from {weights.url} ({why}); without a network, download that file "
            f"elsewhere and give it with --weights FILE, or put it at {file}"
        ) from error
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        said = str(error).partition(". ")[0]
        raise InputError(f"{weights}: {said}; remove {file}, if it is there, and try again") from error
    model = models.get_model(name, weights=None, num_classes=len(names))
    model.load_state_dict(state)
    return TrainedModel(model, names, preprocessing_of(weights), side_of(weights), str(weights))


def with_checkpoint(
    name: str, file: Path, known: Any, classes: tuple[str, ...] | None, key: str | None, say: Say
) -> TrainedModel:
    """Weights in a file: one of torchvision's, known by its content, or of anybody who trained that model."""
    content = content_of(file).sha256
    found = [w for w in known if w.url.rpartition("-")[2].startswith(content[:HASH_IN_NAME])]
    weights = found[0] if found else known[RECOMMENDED]
    outputs = outputs_in(name, file)
    names = classes_of(outputs, classes, str(file))
    model = models.get_model(name, weights=None, num_classes=len(names))
    for line in load_checkpoint(model, file, str(file), key).told(str(file)):
        say(line)
    if not found:
        say(
            f"{file} is none of torchvision's files: preprocessing is taken to be that of {weights}; "
            "change it in the YAML if it was trained otherwise"
        )
    called = str(found[0]) if found else file.name
    return TrainedModel(
        model, names, preprocessing_of(weights), side_of(weights), f"{called}, sha256 {content}"
    )


def outputs_in(name: str, file: Path) -> int:
    """How many classes a checkpoint's network tells apart. Raises InputError where it has no such layer."""
    with torch.device("meta"):
        net = models.get_model(name, weights=None)
    last = [part for part, module in net.named_modules() if isinstance(module, nn.Linear)][-1]
    loaded = read_file(file, str(file))
    states = states_in(loaded, {part.partition(".")[0] for part in net.state_dict()})
    if not states:
        raise no_tensors(loaded, str(file))
    counts = [len(s.state[f"{last}.weight"]) for s in states if f"{last}.weight" in s.state]
    if not counts:
        raise InputError(f"{file} is a checkpoint of another network: it lacks {last}.weight of {name}")
    return counts[0]


def classes_of(outputs: int, given: tuple[str, ...] | None, called: str) -> tuple[str, ...]:
    """Names of a network's outputs: as given, or ImageNet's where there are as many."""
    names = label_names(IMAGENET_LABELS)
    if given is None and outputs != len(names):
        raise InputError(
            f"{called} tells {outputs:,} classes apart, which are not those of ImageNet; name them in the order of the "
            "outputs with --classes, as a folder of class folders or a list: a,b,c"
        )
    if given is not None and outputs != len(given):
        raise InputError(
            f"{called} tells {outputs:,} classes apart, but --classes names {len(given):,}; give a name for each output"
        )
    return given or names


def preprocessing_of(weights: Any) -> PreprocessingKeys:
    """torchvision's preprocessing of weights: a resize of the shorter side to 256 or 232, of which 224 are kept."""
    how = weights.transforms()
    return PreprocessingKeys(
        mean=tuple(how.mean),
        std=tuple(how.std),
        crop=how.crop_size[0] / how.resize_size[0],
        rounded="nearest",
    )


def side_of(weights: Any) -> int:
    return int(weights.transforms().crop_size[0])


def named_classes(given: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Class names as they are given: several, a text ``a,b,c``, a folder of class folders, or a list that ships."""
    if given is None:
        return None
    found = tuple(given) if not isinstance(given, str) else names_in(given)
    if len(found) < 2:
        raise InputError(f"--classes names {len(found)} of them; at least 2 are possible")
    return found


def names_in(given: str) -> tuple[str, ...]:
    """Class names that a text gives or leads to. Raises InputError where none of that is there."""
    folder = Path(given)
    if folder.is_dir():
        return tuple(class_folders(folder / "train" if (folder / "train").is_dir() else folder))
    if "," not in given:
        return label_names(given)
    names = tuple(name.strip() for name in given.split(","))
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"--classes: got {some(twice)} twice; each output has a name of its own")
    return names
