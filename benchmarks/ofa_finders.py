"""``ofa``'s two ``EvolutionFinder`` with what they call: its own predictors and tables where there are any, else ours.

``ofa.tutorial``'s is for MobileNetV3, ``ofa.nas.search_algorithm``'s for ResNet50. Both loop until
they meet a budget, for ever if need be, so they are stopped by an alarm.
"""

from __future__ import annotations

import contextlib
import io
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from oracles import MILLION, Oracle, normal
from threadpoolctl import threadpool_limits

from cost_models.registry import Cost
from oncefit.predictors import read_state
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats
from supernet.ofa_format.settings import from_settings

Spec = dict[str, Any]
"""A subnet in ``ofa``'s words."""

KINDS = {"latency_ms": ("note10", 1.0), "macs": ("flops", MILLION)}
"""What the tutorial's finder calls a cost, and how many of our units one of its own is."""


class GaveUp(Exception):
    """A search that was stopped before its end."""


@dataclass(frozen=True)
class Finder:
    """``search(seed, generations)`` -> codes (1, dimensions) of what was found; ``predict`` is its accuracy of a batch of specs."""

    search: Callable[[int, int], Codes]
    predict: Callable[[list[Spec]], object]
    sample: Callable[[], Spec]


def finder(oracle: Oracle, budget: float) -> Finder:
    """The one for an oracle's network."""
    return resnet_finder(oracle, budget) if is_resnet(oracle.space) else tutorial_finder(oracle, budget)


def is_resnet(space: SearchSpace) -> bool:
    return "depth.0" in space.index


# -- MobileNetV3 -------------------------------------------------------------------


def tutorial_finder(oracle: Oracle, budget: float) -> Finder:
    from ofa.tutorial.evolution_finder import ArchManager, EvolutionFinder

    kind, unit = KINDS[oracle.cost.name]
    resolutions = list(oracle.space.by_name["resolution"].choices)
    efficiency = (
        exact_table(oracle.cost, unit) if oracle.tables is None else Latency(oracle.tables, resolutions)
    )
    accuracy = Ours(oracle) if oracle.predictor_file is None else tutorial_predictor(oracle.predictor_file)
    manager = ArchManager()
    manager.resolutions = resolutions

    def search(seed: int, generations: int) -> Codes:
        seed_all(seed)
        made = EvolutionFinder(kind, budget / unit, efficiency, accuracy, max_time_budget=generations)
        made.arch_manager.resolutions = resolutions
        with contextlib.redirect_stderr(io.StringIO()):
            _, (_, spec, _) = made.run_evolution_search()
        return oracle.space.encode([from_settings(spec, oracle.space)])

    return Finder(search, accuracy.predict_accuracy, manager.random_sample)


class Latency:
    """``ofa``'s estimator on tables read by a safe loader; its own constructor downloads them by an unsafe one."""

    def __init__(self, folder: Path, resolutions: list[int]) -> None:
        from ofa.tutorial.latency_table import LatencyEstimator

        self.tables = {}
        for resolution in resolutions:
            self.tables[resolution] = LatencyEstimator.__new__(LatencyEstimator)
            text = (folder / f"{resolution}_lookup_table.yaml").read_text()
            self.tables[resolution].lut = yaml.load(text, Loader=LOADER)

    def predict_efficiency(self, spec: Spec) -> float:
        return float(self.tables[spec["r"][0]].predict_network_latency_given_spec(spec))


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def tutorial_predictor(file: Path) -> Any:
    """``ofa.tutorial``'s ``AccuracyPredictor`` with the weights of a file; its own constructor downloads them."""
    from ofa.tutorial.accuracy_predictor import AccuracyPredictor

    made = AccuracyPredictor(pretrained=False, device="cpu")
    made.model.load_state_dict(tensors(file))
    return made


def tensors(file: Path) -> dict[str, Any]:
    """A state dict for ``ofa``'s classes, of the numbers that our predictor has too."""
    import torch

    return {name: torch.from_numpy(values) for name, values in normal(read_state(file)).items()}


def exact_table(cost: Cost, unit: float) -> Any:
    """``ofa.tutorial``'s ``FLOPsTable`` filled with the numbers of our cost model: one look-up a block.

    Its own numbers differ from the multiply-adds of the layers by about 5 %, so that it would keep another budget.
    """
    from ofa.tutorial.flops_table import FLOPsTable

    space = cost.space
    made = FLOPsTable.__new__(FLOPsTable)
    deepest = space.encode([space.largest()])[0]
    made.efficiency_dict = {}
    for code, resolution in enumerate(space.by_name["resolution"].choices):
        blocks: list[dict[tuple[int, int], float]] = [{(3, 1): 0.0}]  # of the first block there is no choice
        at = deepest.copy()
        at[space.index["resolution"]] = code
        for kernel in (d for d in space.dimensions if d.kind == "kernel"):
            expand = space.by_name[kernel.name.replace("kernel", "expand")]
            chosen = [(k, e) for k in range(len(kernel.choices)) for e in range(len(expand.choices))]
            rows = np.repeat(at[None], len(chosen), axis=0)
            rows[:, [space.index[kernel.name], space.index[expand.name]]] = chosen
            mine = block_costs(cost, rows, space.index[kernel.name])
            blocks.append(
                {
                    (kernel.choices[k], expand.choices[e]): float(c) / unit
                    for (k, e), c in zip(chosen, mine, strict=True)
                }
            )
        rest = float(cost.batch(at[None])[0]) / unit - sum(block[(7, 6)] for block in blocks[1:])
        made.efficiency_dict[resolution] = {"mobile_inverted_blocks": blocks, "other_blocks": {"rest": rest}}
    return made


