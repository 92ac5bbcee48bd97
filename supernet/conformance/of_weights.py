"""Subnets with their weights: cut out as the elastic network computes them, independent, and the same once saved."""

from __future__ import annotations

import copy
import inspect
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from supernet.archs.arch import Arch
from supernet.conformance.subject import Mismatch, NotApplicable, Subject, difference
from supernet.weights.checkpoints import load_weights, save_weights


def runs_any_subnet(net: Any) -> bool:
    """Whether a network has ``forward(x, values)``."""
    if not isinstance(net, nn.Module) or type(net).forward is nn.Module.forward:
        return False
    try:
        inspect.signature(net.forward).bind(None, None)
    except TypeError:
        return False
    return True


@torch.no_grad()
def check_extraction(subject: Subject) -> Iterator[Mismatch]:
    """An extracted subnet gives the logits of the elastic network's own ``forward(x, values)``, with its statistics."""
    for arch in subject.archs:
        found: object = subject.subnet(arch)
        if not isinstance(found, nn.Module):
            yield Mismatch("extract(arch)", "a torch.nn.Module", type(found).__name__, arch)
            return
        if any(module.training for module in found.modules()):
            yield Mismatch("extract(arch)", "a module in eval mode", "one in training mode", arch)
    if not runs_any_subnet(subject.net):
        raise NotApplicable("the elastic network has no forward(x, values) to compare with")
    for arch in subject.archs:
        images = subject.images(arch, 2)
        expected = subject.net.eval()(images, arch.values)
        off = difference(subject.subnet(arch).eval()(images), expected)
        if off is not None:
            yield Mismatch("extract(arch)", "the logits of forward(x, values)", off, arch)


@torch.no_grad()
def check_independence(subject: Subject) -> Iterator[Mismatch]:
    """What is done to a subnet changes neither the supernet nor another subnet, and extracting changes nothing."""
    arch, net = subject.archs[0], subject.net
    images = subject.images(arch, 2)
    expected = subject.subnet(arch).eval()(images)
    before = tensors_of(net)
    for other in subject.archs:
        for tensor in subject.subnet(other).state_dict().values():
            tensor.zero_()
        changed = next(
            (name for name, value in tensors_of(net).items() if not torch.equal(value, before[name])), None
        )
        if changed is not None:
            yield Mismatch(
                f"{changed} of the supernet, after a subnet was set to zero", "as before", "changed", other
            )
            return
    off = difference(subject.subnet(arch).eval()(images), expected)
    if off is not None:
        yield Mismatch("extract(arch), after other subnets were set to zero", "the same logits", off, arch)


def tensors_of(net: Any) -> dict[str, torch.Tensor]:
    if not hasattr(net, "state_dict"):
        return {}
    return {name: value.clone() for name, value in net.state_dict().items()}


@torch.no_grad()
def check_rebuilt(subject: Subject) -> Iterator[Mismatch]:
    """``network(arch)`` takes the weights of ``extract(arch)`` and gives its logits, as a bundle is read again."""
    if subject.supernet.is_given and not has_static(subject):
        raise NotApplicable("it has no network(arch)")
    for arch in subject.archs:
        subnet = subject.subnet(arch).eval()
        rebuilt = subject.supernet.family.static(arch).eval()
        try:
            rebuilt.load_state_dict(subnet.state_dict())
        except RuntimeError as error:
            said = " ".join(str(error).split())[:300]
            yield Mismatch("network(arch)", "the tensors of extract(arch)", said, arch)
            continue
        images = subject.images(arch, 2)
        off = difference(rebuilt(images), subnet(images))
        if off is not None:
            yield Mismatch("network(arch) with the weights of extract(arch)", "its logits", off, arch)


def has_static(subject: Subject) -> bool:
    return hasattr(getattr(subject.net, "own", subject.net), "network")


@torch.no_grad()
def check_saved(subject: Subject) -> Iterator[Mismatch]:
    """The state dict of the supernet, saved and loaded into a new one, gives the same subnets."""
    if subject.supernet.net is not None:
        raise NotApplicable("its weights come with it, and are loaded from no file")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights.safetensors"
        sha256 = save_weights(subject.net, file)
        loaded: Any = subject.supernet.family.elastic()
        load_weights(loaded, file, sha256)
    loaded.eval()
    for arch in subject.archs:
        images = subject.images(arch, 2)
        off = difference(loaded.extract(arch).eval()(images), subject.subnet(arch).eval()(images))
        if off is not None:
            yield Mismatch("the supernet's weights, saved and loaded", "the same logits", off, arch)


@torch.no_grad()
def check_sorted(subject: Subject) -> Iterator[Mismatch]:
    """``sort_channels()`` leaves the largest subnet's logits as they are."""
    if not callable(getattr(subject.net, "sort_channels", None)):
        raise NotApplicable("the elastic network has no sort_channels()")
    largest: Arch = subject.supernet.space.largest()
    images = subject.images(largest, 2)
    net = copy.deepcopy(subject.net)
    expected = net.extract(largest).eval()(images)
    net.sort_channels()
    off = difference(net.extract(largest).eval()(images), expected)
    if off is not None:
        yield Mismatch("the largest subnet after sort_channels()", "the logits from before", off, largest)


@torch.no_grad()
def check_batches(subject: Subject) -> Iterator[Mismatch]:
    """Eight images at once have the logits of one at a time."""
    for arch in subject.archs:
        net, images = subject.network(arch), subject.images(arch, 8)
        found = net(images)
        if len(found) != len(images):
            yield Mismatch("logits of 8 images", "a row for each", f"shape {tuple(found.shape)}", arch)
            continue
        off = difference(torch.cat([net(image) for image in torch.split(images, 1)]), found)
        if off is not None:
            yield Mismatch("one image at a time", "the logits of eight at once", off, arch)
