"""A small supernet of a person's own and a recipe that trains it in seconds, as YAML files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

CHOICES = {"depths": [1, 2], "kernels": [3, 5], "expands": [2, 3]}
NETWORK: dict[str, Any] = {
    "in_channels": 1, "resolutions": [12, 16], "stem_width": 8, "stem_stride": 1, "first_width": 8,
    "first_stride": 2, "head_width": 32,
    "stages": [
        {"width": 12, "stride": 1, "act": "relu", "se": False, **CHOICES},
        {"width": 16, "stride": 2, "act": "h_swish", "se": True, **CHOICES},
    ],
}  # fmt: skip
RECIPE: dict[str, Any] = {
    "supernet": "own.yaml", "method": "sandwich", "epochs": 4, "batch_size": 30, "random_subnets": 1,
    "learning_rate": 0.1, "warmup": 0.1, "momentum": 0.9, "weight_decay": 0.0002, "clip_norm": 2.0,
    "label_smoothing": 0.05, "ema_decay": 0.9, "mirror": False, "shift_pixels": 1, "seed": 1, "threads": 1,
}  # fmt: skip


def write_own(folder: Path, network: dict[str, Any] | None = None, **keys: object) -> Path:
    """``own.yaml``, which leaves classes, mean and deviation to the images, and its recipe, whose path is returned."""
    document = {
        "name": "own",
        "family": "mobilenet_v3",
        "preprocessing": {"stored": 16},
        "network": NETWORK | (network or {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "own.yaml").write_text(yaml.safe_dump(document))
    path = folder / "recipe.yaml"
    path.write_text(
        yaml.safe_dump({name: value for name, value in (RECIPE | keys).items() if value is not None})
    )
    return path
