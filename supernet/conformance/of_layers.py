"""The walk over layers, against the static network as it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from supernet.archs.arch import Arch
from supernet.archs.layers import Layer, grouped, is_beside
from supernet.conformance.subject import Mismatch, NotApplicable, Subject, difference
from supernet.networks.inverted_residual_networks import ACTIVATIONS
from supernet.networks.layer_networks import GATES, LayersNet

HAVE_WEIGHTS = ("conv", "depthwise", "linear")


class WeightedRun(NamedTuple):
    """A convolution, linear layer or batch norm: by its name, and what must be alike."""

    name: str
    told: str


class Traced(NamedTuple):
    """What one image showed of a static network; ``ran`` are its modules with weights, in order."""

    ran: tuple[tuple[WeightedRun, nn.Module], ...]
    macs: float
    params: int
    logits: Tensor


@torch.no_grad()
def traced(subject: Subject, arch: Arch) -> Traced:
    net = subject.network(arch)
    names = {module: name for name, module in net.named_modules()}
    ran: list[tuple[WeightedRun, nn.Module]] = []

    def note(module: nn.Module, given: tuple[Tensor, ...], found: Tensor) -> None:
        ran.append((WeightedRun(names[module], told_of_module(module, given[0], found)), module))

    kinds = (nn.Conv2d, nn.Linear, nn.modules.batchnorm._BatchNorm)
    handles = [module.register_forward_hook(note) for module in net.modules() if isinstance(module, kinds)]
    try:
        with FlopCounterMode(display=False) as counter:
            logits = net(subject.images(arch, 1))
    finally:
        for handle in handles:
            handle.remove()
    params = sum(parameter.numel() for parameter in net.parameters())
    return Traced(tuple(ran), counter.get_total_flops() / 2, params, logits)


def told_of_module(module: nn.Module, given: Tensor, found: Tensor) -> str:
    if isinstance(module, nn.Linear):
        return told_weights("linear", module.in_features, module.out_features, 1, 1, 1, 1, module.bias)
    if not isinstance(module, nn.Conv2d):
        return told_norm(given.shape[1])
    depthwise = module.groups == module.in_channels == module.out_channels and module.groups > 1
    op = "depthwise" if depthwise else "conv" if module.groups == 1 else f"conv of {module.groups} groups"
    shape = (module.in_channels, module.out_channels, given.shape[-1], found.shape[-1])
    return told_weights(op, *shape, module.kernel_size[0], module.stride[0], module.bias)


def told_of_layer(layer: Layer) -> str:
    shape = (layer.in_channels, layer.out_channels, layer.in_size, layer.out_size)
    if layer.op == "linear":
        shape = (*shape[:2], 1, 1)
    return told_weights(layer.op, *shape, layer.kernel, layer.stride, layer.bias or None)


def told_weights(
    op: str, inp: int, out: int, in_size: int, out_size: int, kernel: int, stride: int, bias: object
) -> str:
    """One layer with weights in words, which are compared."""
    sizes = f", {in_size} to {out_size} pixels, kernel {kernel}, stride {stride}" if op != "linear" else ""
    return f"{op} of {inp} to {out} channels{sizes}, {'with' if bias is not None else 'without'} bias"


def told_norm(channels: int) -> str:
    return f"batch norm of {channels} channels"


class Aligned(NamedTuple):
    """Places of the layers with weights as they run, and the first that the network has otherwise, if one is:

    what it is, what was expected of it, and what the walk says.
    """

    places: tuple[int, ...]
    mismatch: tuple[str, str, str] | None


def aligned(layers: Sequence[Layer], ran: Sequence[WeightedRun]) -> Aligned:
    """Layers as they stand, or with shortcuts behind the rest of their blocks, whichever is longer like what ran."""
    late = [
        place for block in in_blocks(layers) for place in sorted(block, key=lambda at: is_beside(layers[at]))
    ]
    found = [compared(layers, order, ran) for order in (list(range(len(layers))), late)]
    alike, best = max(found, key=lambda pair: pair[0])
    return best if best.mismatch is not None or alike == len(ran) else found[0][1]


def compared(
    layers: Sequence[Layer], order: Sequence[int], ran: Sequence[WeightedRun]
) -> tuple[int, Aligned]:
    """How many of what ran are as the layers in an order say, and the first that is not."""
    walk = list(should_run(layers, order))
    places = tuple(place for place, _ in walk)
    for i in range(max(len(walk), len(ran))):
        if i >= len(walk):
            return i, Aligned(places, ("layers(arch), behind its last", as_run(ran[i]), "nothing"))
        if i >= len(ran):
            return i, Aligned(
                places, (f"layer {walk[i][1].name}", "nothing more, as in network(arch)", walk[i][1].told)
            )
        if ran[i].told != walk[i][1].told:
            return i, Aligned(places, (f"layer {walk[i][1].name}", as_run(ran[i]), walk[i][1].told))
    return len(ran), Aligned(places, None)


def as_run(seen: WeightedRun) -> str:
    return f"{seen.told}, as {seen.name or 'the module'} of network(arch)"


def should_run(layers: Sequence[Layer], order: Sequence[int]) -> Iterator[tuple[int, WeightedRun]]:
    """What should run, with the place of its layer."""
    for place in order:
        layer = layers[place]
        if layer.op in HAVE_WEIGHTS:
            yield place, WeightedRun(layer.name, told_of_layer(layer))
        if layer.norm:
            yield place, WeightedRun(f"{layer.name}, its norm", told_norm(layer.out_channels))


def check_macs_and_params(subject: Subject) -> Iterator[Mismatch]:
    """Multiply-adds are half of what torch's counter counts, parameters those of the network."""
    for arch in subject.archs:
        layers, truth = subject.supernet.layers(arch), traced(subject, arch)
        for what, walk, there in (
            ("multiply-adds", sum(layer.macs for layer in layers), truth.macs),
            ("parameters", sum(layer.params for layer in layers), truth.params),
        ):
            if walk != there:
                yield Mismatch(
                    f"{what} of layers(arch)", f"{there:,.0f} as network(arch) has", f"{walk:,}", arch
                )


