"""A new supernet for images of a size within bounds, and how it is trained, as YAML files."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from supernet import documents
from supernet.errors import InputError, few, short
from supernet.families.catalog import (
    LONGEST_SUPERNET_NAME,
    PreprocessingKeys,
    SupernetFile,
    label_names,
    other_names,
)
from supernet.images.class_folders import folder_name
from supernet.making.network_plans import network_plan
from supernet.making.network_scaling import Bounds, widest_within
from supernet.networks.inverted_residuals import MobileNetV3Spec
from supernet.printable import check_names
from supernet.training.recipes import RecipeFile

NEW_FAMILY = "mobilenet_v3"
LARGEST_STORED = 64
"""Sides of images that stay in memory as squares; of larger ones the middle is cut out, as ImageNet's are."""
CROP = 0.875
USUAL_PIXELS = {1: ((0.449,), (0.226,)), 3: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}
"""Mean and standard deviation of ImageNet's training images by number of channels, of grey ones those of all three."""
PATTERN_RECIPE = "fmnist_mbv3"
"""The recipe that a new one is like."""
RECIPE_SUFFIX = ".training.yaml"
STEPS_OF_WARMUP, BATCH = 400, 128
RANDOM_SUBNETS = 2
"""A step has; at equal seconds better than four: docs/decisions/024-supernet-training.md."""


@dataclass(frozen=True)
class MeasuredPixels:
    """What is known of images that a supernet is for; ``images`` of them, ``looked_at`` for the figures."""

    folder: str
    images: int
    looked_at: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class NewSupernet:
    """What its files say; ``pixels`` is None where no images were given."""

    spec: MobileNetV3Spec
    classes: tuple[str, ...]
    bounds: Bounds
    pixels: MeasuredPixels | None

    @property
    def image_size(self) -> int:
        return self.spec.resolutions[-1]

    @property
    def preprocessing(self) -> PreprocessingKeys:
        found = self.pixels
        mean, std = (found.mean, found.std) if found is not None else USUAL_PIXELS[self.spec.in_channels]
        return preprocessing_for(self.image_size, mean, std)