def block_costs(cost: Cost, rows: Codes, column: int) -> Floats:
    """What the block of a column costs in each arch: the factors of the cost's sum that depend on it."""
    return np.sum([factor.look_up(rows) for factor in cost.model.factors if column in factor.columns], axis=0)  # type: ignore[attr-defined]


class Ours:
    """One of our predictors as ``predict_accuracy`` of ``ofa``'s specs: one batch, as ``ofa``'s own."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle, space = oracle, oracle.space
        kinds = {"ks": "kernel", "e": "expand", "d": "depth", "r": "resolution"}
        self.columns = {
            key: [i for i, d in enumerate(space.dimensions) if d.kind == kind] for key, kind in kinds.items()
        }
        self.codes = {
            key: code_of(space.dimensions[columns[0]].choices) for key, columns in self.columns.items()
        }

    def predict_accuracy(self, specs: list[Spec]) -> Floats:
        codes = np.empty((len(specs), len(self.oracle.space.dimensions)), dtype=np.int16)
        for key, columns in self.columns.items():
            codes[:, columns] = self.codes[key][np.array([spec[key] for spec in specs])]
        return self.oracle.predict(self.oracle.space.canonical(codes))


def code_of(choices: tuple[Any, ...]) -> Codes:
    """Code of each choice, at the place of its value."""
    found = np.full(max(choices) + 1, -1, dtype=np.int16)
    found[list(choices)] = np.arange(len(choices))
    return found


# -- ResNet50 ----------------------------------------------------------------------


def resnet_finder(oracle: Oracle, budget: float) -> Finder:
    """``ofa.nas``'s finder with its own encoder and predictor; costs are ours, one look-up a block.

    Its own cost model sets the active subnet of a network for each arch, which takes far longer.
    """
    from ofa.nas.accuracy_predictor import AccuracyPredictor, ResNetArchEncoder
    from ofa.nas.search_algorithm import EvolutionFinder

    from search.predictors.mlp import RESNET_RESOLUTIONS

    assert oracle.predictor_file is not None
    encoder = ResNetArchEncoder(image_size_list=list(RESNET_RESOLUTIONS))
    encoder.image_size_list = list(oracle.space.by_name["resolution"].choices)  # of what it samples
    accuracy = AccuracyPredictor(encoder, device="cpu")
    accuracy.load_state_dict(tensors(oracle.predictor_file))
    accuracy.requires_grad_(False)
    efficiency = Bottlenecks(oracle.cost)

    def search(seed: int, generations: int) -> Codes:
        seed_all(seed)
        made = EvolutionFinder(efficiency, accuracy, max_time_budget=generations)
        with contextlib.redirect_stdout(io.StringIO()):
            _, (_, spec, _) = made.run_evolution_search(budget)
        return oracle.space.encode([from_settings(spec, oracle.space)])

    return Finder(search, accuracy.predict_acc, encoder.random_sample_arch)


class Bottlenecks:
    """Our cost of a ResNet as ``get_efficiency`` of ``ofa``'s specs: a look-up of each part's choices in a dict."""

    def __init__(self, cost: Cost) -> None:
        space = cost.space
        self.least = [d.choices[0] for d in space.dimensions if d.kind == "depth"]
        places = spec_places(space)
        self.parts: list[tuple[Callable[[list[int]], Any], dict[Any, float]]] = []
        for factor in cost.model.factors:  # type: ignore[attr-defined]
            names = [space.dimensions[column].name for column in factor.columns]
            found = {}
            for index in np.ndindex(factor.table.shape):
                values = tuple(spec_value(space, name, code) for name, code in zip(names, index, strict=True))
                found[values] = float(factor.table[index])
            self.parts.append((places_getter([places[name] for name in names]), found))

    def get_efficiency(self, spec: Spec) -> float:
        flat = [spec["image_size"], *spec["d"], *spec["w"], *spec["e"]]
        return sum(table[of(flat)] for of, table in self.parts)


def places_getter(places: list[int]) -> Callable[[list[Any]], Any]:
    """A tuple of the entries at some places of a list."""
    from operator import itemgetter

    return itemgetter(*places) if len(places) > 1 else lambda flat: (flat[places[0]],)


def spec_places(space: SearchSpace) -> Mapping[str, int]:
    """Where each dimension stands in the list of resolution, depths, widths and expand ratios."""
    kinds = ("resolution", "depth", "width", "expand")
    return {d.name: i for i, d in enumerate(d for kind in kinds for d in space.dimensions if d.kind == kind)}


def spec_value(space: SearchSpace, name: str, code: int) -> Any:
    """What a spec holds for a choice: depths count from the least, twice for the stem; widths are indices."""
    d = space.by_name[name]
    if d.kind == "depth":
        return (d.choices[code] - d.choices[0]) * (2 if name == "depth.0" else 1)
    return code if d.kind == "width" else d.choices[code]


# -- both --------------------------------------------------------------------------


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raises GaveUp after so many seconds; in the main thread only."""

    def stop(*_: object) -> None:
        raise GaveUp

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def threads_of(count: int) -> Iterator[None]:
    """So many threads for torch, and for numpy's matrices."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count, "blas"):
            yield
    finally:
        torch.set_num_threads(before)


def fastest_threads(made: Finder, repeats: int = 30) -> int:
    """Threads with which it predicts a population of 100 sooner: one, or as many as torch takes by itself."""
    import torch

    specs = [made.sample() for _ in range(100)]
    found = {}
    for threads in {1, torch.get_num_threads()}:
        times = []
        with threads_of(threads):
            for _ in range(repeats):
                began = time.perf_counter()
                made.predict(specs)
                times.append(time.perf_counter() - began)
        found[threads] = sorted(times)[len(times) // 2]
    return min(found, key=lambda threads: found[threads])
