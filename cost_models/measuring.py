"""Latencies of real subnets, and of layers alone, on this machine, in any runtime: loaded, checked, and timed in rounds.

All of them are timed once in every round, in another order each time, with a reference net before, between and
after them. Rounds go on until enough of them are quiet by the reference (:mod:`cost_models.drift`), or there are
twice as many. What comes out is raw.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cost_models.drift import TOLERANCE, kept_rounds
from cost_models.host_facts import cpu_name
from cost_models.measurements import (
    Measurements,
    Reference,
    Setup,
    Timing,
    layers_of,
    measured_arch,
    subnets_of,
)
from cost_models.runtimes.protocol import InputImages, Loaded, Runtime, check_answer
from cost_models.runtimes.registry import open_runtime
from cost_models.timing import ROUNDS, SLICE_S, WARM_UP_RUNS, Call, Clock, median_ms
from supernet.archs.arch import Arch
from supernet.archs.layers import Layer
from supernet.families.catalog import Supernet
from supernet.messages import Say

if TYPE_CHECKING:
    from torch import nn

EVERY = 8
"""Subnets between two readings of the reference."""
MOST_TIMES = 2
"""At most so many times the rounds that were asked for, while the machine is not quiet."""
INPUT_SEED = 0
ORDER_SEED = 0
STATISTICS_IMAGES = 4

LayersByKey = Mapping[str, tuple[Layer, ...]]
"""Consecutive layers by a key, that of a latency table."""
Step = Callable[[int, int, str], None]
Bar = Callable[[str], AbstractContextManager[Step]]
"""Shows the progress of a task: what is yielded is told how many steps of how many are done, and something to say."""


@dataclass(frozen=True)
class LoadedSubnets:
    """Subnets ``archs`` in a runtime, checked and ready to run, with the reference net and ``layers`` beside them."""

    supernet: Supernet
    archs: tuple[Arch, ...]
    setup: Setup
    runtime: Runtime
    subnets: tuple[Loaded, ...]
    reference_arch: Arch
    reference: Loaded
    layers: Mapping[str, Loaded]

    @property
    def runs(self) -> list[Call]:
        """A call for each subnet that runs it once."""
        return [loaded.run for loaded in self.subnets]


@dataclass
class Taken:
    """The rounds so far: orders, medians of each network, readings of the reference."""

    nets_ms: list[list[float]]
    order: list[list[int]] = field(default_factory=list)
    reference_ms: list[list[float]] = field(default_factory=list)


def measure(
    supernet: Supernet,
    archs: Sequence[Arch],
    setup: Setup,
    bar: Bar,
    rounds: int = ROUNDS,
    slice_s: float = SLICE_S,
    today: str | None = None,
) -> Measurements:
    """Raw times of distinct subnets of ``supernet``, with untrained weights, which do not change them.

    Raises InputError where the runtime cannot do what is asked for, and where it answers wrong.
    """
    with loaded_subnets(supernet, archs, setup, bar) as loaded:
        return measure_loaded(loaded, bar, rounds, slice_s, today)


@contextmanager
def loaded_subnets(
    supernet: Supernet, archs: Sequence[Arch], setup: Setup, bar: Bar, layers: LayersByKey | None = None
) -> Iterator[LoadedSubnets]:
    """Distinct subnets, and ``layers`` as networks of their own, ready to run while the body does.

    Raises InputError as :func:`measure` does.
    """
    runtime = open_runtime(setup)
    reference = supernet.space.middle()
    with runtime.pinned(setup), tempfile.TemporaryDirectory(prefix="oncefit-") as folder:
        with bar("loading subnets") as step:
            loaded = []
            for i, arch in enumerate((reference, *archs)):
                loaded.append(load_checked(runtime, supernet, arch, setup, Path(folder)))
                if i:
                    step(i, len(archs), "")
        alone = load_layers(runtime, layers, setup, Path(folder), bar) if layers else {}
        yield LoadedSubnets(
            supernet, tuple(archs), setup, runtime, tuple(loaded[1:]), reference, loaded[0], alone
        )


def measure_loaded(
    loaded: LoadedSubnets, bar: Bar, rounds: int = ROUNDS, slice_s: float = SLICE_S, today: str | None = None
) -> Measurements:
    """Raw times of subnets that are loaded, and of the layers beside them."""
    runs, count = loaded.runs, len(loaded.archs)
    runs += [found.run for found in loaded.layers.values()]
    with bar("measuring in rounds") as step:
        taken = take_rounds(runs, loaded.reference.run, rounds, step, slice_s=slice_s)
    return Measurements(
        supernet=loaded.supernet.name,
        fingerprint=loaded.supernet.fingerprint,
        setup=loaded.setup,
        timing=Timing(slice_s=slice_s, warm_up_runs=WARM_UP_RUNS),
        reported=dict(loaded.reference.reported),
        versions=loaded.runtime.versions(),
        cpu=cpu_name(),
        date=today or date.today().isoformat(),
        order=tuple(map(tuple, taken.order)),
        subnets=subnets_of(loaded.archs, taken.nets_ms[:count]),
        layers=layers_of(loaded.layers, taken.nets_ms[count:]) if loaded.layers else None,
        reference=Reference(
            arch=measured_arch(loaded.reference_arch),
            every=EVERY,
            rounds_ms=tuple(map(tuple, taken.reference_ms)),
        ),
    )


def take_rounds(
    runs: Sequence[Call],
    reference: Call,
    rounds: int,
    step: Step,
    slice_s: float = SLICE_S,
    every: int = EVERY,
    clock: Clock = time.perf_counter,
) -> Taken:
    """Time every subnet in ``rounds`` quiet rounds; in ``MOST_TIMES`` times as many at most, quiet or not."""
    taken = Taken([[] for _ in runs])
    rng = np.random.default_rng(ORDER_SEED)
    began, quiet = clock(), 0
    while quiet < rounds and len(taken.order) < MOST_TIMES * rounds:
        take_round(taken, runs, reference, rng.permutation(len(runs)).tolist(), slice_s, every, clock)
        quiet = len(kept_rounds(taken.reference_ms))
        left = (clock() - began) / len(taken.order) * (rounds - quiet)
        disturbed = len(taken.order) - quiet
        step(quiet, rounds, f"{disturbed} disturbed, about {left:.0f} s left")
    return taken


def take_round(
    taken: Taken,
    runs: Sequence[Call],
    reference: Call,
    order: list[int],
    slice_s: float,
    every: int,
    clock: Clock,
) -> None:
    """One round in an order, kept whole."""
    readings = [median_ms(reference, slice_s, clock)]
    times = {}
    for count, place in enumerate(order, 1):
        times[place] = median_ms(runs[place], slice_s, clock)
        if count % every == 0 or count == len(order):
            readings.append(median_ms(reference, slice_s, clock))
    for place, seen in enumerate(taken.nets_ms):
        seen.append(times[place])
    taken.order.append(order)
    taken.reference_ms.append(readings)


def load_checked(runtime: Runtime, supernet: Supernet, arch: Arch, setup: Setup, folder: Path) -> Loaded:
    """A subnet in a runtime, whose answer to random images is torch's. Raises InputError where it is not."""
    what = f"subnet {arch.id} of {supernet.name}"
    return load_net(runtime, untrained(supernet, arch), images_shape(supernet, arch), setup, folder, what)