def preprocessing_for(image_size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> PreprocessingKeys:
    """Small images stay in memory, of larger ones the middle is cut out."""
    if image_size <= LARGEST_STORED:
        return PreprocessingKeys(mean=mean, std=std, stored=image_size)
    return PreprocessingKeys(mean=mean, std=std, crop=CROP)


def designed(
    name: str, image_size: int, channels: int, classes: tuple[str, ...], bounds: Bounds,
    pixels: MeasuredPixels | None = None,
) -> NewSupernet:  # fmt: skip
    """A supernet within the bounds. Raises InputError for what there is none for."""
    check_class_names(classes)
    spec = widest_within(network_plan(name, image_size, channels, len(classes)), bounds)
    return NewSupernet(spec, classes, bounds, pixels)


def check_new_name(name: str, out: Path) -> None:
    """Raises InputError for a name that is none, or is taken by a shipped supernet, and where its files are there."""
    if not re.fullmatch(rf"[A-Za-z0-9][\w.-]{{0,{LONGEST_SUPERNET_NAME - 1}}}", name) or name.endswith(
        documents.YAML
    ):
        raise InputError(
            f"{short(name)} is no name for a supernet: it begins with a letter or digit, and goes on with letters, digits, "
            f". _ and -, {LONGEST_SUPERNET_NAME} at most, without .yaml"
        )
    if name in (*documents.names("supernets"), *other_names()):
        raise InputError(f"{name} is a supernet that ships; choose another name")
    if not out.name.endswith(documents.YAML):
        raise InputError(f"--out {out}: a supernet is a .yaml file; give one, as {name}.yaml")
    for path in (out, recipe_path(out)):
        if path.exists():
            raise InputError(f"{path} is there already; choose another name or --out, or remove it")


def recipe_path(out: Path) -> Path:
    """Where the recipe of the supernet in ``out`` is written."""
    return out.with_name(out.stem + RECIPE_SUFFIX)


def given_classes(text: str) -> tuple[str, ...]:
    """Classes as an option gives them: ``a,b,c``, or the name of a list in ``configs/labels``."""
    names = tuple(name.strip() for name in text.split(","))
    if len(names) > 1:
        return names
    try:
        return label_names(names[0])
    except InputError as error:
        raise InputError(f"{error}; or give two classes or more, as --classes cat,dog") from error


def check_class_names(classes: Sequence[str]) -> None:
    """Raises InputError for classes that no images could be told apart by."""
    if len(classes) < 2:
        raise InputError(f"a supernet tells at least two classes apart, got {', '.join(classes) or 'none'}")
    if not all(name.strip() for name in classes):
        raise InputError("a class's name is empty; give each of them one, as --classes cat,dog,fox")
    check_names(classes, "classes")
    twice = [name for name, count in Counter(classes).items() if count > 1]
    if twice:
        raise InputError(f"classes that are given more than once: {few(twice)}; give each once")
    alike = defaultdict[str, list[str]](list)
    for name in classes:
        alike[folder_name(name)].append(name)
    clashes = [" and ".join(names) for names in alike.values() if len(names) > 1]
    if clashes:
        raise InputError(
            f"classes whose folders of images would have the same name: {few(clashes)}; / is _ there: name them otherwise"
        )


# -- files -----------------------------------------------------------------------


def write(new: NewSupernet, out: Path) -> Path:
    """Write the supernet's YAML to ``out`` and its recipe beside it; returns the recipe's path."""
    recipe = recipe_path(out)
    documents.write_text(recipe, recipe_text(new, out))
    documents.write_text(out, supernet_text(new))
    return recipe


def supernet_text(new: NewSupernet) -> str:
    """The YAML of the supernet, laid out as those that ship."""
    network = {"classes": list(new.classes)} | {
        key: getattr(new.spec, key)
        for key in ("in_channels", "resolutions", "stem_width", "stem_stride", "first_width", "first_stride", "head_width")
    }  # fmt: skip
    stages = [asdict(stage) for stage in new.spec.stages]
    how = new.preprocessing.model_dump(mode="json", exclude_defaults=True)
    whole = {
        "name": new.spec.name,
        "family": NEW_FAMILY,
        "preprocessing": how,
        "network": {**network, "stages": stages},
    }
    documents.check(whole, SupernetFile, "the new supernet")
    lines = [
        *(f"# {line}" for line in told_origin(new)),
        *(f"{key}: {yaml_line(whole[key])}" for key in ("name", "family", "preprocessing")),
        "network:",
        *(f"  {key}: {yaml_line(value)}" for key, value in network.items()),
        "  stages:",
        *(f"    - {yaml_line(stage)}" for stage in stages),
    ]
    return "\n".join(lines) + "\n"


def told_origin(new: NewSupernet) -> Iterator[str]:
    """Lines on what the supernet was made for, and where its mean and std are from."""
    bounds = f"{new.bounds.macs:,.0f} multiply-adds of the largest subnet"
    if new.bounds.params is not None:
        bounds += f" and {new.bounds.params:,.0f} weights in all"
    colour = "grey" if new.spec.in_channels == 1 else "RGB"
    yield f"MobileNetV3 style, for {colour} images of {new.image_size} pixels, within {bounds}."
    found = new.pixels
    if found is None:
        yield "mean and std are ImageNet's, as no images were given."
    else:
        yield f"mean and std are of {found.looked_at:,} of {found.images:,} training images."


def recipe_text(new: NewSupernet, out: Path) -> str:
    """The YAML of a recipe like that of the embedded supernet."""
    keys = documents.load(documents.find("training", PATTERN_RECIPE))
    keys |= {
        "supernet": out.name,
        "random_subnets": RANDOM_SUBNETS,
        "shift_pixels": new.image_size // 8,
        "label_smoothing": 0.1,
        "ema_decay": 0.998,
    }
    if new.pixels is not None:
        keys["batch_size"] = batch = min(BATCH, max(2, new.pixels.images // 8))
        epochs = sum(phase["epochs"] for phase in keys["phases"])  # type: ignore[attr-defined]
        keys["warmup_steps"] = min(STEPS_OF_WARMUP, new.pixels.images // batch * epochs // 10)
    documents.check(keys, RecipeFile, "the new recipe")
    phases = keys["phases"]
    assert isinstance(phases, list)
    lines = [
        f"# How {new.spec.name} is trained: like {PATTERN_RECIPE}, but two random subnets a step. More epochs make it better.",
        f"supernet: {yaml_line(keys.pop('supernet'))}",
        "phases:",
        *(f"  - {yaml_line(phase)}" for phase in keys.pop("phases")),  # type: ignore[attr-defined]
        *(f"{key}: {yaml_line(value)}" for key, value in keys.items()),
    ]
    return "\n".join(lines) + "\n"


def yaml_line(value: object) -> str:
    """A value as YAML in one line."""
    text = documents.dump(
        json.loads(json.dumps(value)), flow=True, width=10**9
    )  # no two parts are one object
    return text.removesuffix("...\n").strip()