def check_layers(subject: Subject) -> Iterator[Mismatch]:
    """Convolutions, linear layers and batch norms are those that run, in order; the first that is not is told."""
    for arch in subject.archs:
        found = aligned(subject.supernet.layers(arch), [seen for seen, _ in traced(subject, arch).ran])
        if found.mismatch is not None:
            yield Mismatch(*found.mismatch, arch)


def check_outputs(subject: Subject) -> Iterator[Mismatch]:
    """Logits of one image are finite, and as many as there are classes; images are those of the first layer."""
    for arch in subject.archs:
        logits, classes = traced(subject, arch).logits, len(subject.supernet.classes)
        if tuple(logits.shape) != (1, classes):
            yield Mismatch(
                "logits of one image", f"shape (1, {classes})", f"shape {tuple(logits.shape)}", arch
            )
        elif not logits.isfinite().all():
            yield Mismatch("logits of one image", "finite numbers", str(logits.flatten()[:3].tolist()), arch)
        side = subject.supernet.layers(arch)[0].in_size
        if side != arch.resolution:
            yield Mismatch("pixels that enter the first layer", str(arch.resolution), str(side), arch)


@torch.no_grad()
def check_blocks(subject: Subject) -> Iterator[Mismatch]:
    """Networks made of the layers alone, with the weights put in, give the network's logits.

    So that pools, activations, additions and gates are right, which have no weights, and layers can be measured alone.
    """
    for arch in subject.archs:
        layers, ran = subject.supernet.layers(arch), traced(subject, arch).ran
        if unknown := {layer.act for layer in layers} - {None, *ACTIVATIONS, *GATES}:
            raise NotApplicable(
                f"no layer is made with {', '.join(map(str, unknown))}: it cannot be measured alone"
            )
        order = aligned(layers, [seen for seen, _ in ran])
        if order.mismatch is not None:
            raise NotApplicable("layers disagree with the network")
        images = subject.images(arch, 2)
        expected = subject.network(arch)(images)
        nets = [LayersNet([layers[at] for at in block]) for block in in_blocks(layers)]
        made = nn.Sequential(*nets).eval()
        put_in([part for net in nets for part in net.parts], order.places, [module for _, module in ran])
        try:
            found = made(images)
        except RuntimeError as error:
            yield Mismatch("layers put together", "a network", f"{' '.join(str(error).split())[:200]}", arch)
            continue
        off = difference(found.flatten(1), expected)
        if off is not None:
            yield Mismatch("logits of layers(arch) put together", "those of network(arch)", off, arch)


def in_blocks(layers: Sequence[Layer]) -> Iterator[range]:
    """Places of the layers of each block, and of each that stands alone."""
    start = 0
    for _, inside in grouped(layers):
        yield range(start, start + len(inside))
        start += len(inside)


def put_in(parts: Sequence[Any], places: Sequence[int], ran: Sequence[nn.Module]) -> None:
    """Give the parts of layers the weights of the modules that ran, which are of the layers at ``places``."""
    for place, source in zip(places, ran, strict=True):
        target: Any = next(part for part in parts[place] if isinstance(source, type(part)))
        target.load_state_dict(source.state_dict(), strict=isinstance(source, nn.Linear))
        if isinstance(source, nn.BatchNorm2d):
            target.eps = source.eps
