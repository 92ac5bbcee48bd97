"""A supernet to be trained, described as far as its user knows: classes, mean and std may come from the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from supernet import documents
from supernet.amounts import Count
from supernet.archs.arch import Choice
from supernet.families.catalog import (
    DATA_SETS,
    FAMILIES,
    Family,
    PreprocessingKeys,
    SupernetFile,
    WeightsFile,
    code_folder,
    family_of_outputs,
    label_names,
    other_names,
)
from supernet.images.image_folder import ImageFiles
from supernet.images.images import Images

MOST_LOOKED_AT = 2_000
"""Photos whose mean and deviation are taken for those of all."""
LOOKED_AT_ONCE = 1_000
ROUNDED_TO = 4


class TemplatePreprocessing(documents.Document):
    """As :class:`supernet.families.catalog.PreprocessingKeys`; ``mean`` and ``std`` may be left to the training images."""

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    stored: Count | None = None
    crop: float | None = Field(default=None, gt=0, le=1)
    rounded: Literal["up", "down", "nearest"] = "up"


class TemplateFile(documents.Document):
    """As :class:`supernet.families.catalog.SupernetFile`; ``classes`` of the network may be left to the images."""

    name: str
    also: tuple[str, ...] = ()
    family: str
    code: str | None = None
    data: str | None = None
    preprocessing: TemplatePreprocessing
    weights: WeightsFile | None = None
    space: dict[str, tuple[Choice, ...]] = Field(default_factory=dict)
    network: dict[str, Any]


@dataclass(frozen=True)
class Template:
    """What is in the file ``path``. ``data`` is a name, or an absolute path where the file names a folder."""

    keys: TemplateFile
    path: Path

    @property
    def data(self) -> str | None:
        data = self.keys.data
        if data is None or data in DATA_SETS:
            return data
        return documents.from_folder(self.path.parent, data)

    @property
    def code(self) -> str | None:
        """The folder of the class that is the family, absolute, so that a description elsewhere finds it; else None."""
        if self.keys.family in FAMILIES:
            return None
        return str(code_folder(self.path, self.keys.code).resolve())

    @property
    def classes(self) -> tuple[str, ...]:
        """Those that the file gives, if it does."""
        given = self.keys.network.get("classes", ())
        if isinstance(given, str) or all(isinstance(name, str) for name in given):
            return label_names(tuple(given) if not isinstance(given, str) else given)
        return ()

    def preprocessing(self, channels: int) -> PreprocessingKeys:
        """As in the file; where it leaves mean or std out, those of images that are left as they are."""
        given = self.keys.preprocessing.model_dump(exclude_none=True)
        plain = {"mean": (0.0,) * channels, "std": (1.0,) * channels}
        return documents.check(plain | given, PreprocessingKeys, f"{self.path}: preprocessing")

    def family(self, classes: tuple[str, ...]) -> Family:
        """The network with outputs for ``classes``."""
        parse = family_of_outputs(self.keys.family, self.keys.name, self.path, self.keys.code)
        return parse(self.keys.network | {"classes": list(classes)}).part(self.keys.space)

    def document(
        self, classes: tuple[str, ...], mean: tuple[float, ...], std: tuple[float, ...], **keys: object
    ) -> SupernetFile:
        """As a whole description; ``mean`` and ``std`` are taken where the file gives none, ``keys`` in place of its own."""
        of_file = self.keys.preprocessing.model_dump(exclude_none=True)
        given: Mapping[str, object] = {
            "name": self.keys.name,
            "family": self.keys.family,
            "code": self.code,
            "preprocessing": {"mean": mean, "std": std} | of_file,
            "space": self.keys.space,
            "network": self.keys.network | {"classes": list(classes)},
            **{key: value for key, value in keys.items() if value is not None},
        }
        return documents.check(given, SupernetFile, str(self.path))


def read_template(name_or_path: str) -> Template:
    """Of a name in ``configs/supernets``, or of a YAML file of the user's."""
    path = documents.find("supernets", other_names().get(name_or_path, name_or_path))
    return Template(documents.read(path, TemplateFile), path)


def mean_and_std(
    images: Images | ImageFiles, channels: int, resolution: int, how: PreprocessingKeys
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of each channel's brightness, 0..1; photos are looked at as a network of ``resolution`` sees them."""
    plain = how.model_copy(update={"mean": (0.0,) * channels, "std": (1.0,) * channels})
    count = len(images) if isinstance(images, Images) else min(MOST_LOOKED_AT, len(images))
    chosen = images.picked([i * len(images) // count for i in range(count)])
    side = how.stored or resolution
    sums, squares, pixels = torch.zeros(channels).double(), torch.zeros(channels).double(), 0
    for first in range(0, count, LOOKED_AT_ONCE):
        x, _ = chosen.batch(slice(first, first + LOOKED_AT_ONCE), side, plain)
        sums += x.double().sum((0, 2, 3))
        squares += x.double().square().sum((0, 2, 3))
        pixels += x[:, 0].numel()
    mean = sums / max(1, pixels)
    std = (squares / max(1, pixels) - mean.square()).clamp(min=1e-8).sqrt()
    return to_digits(mean.tolist()), to_digits(std.tolist())


def to_digits(values: list[float]) -> tuple[float, ...]:
    return tuple(round(value, ROUNDED_TO) for value in values)
