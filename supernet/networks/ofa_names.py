"""The weights of a subnet under the names that ``ofa``'s static networks give them, and back.

``ofa`` calls the layers of its ``MobileNetV3`` and ``ProxylessNASNets`` otherwise than we do; a subnet of its
``ResNets`` is one of its own modules already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from supernet.networks.inverted_residual_networks import Subnet

IN_A_BLOCK = {
    "expand": "inverted_bottleneck",
    "depthwise": "depth_conv",
    "se": "depth_conv.se.fc",
    "project": "point_linear",
}
OUTSIDE = {"stem": "first_conv", "mix": "feature_mix_layer", "classifier": "classifier.linear"}
OLD_BLOCK, BLOCK = ".mobile_inverted_conv.", ".conv."
"""What ``ofa`` called the convolutions of a block before, and what it calls them now."""


def ofa_names(subnet: nn.Module) -> dict[str, str]:
    """``ofa``'s name of each tensor of a subnet, by ours, in the order of ours."""
    ours = subnet.state_dict()
    if not isinstance(subnet, Subnet):
        return {name: name for name in ours}
    head = "final_expand_layer" if any(name.startswith("mix.") for name in ours) else "feature_mix_layer"
    return {name: ofa_name(name, head) for name in ours}


def ofa_name(name: str, head: str) -> str:
    """``blocks.0.se.reduce.weight`` as ``blocks.1.conv.depth_conv.se.fc.reduce.weight``; the first block is fixed."""
    part, _, rest = name.partition(".")
    if part == "blocks":
        place, layer, rest = rest.split(".", 2)
        return f"blocks.{int(place) + 1}.conv.{IN_A_BLOCK[layer]}.{rest}"
    if part == "first":
        layer, _, rest = rest.partition(".")
        return f"blocks.0.conv.{IN_A_BLOCK[layer]}.{rest}"
    return f"{(OUTSIDE | {'head': head})[part]}.{rest}"


def in_ofa_names(subnet: nn.Module) -> dict[str, Tensor]:
    """The weights of a subnet as the state of ``ofa``'s static network, which loads it with ``strict=True``."""
    names = ofa_names(subnet)
    return {names[name]: tensor for name, tensor in subnet.state_dict().items()}


def in_our_names(state: Mapping[str, Tensor], subnet: nn.Module) -> dict[str, Tensor]:
    """Weights under our names, whether they had these or ``ofa``'s; unknown names stay as they are."""
    if not isinstance(subnet, Subnet) or not are_ofas(state):
        return dict(state)
    ours = {theirs: name for name, theirs in ofa_names(subnet).items()}
    return {
        ours.get(known := name.replace(OLD_BLOCK, BLOCK), known): tensor for name, tensor in state.items()
    }


def are_ofas(names: Iterable[str]) -> bool:
    return any(name.startswith("first_conv.") for name in names)