def load_layers(
    runtime: Runtime, layers: LayersByKey, setup: Setup, folder: Path, bar: Bar
) -> dict[str, Loaded]:
    """Layers as networks of their own in a runtime, by their keys, under the same checks."""
    from supernet.networks.layer_networks import LayersNet

    found: dict[str, Loaded] = {}
    with bar("loading layers") as step:
        for key, alone in layers.items():
            shape = (alone[0].in_channels, alone[0].in_size, alone[0].in_size)
            net = with_statistics(partial(LayersNet, alone), shape)
            found[key] = load_net(runtime, net, shape, setup, folder, f"layer {key}")
            step(len(found), len(layers), "")
    return found


def load_net(
    runtime: Runtime, net: nn.Module, shape: tuple[int, ...], setup: Setup, folder: Path, what: str
) -> Loaded:
    """A network in a runtime, on random images of a shape (channels, side, side)."""
    import torch

    images = random_images((setup.batch, *shape))
    with torch.inference_mode():
        expected = net(torch.from_numpy(images)).numpy()
    loaded = runtime.load(net, images, setup, folder)
    check_answer(loaded.logits(), expected, setup, what)
    return loaded


def images_shape(supernet: Supernet, arch: Arch) -> tuple[int, ...]:
    return supernet.layers(arch)[0].in_channels, arch.resolution, arch.resolution


def random_images(shape: tuple[int, ...]) -> InputImages:
    return np.random.default_rng(INPUT_SEED).standard_normal(shape, dtype=np.float32)


def untrained(supernet: Supernet, arch: Arch) -> nn.Module:
    """A subnet with random weights and their statistics."""
    return with_statistics(partial(supernet.family.static, arch), images_shape(supernet, arch))


def with_statistics(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> nn.Module:
    """A network made with seeded weights and the batch norms' statistics of random images, in evaluation mode.

    Without statistics activations fade from layer to layer, and logits of 1e-6 tell nothing of a runtime.
    """
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(INPUT_SEED)
        net = make()
        images = torch.randn(STATISTICS_IMAGES, *shape)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics of these images alone
    with torch.no_grad():
        net.train()(images)
    return net.eval()


def settings(measured: Measurements) -> dict[str, str | int | float]:
    """What latencies depend on besides versions and processor, for the record of a fit."""
    return {
        **settings_of(measured.setup, measured.timing),
        **measured.reported,
        "rounds": measured.rounds,
        "rounds_kept": len(kept_rounds(measured.reference.rounds_ms)),
    }


def settings_of(setup: Setup, timing: Timing) -> dict[str, str | int | float]:
    return {
        **setup.model_dump(), **timing.model_dump(), "reference_every": EVERY, "drift_tolerance": TOLERANCE,
    }  # fmt: skip


def said(report: Say, every: int = 10) -> Bar:
    """A bar in sentences, for where there is none to draw."""

    def bar(task: str) -> AbstractContextManager[Step]:
        told = 0

        def step(done: int, of: int, status: str) -> None:
            nonlocal told
            if done > told and (done % every == 0 or done == of):
                told = done
                report(f"{task}: {done} of {of}")

        return nullcontext(step)

    return bar
