"""Weights on disk: safetensors only, checked by hash before they are used."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from supernet.errors import InputError


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read_checked(path: Path, sha256: str) -> bytes:
    """The bytes of a file whose hash is known. Raises InputError for a missing or changed file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read {path} ({error.strerror}); it ships with oncefit: install the package again"
        ) from error
    if sha256_of(data) != sha256:
        raise InputError(
            f"{path} is not the file that was shipped: its sha256 is {sha256_of(data)}, not {sha256}; "
            f"it holds {len(data):,} bytes. It was cut short or changed: restore it or install the package again"
        )
    return data


def load_weights(net: nn.Module, path: Path, sha256: str) -> None:
    """Load a safetensors file into ``net``. Raises InputError for a wrong hash, format or wrong tensors."""
    try:
        state = load(read_checked(path, sha256))
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file: {error}") from error
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"the weights in {path} are of another network: {str(error)[:300]}") from error


def save_weights(net: nn.Module, path: Path) -> str:
    """Write the weights as safetensors, whole or not at all; returns the file's sha256."""
    data = save({name: tensor.contiguous() for name, tensor in net.state_dict().items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    os.replace(partial, path)
    return sha256_of(data)
