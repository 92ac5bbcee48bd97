"""Weights of a bundle that were changed elsewhere: checked against the bundle's network, and what became of them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from supernet.bundles.bundle import Bundle
from supernet.bundles.bundle_card import UpdateKeys
from supernet.errors import InputError, few
from supernet.networks.ofa_names import in_our_names
from supernet.weights.checkpoint_states import State
from supernet.weights.checkpoints import sha256_of
from supernet.weights.conversion import COUNTER, read_tensors


def updated_subnet(bundle: Bundle, weights: Path) -> tuple[nn.Module, UpdateKeys]:
    """The bundle's subnet with the weights in a file, in eval mode, and what the new card says of that.

    The file is safetensors or torch's format, under our names of tensors or ``ofa``'s; nothing in it is run. Raises
    InputError that names the tensors where names, shapes, types or values are not those of the network, and where
    nothing changed.
    """
    subnet, called = bundle.subnet(), str(weights)
    before = {name: tensor.clone() for name, tensor in subnet.state_dict().items()}
    state = in_our_names(read_tensors(weights, called), subnet)
    check_alike_tensors(before, state, called)
    subnet.load_state_dict({**before, **state})
    changed = tuple(name for name in before if name in state and not torch.equal(before[name], state[name]))
    if not changed:
        raise InputError(f"{called} holds the weights that {bundle.folder} has already; nothing was written")
    about = UpdateKeys(
        parent_card_sha256=bundle.card.card_sha256,
        weights_file=weights.name,
        weights_sha256=sha256_of(weights.read_bytes()),
        tensors=len(before),
        changed=changed,
    )
    return subnet.eval(), about


def check_alike_tensors(ours: State, given: State, called: str) -> None:
    """Raises InputError that names the tensors where names, shapes or types differ."""
    complaints = [
        ("lacks", [name for name in ours if name not in given and not name.endswith(COUNTER)]),
        ("holds what the bundle's network has not:", [name for name in given if name not in ours]),
    ]
    both = [name for name in given if name in ours]
    complaints.append(
        (
            "has other shapes:",
            [
                f"{name} {shape(given[name])}, where the network has {shape(ours[name])}"
                for name in both
                if given[name].shape != ours[name].shape
            ],
        )
    )
    complaints.append(
        (
            "has other types:",
            [f"{name} {kind(given[name])}, where the network has {kind(ours[name])}"
             for name in both if given[name].dtype != ours[name].dtype],
        )
    )  # fmt: skip
    for words, names in complaints:
        if names:
            raise InputError(
                f"{called} {words} {few(names)}; a bundle is updated with all weights of its own network, in its shapes and types "
                "(of half precision, save them as float32: tensor.float())"
            )


def shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
