"""A supernet from one trained model: its largest subnet is the model, the others are the model with parts left out.

As BootstrapNAS made them (Muñoz et al., 2021): blocks that leave shapes as they are may be skipped, inner channels are
sorted by importance so that a narrower subnet takes the first ones, and images may be smaller.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from supernet import documents
from supernet.atomic import check_writable
from supernet.errors import InputError
from supernet.families import residual
from supernet.families.catalog import PreprocessingKeys, Supernet, label_names, parse_supernet
from supernet.families.residual_source import IMAGENET_LABELS, INNER_SHARES
from supernet.making.model_readers import ModelReading, read_model
from supernet.networks.residual_networks import ElasticResidualNet
from supernet.weights.checkpoints import misfit, save_weights

FILE, WEIGHTS_FILE = "supernet.yaml", "weights.safetensors"
MOST_DIFFERENCE = 1e-4
"""Of a logit of the largest subnet from one of the model, where logits are around 1; else relative to the largest."""
COMPARED, SMALLEST_COMPARED = 4, 64
"""Random images whose logits are compared, and the side that they have at most beside the largest that is offered."""
WIDTH = 110
RESIDUAL_FAMILY = "residual"


@dataclass(frozen=True)
class MadeSupernet:
    """The YAML file, what it describes, and how far logits of the largest subnet are from the model's."""

    file: Path
    supernet: Supernet
    max_difference: float


def make_supernet(
    model: nn.Module,
    folder: Path,
    classes: tuple[str, ...],
    preprocessing: PreprocessingKeys,
    resolutions: Sequence[int],
    expands: Sequence[float] = INNER_SHARES,
    name: str | None = None,
    about: str = "a model in memory",
    replace: bool = False,
) -> MadeSupernet:
    """Write the supernet of ``model`` to ``folder``, once its largest subnet is shown to give the model's logits.

    The model stays as it is. Raises InputError for a model that is not known through and through, choices that are not
    possible, and a folder that has a supernet already, unless it is to ``replace`` that.
    """
    file = folder / FILE
    if file.exists() and not replace:
        raise InputError(f"{file} is there already; choose another folder with --out, or give --replace")
    check_writable(folder)
    plain = on_cpu(model)
    reading = read_model(plain)
    called = free_name(name or folder.resolve().name)
    network = network_keys(reading, classes, resolutions, expands)
    net = sorted_net(reading, plain, called, network)
    difference = compare_logits(net, plain)
    file.unlink(missing_ok=True)  # before its weights are written over
    sha256 = save_weights(net, folder / WEIGHTS_FILE)
    document = {
        "name": called,
        "family": RESIDUAL_FAMILY,
        "preprocessing": preprocessing.model_dump(mode="json", exclude_none=True),
        "weights": {"file": WEIGHTS_FILE, "sha256": sha256},
        "network": network,
    }
    heading = f"# Made of {' '.join(about.split())}.\n# Its largest subnet gives that model's logits.\n"
    documents.write_text(file, heading + documents.dump(document, flow=None, width=WIDTH))
    parse_supernet.cache_clear()  # of a file that was there before
    return MadeSupernet(file, parse_supernet(file), difference)


def free_name(name: str) -> str:
    """The name, which may be no shipped supernet's: a bundle would be taken for one of that."""
    if name in documents.names("supernets"):
        raise InputError(f"{name} is the name of a supernet that ships; choose another folder with --out")
    return name


def on_cpu(model: nn.Module) -> nn.Module:
    """A copy in eval mode and single precision, without what other processes and compilers wrapped it in."""
    inner = getattr(model, "_orig_mod", None)
    if isinstance(model, DataParallel | DistributedDataParallel):
        inner = model.module
    if isinstance(inner, nn.Module):
        return on_cpu(inner)
    return copy.deepcopy(model).cpu().float().eval()


def network_keys(
    reading: ModelReading, classes: tuple[str, ...], resolutions: Sequence[int], expands: Sequence[float]
) -> dict[str, Any]:
    """The ``network`` of the YAML: choices first, then every block as it was trained."""
    blocks = reading.network
    return {
        "blocks": blocks["blocks"],
        "classes": IMAGENET_LABELS if classes == label_names(IMAGENET_LABELS) else list(classes),
        "resolutions": sorted(set(resolutions)),
        "expands": sorted({float(share) for share in expands}),
        **{key: value for key, value in blocks.items() if key != "blocks"},
    }


def sorted_net(
    reading: ModelReading, model: nn.Module, name: str, network: dict[str, Any]
) -> ElasticResidualNet:
    """The elastic network with the model's weights, inner channels sorted."""
    made = residual.parse(name, network, "the model").elastic()
    assert isinstance(made, ElasticResidualNet)
    try:
        made.net.load_state_dict(reading.renamed(model.state_dict()))
    except RuntimeError as error:
        raise InputError(
            f"the model is put together otherwise than torchvision's {type(model).__name__}: {misfit(error)}, "
            "where the network is that of a supernet"
        ) from error
    made.eval().sort_channels()
    return made


@torch.no_grad()
def compare_logits(net: ElasticResidualNet, model: nn.Module) -> float:
    """How far logits of the largest subnet are from the model's on random images. Raises InputError for too far."""
    spec, largest = net.spec, 0.0
    generator = torch.Generator().manual_seed(0)
    for side in sorted({min(SMALLEST_COMPARED, spec.resolutions[-1]), spec.resolutions[-1]}):
        images = torch.randn(COMPARED, spec.in_channels, side, side, generator=generator)
        expected, found = logits_of_model(model, images), net.net(images)
        if expected.shape != found.shape:
            raise InputError(
                f"the model answers {COMPARED} images of {side} pixels with {tuple(expected.shape)} numbers, where the "
                f"network has {spec.classes} outputs for each"
            )
        if not bool(expected.isfinite().all()):
            raise InputError("the model's logits of random images are not finite; its weights diverged")
        difference = float((expected - found).abs().max())
        if difference > MOST_DIFFERENCE * max(1.0, float(expected.abs().max())):
            raise InputError(
                f"the largest subnet gives other logits than the model, by up to {difference:.3g} for images of {side} "
                "pixels: something in the model was changed that its modules do not show; give it as torchvision makes it"
            )
        largest = max(largest, difference)
    return largest


def logits_of_model(model: nn.Module, images: Tensor) -> Tensor:
    try:
        found = model(images)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"the model does not run on images {tuple(images.shape)}: {error}") from error
    if not isinstance(found, Tensor):
        raise InputError(f"the model answers with {type(found).__name__}, where logits are due")
    return found
