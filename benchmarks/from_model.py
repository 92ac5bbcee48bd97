"""What a supernet made of one trained model is worth, before it is trained on and after.

python benchmarks/from_model.py IMAGES [--epochs 4] [--adapt 2] [--out runs/from-model]

IMAGES is a folder of small images with train/, calibration/, validation/ and report/ (docs/own-data.md), as CIFAR-10's.
A small ResNet of torchvision's classes is trained for the epochs, or loaded where OUT has it from before; its supernet is
made; and top-1 of subnets from the largest to the smallest is measured on the report split, with batch norms
recalibrated: as they are cut out of the model with sorted channels, with the channels as they were, and after the
supernet was trained on with `oncefit train --from`.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock

import oncefit
from cost_models.fit_design import leaning_sample
from supernet.archs.arch import Arch
from supernet.evaluating.evaluation import evaluate, specialise
from supernet.families.catalog import Elastic, PreprocessingKeys, Supernet
from supernet.images.data import Dataset
from supernet.images.images import Images
from supernet.images.preprocessing import prepare
from supernet.making.model_readers import read_model
from supernet.training.training_images import load_training_data
from supernet.weights.checkpoints import load_weights, save_weights, sha256_of

SIDE = 32
HOW = PreprocessingKeys(mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262), stored=SIDE)
WIDTHS, BLOCKS = (16, 32, 64, 128), 2
"""Of the four stages: a ResNet18 of a quarter of its width, 35 million multiply-adds."""
ARCHS = 20
BATCH, PEAK_RATE, DECAY, SMOOTHING, SHIFT = 128, 0.1, 5e-4, 0.1, 4
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--adapt", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/from-model"))
    given = parser.parse_args()
    torch.manual_seed(SEED)
    data = load_training_data(given.images, (), HOW)
    assert isinstance(data.images, Images)
    model = trained(
        data.images, data.match.after, given.epochs, given.out / f"{given.epochs}-epochs.safetensors"
    )
    made = oncefit.supernet_from_model(
        model, given.out / "supernet", classes=data.match.after, resolutions=(24, 28, SIDE),
        preprocessing=HOW.model_dump(exclude_none=True), replace=True,
    )  # fmt: skip
    archs = spread(made.described)
    net = made.described.load()
    columns = {
        "unsorted": measured(unsorted(made.described, model), archs, data.dataset),
        "before": measured(net, archs, data.dataset),
    }
    show(made, archs, columns, len(data.dataset.report))
    trained_on = adapted(made, given.images, given.adapt, given.out / "adapted")
    columns["after"] = measured(trained_on, archs, data.dataset)
    show(made, archs, columns, len(data.dataset.report))


def small_resnet18(classes: int) -> ResNet:
    """torchvision's, with a stem for small images and narrower stages."""
    model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=classes)
    model.conv1 = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
    model.bn1, model.maxpool, model.inplanes = nn.BatchNorm2d(WIDTHS[0]), nn.Identity(), WIDTHS[0]
    for stage, width in enumerate(WIDTHS, 1):
        setattr(model, f"layer{stage}", model._make_layer(BasicBlock, width, BLOCKS, 1 if stage == 1 else 2))
    model.fc = nn.Linear(WIDTHS[-1], classes)
    return model


def trained(images: Images, classes: tuple[str, ...], epochs: int, file: Path) -> ResNet:
    """The model with its weights, from ``file`` if they are there, else trained and kept there."""
    model = small_resnet18(len(classes))
    if file.is_file():
        load_weights(model, file, sha256_of(file.read_bytes()))
        return model.eval()
    model.train().to(memory_format=torch.channels_last)
    per_epoch, began = len(images) // BATCH, time.monotonic()
    groups = [
        {"params": [p for p in model.parameters() if (p.ndim > 1) == decays], "weight_decay": DECAY * decays}
        for decays in (True, False)
    ]
    optimizer = torch.optim.SGD(groups, PEAK_RATE, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(rate, per_epoch * epochs))
    for step, (batch, labels) in enumerate(batches(images, epochs)):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch), labels, label_smoothing=SMOOTHING)
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        if (step + 1) % per_epoch == 0:
            print(
                f"epoch {(step + 1) // per_epoch}: loss {loss:.3f}, {time.monotonic() - began:.0f} s",
                flush=True,
            )
    save_weights(model, file)
    return model.eval()


def rate(steps: int, step: int) -> float:
    """Up linearly for a tenth of the steps, then down by a cosine; a share of the highest."""
    warmup = steps // 10
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def batches(images: Images, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs (n, 3, 32, 32), shifted and half of them mirrored, and labels (n,)."""
    for epoch in range(epochs):
        rng = np.random.default_rng((SEED, epoch))
        order = torch.from_numpy(rng.permutation(len(images)))
        for places in order[: len(images) // BATCH * BATCH].split(BATCH):
            padded = F.pad(prepare(images.pixels[places], SIDE, HOW), (SHIFT,) * 4)
            y, x = rng.integers(0, 2 * SHIFT + 1, 2)
            batch = padded[:, :, y : y + SIDE, x : x + SIDE]
            mirrored = torch.from_numpy(rng.random(len(batch)) < 0.5)
            batch = torch.where(mirrored[:, None, None, None], batch.flip(3), batch)
            yield batch.contiguous(memory_format=torch.channels_last), images.labels[places]


def spread(supernet: Supernet) -> list[Arch]:
    """The largest and the smallest, the largest without one thing, and random ones from small to large."""
    space = supernet.space
    kinds = ("resolution", "depth", "expand")
    one_less = [
        space.arch({d.name: d.choices[0 if d.kind == kind else -1] for d in space.dimensions})
        for kind in kinds
    ]
    rest = space.decode(leaning_sample(space, ARCHS - 2 - len(kinds), np.random.default_rng(SEED)))
    return list(dict.fromkeys([space.largest(), space.smallest(), *one_less, *rest]))


def unsorted(supernet: Supernet, model: nn.Module) -> Elastic:
    """The same supernet with inner channels in the order that the model has them in."""
    net = supernet.family.elastic()
    net.net.load_state_dict(read_model(model).renamed(model.state_dict()))
    return net.eval()


def adapted(made: oncefit.Supernet, images: Path, epochs: int, out: Path) -> Elastic:
    """The supernet trained on, on the images that the model was trained on."""
    assert made.source is not None
    found = oncefit.adapt(made.source, images, epochs=epochs, threads=1, out=out, progress=True)
    return oncefit.open_supernet(found.supernet).described.load()


def measured(net: Elastic, archs: list[Arch], data: Dataset) -> list[float]:
    return [evaluate(specialise(net, arch, data), arch, data, "report").top1 for arch in archs]


def show(made: oncefit.Supernet, archs: list[Arch], columns: dict[str, list[float]], images: int) -> None:
    """A line for each arch, from the fewest multiply-adds; ``*`` where none with fewer is as accurate."""
    print(f"\n{'arch':12}{'MACs (M)':>9}" + "".join(f"{name:>12}" for name in columns))
    rows = sorted((made.costs(arch)["macs"], i) for i, arch in enumerate(archs))
    best = dict.fromkeys(columns, 0.0)
    for macs, i in rows:
        cells = ""
        for name, found in columns.items():
            cells += f"{100 * found[i]:11.2f}{'*' if found[i] > best[name] else ' '}"
            best[name] = max(best[name], found[i])
        print(f"{archs[i].id:12}{macs / 1e6:9.2f}{cells}")
    print(f"top-1 (%) of {images:,} report images; * on the front")


if __name__ == "__main__":
    main()
