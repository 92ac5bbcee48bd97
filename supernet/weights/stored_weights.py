"""Where a supernet's weights are on disk, and what to do where they are not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PRETRAINED = Path(__file__).parents[1] / "pretrained"
"""Weights and images that ship with the package."""
REINSTALL = "it ships with oncefit: restore it or install the package again"


@dataclass(frozen=True)
class StoredWeights:
    """A safetensors file, its hash, and what to do where it is missing or changed."""

    path: Path
    sha256: str
    remedy: str
