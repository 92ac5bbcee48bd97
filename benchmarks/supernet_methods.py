"""Progressive shrinking against the sandwich rule, and a pretrained supernet against none, at equal processor seconds.

python benchmarks/supernet_methods.py FOLDER [--seconds N] [--seeds N] [--images N] [--only PART] [--way TEXT]

FOLDER has images of 32 pixels or so in ``train/``, ``calibration/``, ``validation/`` and ``report/`` (docs/own-data.md).
For each method and seed, a few steps are timed and the number of steps is chosen to take so many processor seconds on
one thread; what they really took is printed. Figures are top-1 on the report split, batch norms calibrated, means over
seeds with their standard errors: of the smallest, the medium and the largest subnet, and the mean of random ones. PART
is ``methods`` (a small network from scratch) or ``pretraining`` (fmnist_mbv3 adapted by both methods, and the same from scratch, at equal learning rates).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from supernet import documents
from supernet.archs.arch import Arch
from supernet.evaluating.evaluation import evaluate, specialise
from supernet.families.catalog import Supernet, described_supernet, open_supernet
from supernet.families.trainable import trainable
from supernet.images.data import Dataset
from supernet.images.images import Images
from supernet.training.adapting import put_into, template_for
from supernet.training.elastic_batches import ElasticBatches
from supernet.training.elastic_training import ElasticLearner, step_archs, train
from supernet.training.heads import ClassMatch
from supernet.training.processes import Processes
from supernet.training.recipes import Phase, Recipe, read_adapting_recipe
from supernet.training.supernet_template import Template, TemplateFile
from supernet.training.training_batches import Batches
from supernet.training.training_images import load_training_data

CHOICES = {"depths": [1, 2], "kernels": [3, 5], "expands": [2, 3, 4]}
NETWORK: dict[str, Any] = {
    "in_channels": 3, "resolutions": [16, 20, 24], "stem_width": 8, "stem_stride": 1, "first_width": 8,
    "first_stride": 2, "head_width": 128,
    "stages": [
        {"width": 16, "stride": 1, "act": "relu", "se": False, **CHOICES},
        {"width": 24, "stride": 2, "act": "h_swish", "se": True, **CHOICES},
        {"width": 40, "stride": 2, "act": "h_swish", "se": True, **CHOICES},
    ],
}  # fmt: skip
RANDOM_SUBNETS = 8
BATCH = 64
CPU = Processes(torch.device("cpu"))
SHARES = {"largest": 3, "kernel": 1, "depth": 2, "expand": 18}
"""Epochs of the phases of the shipped recipe."""
ELASTIC = {
    "largest": ("resolution",),
    "kernel": ("resolution", "kernel"),
    "depth": ("resolution", "kernel", "depth"),
    "expand": ("resolution", "kernel", "depth", "expand"),
}
EPOCHS = sum(SHARES.values())
RATES = (0.05, 0.1)
"""Of the trainings with and without a beginning."""


class Way(NamedTuple):
    """A recipe for a number of images, and where it starts."""

    name: str
    recipe: Recipe
    source: Supernet | None = None


@dataclass(frozen=True)
class Stream(ElasticBatches):
    """Epochs of phases of so many steps, however many images there are."""

    steps_an_epoch: int = 1

    @property
    def per_epoch(self) -> int:
        return self.steps_an_epoch


class Lessons(NamedTuple):
    supernet: Supernet
    dataset: Dataset
    images: Images
    match: ClassMatch


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=10**9, help="at most so many to train on")
    parser.add_argument("--only", choices=("methods", "pretraining"))
    parser.add_argument("--way", default="", help="only those whose name has this in it")
    given = parser.parse_args()
    torch.set_num_threads(1)
    parts = {"methods": methods, "pretraining": pretraining}
    for name, part in parts.items():
        if given.only in (None, name):
            lessons, ways = part(given.folder, given.images)
            compare(lessons, [way for way in ways if given.way in way.name], given.seconds, given.seeds)


def methods(folder: Path, images: int) -> tuple[Lessons, list[Way]]:
    """A small network from scratch, by both methods."""
    keys = {"name": "small", "family": "mobilenet_v3", "preprocessing": {"stored": 24}, "network": NETWORK}
    template = Template(documents.check(keys, TemplateFile, "benchmark"), Path("benchmark.yaml"))
    base = replace(
        read_adapting_recipe(None, {}), learning_rate=0.1, warmup=0.05, batch_size=BATCH, validate_every=10**6
    )
    plain = replace(base, label_smoothing=0.0, ema_decay=0.0)
    phases = tuple(Phase(name, epochs, ELASTIC[name]) for name, epochs in SHARES.items())
    sandwich = (Phase("sandwich", EPOCHS, None),)
    ways = [
        Way("progressive, 4 random", replace(plain, phases=phases, random_subnets=4)),
        Way("progressive, 2 random", replace(plain, phases=phases, random_subnets=2)),
        Way("sandwich, 4 random", replace(plain, phases=sandwich, random_subnets=4)),
        Way("sandwich, 2 random", replace(plain, phases=sandwich, random_subnets=2)),
    ]
    return lessons_in(folder, template, (), images), ways


def pretraining(folder: Path, images: int) -> tuple[Lessons, list[Way]]:
    """The embedded supernet on other images, with its weights and from scratch."""
    source = open_supernet("fmnist_mbv3")
    template = template_for(source, source.name, folder, print)
    base = read_adapting_recipe(None, {"ema_decay": 0.98, "batch_size": BATCH, "validate_every": 10**6})
    sandwich = replace(base, phases=(Phase("sandwich", EPOCHS, None),))
    # phases of the shipped recipe: the largest subnet is adapted first, then what is elastic grows
    phases = tuple(Phase(name, epochs, ELASTIC[name]) for name, epochs in SHARES.items())
    ways = [
        Way(f"{begun}, rate {rate}", replace(sandwich, learning_rate=rate), start)
        for begun, start in (("fmnist_mbv3 adapted", source), ("from scratch", None))
        for rate in RATES
    ]
    ways.append(Way("adapted, progressive, rate 0.05", replace(base, phases=phases), source))
    return lessons_in(folder, template, source.classes, images), ways


def lessons_in(folder: Path, template: Template, known: tuple[str, ...], most: int) -> Lessons:
    channels = template.family(known or ("one", "other")).channels
    data = load_training_data(folder, known, template.preprocessing(channels))
    assert isinstance(data.images, Images)
    classes = data.match.after
    pixels = data.images.pixels.double() / 255
    mean, std = pixels.mean((0, 2, 3)).tolist(), pixels.std((0, 2, 3)).tolist()
    supernet = described_supernet(template.document(classes, tuple(mean), tuple(std)), template.path)
    count = min(most, len(data.images))
    chosen = data.images.picked([i * len(data.images) // count for i in range(count)])
    dataset = replace(data.dataset, preprocessing=supernet.preprocessing)
    return Lessons(supernet, dataset, chosen, data.match)


def compare(lessons: Lessons, ways: list[Way], seconds: float, seeds: int) -> None:
    """A row a way: accuracies, steps, and processor seconds that were really taken."""
    figures = ("smallest", "medium", "largest", f"{RANDOM_SUBNETS} random")
    print(f"\n{lessons.supernet.name}: {len(lessons.images):,} images, {seconds:g} s, {seeds} seeds")
    print(f"{'':34}" + "".join(f"{name:>18}" for name in figures) + f"{'steps':>8}{'seconds':>9}")
    for way in ways:
        found = [trained_top1(lessons, way, seconds, seed) for seed in range(seeds)]
        row = "".join(f"{mean_and_error([one[name] for one in found]):>18}" for name in figures)
        steps, taken = (statistics.mean(one[name] for one in found) for name in ("steps", "taken"))
        print(f"{way.name:34}{row}{steps:8.0f}{taken:9.1f}", flush=True)


def mean_and_error(values: list[float]) -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.2f} ± {100 * error:.2f}"


def trained_top1(lessons: Lessons, way: Way, seconds: float, seed: int) -> Mapping[str, float]:
    """Top-1 on the report split by subnet, steps and processor seconds of one training."""
    recipe, space = replace(way.recipe, seed=seed, threads=1), lessons.supernet.space
    steps = max(EPOCHS, int(seconds / seconds_a_step(lessons, recipe)))
    batches = batches_of(lessons, recipe, steps // EPOCHS)
    torch.manual_seed(seed)
    net = begun(lessons, way)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        kept = train(
            recipe, net, batches, CPU, Path(folder) / "checkpoint", {}, lambda _: {}, lambda _: None, lambda _: None
        )  # fmt: skip
    taken = time.process_time() - began
    archs: dict[str, Arch] = {
        "smallest": space.smallest(),
        "medium": space.middle(),
        "largest": space.largest(),
    }
    drawn = space.decode(space.sample(RANDOM_SUBNETS, np.random.default_rng(99)))
    top1 = measured(lessons, kept)
    of_random = statistics.mean(top1(arch) for arch in drawn)
    return {name: top1(arch) for name, arch in archs.items()} | {
        f"{RANDOM_SUBNETS} random": of_random, "steps": steps // EPOCHS * EPOCHS, "taken": taken,
    }  # fmt: skip


def begun(lessons: Lessons, way: Way) -> nn.Module:
    net: Any = lessons.supernet.family.elastic()
    if way.source is not None:
        put_into(way.source, net, lessons.match)
    assert isinstance(net, nn.Module)
    return net


def batches_of(lessons: Lessons, recipe: Recipe, an_epoch: int) -> Stream:
    return Stream(
        Batches(lessons.images, lessons.supernet.preprocessing, recipe),
        lambda epoch, rng: step_archs(recipe, lessons.supernet.space, epoch, rng),
        an_epoch,
    )


def seconds_a_step(lessons: Lessons, recipe: Recipe, timed: int = 4) -> float:
    """Processor seconds of a mean step over all phases, by a few steps of each."""
    batches, total = batches_of(lessons, recipe, timed + 1), 0.0
    learner = ElasticLearner.begun(lessons.supernet.family.elastic(), recipe, CPU, Path("none"), None)  # type: ignore[arg-type]
    epoch = 0
    for phase in recipe.phases:
        for step in range(timed + 1):
            began = time.process_time() if step else 0.0
            learner.learn(batches.batch(epoch * batches.per_epoch + step), recipe.learning_rate / 100)
            total += (time.process_time() - began) / timed * phase.epochs if step else 0.0
        epoch += phase.epochs
    return total / EPOCHS


def measured(lessons: Lessons, net: nn.Module) -> Callable[[Arch], float]:
    """Top-1 on the report split, calibrated."""

    def top1(arch: Arch) -> float:
        subnet = specialise(trainable(net), arch, lessons.dataset)  # type: ignore[arg-type]
        return evaluate(subnet, arch, lessons.dataset, "report").top1

    return top1


if __name__ == "__main__":
    main()
