"""Weights on disk: safetensors only, checked by hash before they are used."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from supernet.atomic import whole
from supernet.errors import InputError
from supernet.reading import check_has_an_end
from supernet.weights.stored_weights import REINSTALL


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read_checked(path: Path, sha256: str, remedy: str = REINSTALL) -> bytes:
    """The bytes of a file whose hash is known.

    Raises InputError for a missing or changed file, which ends with what to do about it.
    """
    try:
        check_has_an_end(path)
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror or error}); {remedy}") from error
    if sha256_of(data) != sha256:
        raise InputError(
            f"{path} was cut short or changed: its sha256 is {sha256_of(data)}, expected {sha256}; "
            f"it holds {len(data):,} bytes; {remedy}"
        )
    return data


def load_weights(net: nn.Module, path: Path, sha256: str, remedy: str = REINSTALL) -> None:
    """Load a safetensors file into ``net``. Raises InputError for a wrong hash, format or wrong tensors."""
    data = read_checked(path, sha256, remedy)
    try:
        state = load(data)
    except (SafetensorError, KeyError, ValueError) as error:  # KeyError: a type torch does not have
        raise InputError(f"{path} is not a safetensors file of weights: {error}") from error
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"the weights in {path} are of another network: {misfit(error)}") from error


def misfit(error: RuntimeError) -> str:
    """What torch says of tensors that do not fit: the first complaint as a whole, and how many more there are."""
    complaints = [line.strip() for line in str(error).splitlines() if line.strip()]
    found = [said for line in complaints if (said := complaint(line)) is not None]
    if not found:
        return " ".join(complaints)
    return found[0] + (f"; {len(found) - 1} more do not fit" if len(found) > 1 else "")


def complaint(line: str) -> str | None:
    """One line of torch's in our words; None for its heading and what is not known."""
    shapes = re.match(r"size mismatch for (\S+): .*Size\((.*?)\).*Size\((.*?)\)", line)
    if shapes:
        return f"{shapes[1]} has the shape {shapes[2]} in the file and {shapes[3]} in the network"
    names = re.match(r"(Missing|Unexpected) key\(s\) in state_dict: (.*?)\.?\s*$", line)
    if names:
        first, *more = names[2].split(", ")
        which = "lacks" if names[1] == "Missing" else "holds what the network has not:"
        return f"the file {which} {first.strip(chr(34))}" + (f" and {len(more)} more" if more else "")
    return None


def save_weights(net: nn.Module, path: Path) -> str:
    """Write the weights as safetensors, whole or not at all; returns the file's sha256.

    Raises InputError where the folder cannot be written.
    """
    data = save({name: tensor.contiguous() for name, tensor in net.state_dict().items()})
    with whole(path) as partial:
        partial.write_bytes(data)
    return sha256_of(data)
