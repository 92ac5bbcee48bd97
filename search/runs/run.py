"""A run folder and what its config resolves to."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cost_models.device import Device
from cost_models.energy import ranges
from cost_models.latency import latency_std_ms
from cost_models.protocol import Target
from cost_models.ranges import Range
from cost_models.registry import Cost
from search.predictors.files import digest, outside_domain
from search.predictors.protocol import Predictor
from search.problem.objectives import Objective
from search.problem.problem import Problem
from search.runs import study as studies
from search.runs.config import OWN, PREDICTED, RunConfig
from search.runs.enqueued import enqueued_archs
from search.runs.measuring import MeasuredAccuracy
from search.runs.own import Own, own_judgement, told
from search.runs.racing import Raced, Rival
from search.runs.study import Candidate
from supernet.accuracy import Accuracy
from supernet.archs.arch import Arch
from supernet.families.catalog import Supernet

if TYPE_CHECKING:
    import optuna

CONFIG, DEVICE, PREDICTOR = "config.yaml", "device.yaml", "predictor.safetensors"
PREDICTIONS = "predictions"
"""The attribute of a study that says how many archs a predictor was asked about outside its trials."""
UPPER_BOUND = "upper_bound_top1"
"""The attribute that says what no arch within the budgets is predicted above; null where nothing is proven."""
RESELECTED = "reselected"
"""The attribute of a study that began with candidates of another run's (:mod:`search.fleets.reselection`): which, and how many."""


@dataclass(frozen=True)
class Run:
    """A run folder and what its config resolves to; ``costs`` are all that it records.

    A ``predictor`` says what accuracies are; a ``prior`` only where a search that measures them begins. ``own``
    are objects of the caller's, in place of names in the config.
    """

    folder: Path
    config: RunConfig
    supernet: Supernet
    device: Device | None
    problem: Problem
    costs: Mapping[str, Cost]
    predictor: Predictor | None = None
    prior: Predictor | None = None
    storage: str | None = field(default=None, repr=False)
    """The URL of its storage if that is given, maybe with a password."""
    study_name: str | None = None
    """What a new study is called if that is given."""
    own: Own = field(default_factory=Own)
    elsewhere: Callable[[Arch, Rival | None, str], tuple[Accuracy, str] | Raced] | None = None
    """What measures in place of this process: an arch against a rival, by top1 or top5."""
    beside: Run | None = None
    """A run of the same supernet and images for another device: what is measured is measured for both."""

    @property
    def where(self) -> str:
        """The device that costs are predicted for, empty without one."""
        return self.device.name if self.device is not None else ""

    @property
    def axes(self) -> tuple[Objective, ...]:
        """What fronts are drawn in: the objectives, or accuracy against the first budget (else macs, or any cost)."""
        if len(self.problem.objectives) > 1:
            return self.problem.objectives
        cost = next(iter([*self.config.budgets, *(["macs"] if "macs" in self.costs else self.costs)]))
        return (*self.problem.objectives, Objective(cost))

    @cached_property
    def enqueued(self) -> tuple[Arch, ...]:
        """Archs that are evaluated first."""
        return enqueued_archs(self.config, self.problem.space)

    @property
    def outside(self) -> str | None:
        """What is to be said where the predictor is asked about what it was not trained on."""
        asked = self.predictor or self.prior
        return outside_domain(asked.card, self.problem.space) if asked is not None else None

    @property
    def measures(self) -> bool:
        """Whether accuracies are measured, be it only those of the best."""
        return self.config.accuracy not in (PREDICTED, OWN)

    @property
    def kind(self) -> str:
        """What the accuracies that decide are: those of the validation split, predicted, or the caller's own."""
        if self.config.accuracy == OWN:
            return "own evaluation"
        return "validation split" if self.measures else "predicted"

    @property
    def accuracy_name(self) -> str:
        """What it maximises, ``top1`` or ``top5``: by that its images count as right."""
        return self.problem.objectives[0].name

    @cached_property
    def accuracy(self) -> MeasuredAccuracy:
        if self.beside is not None:
            return self.beside.accuracy
        return MeasuredAccuracy(self.supernet, self.config.data or self.supernet.data)

    def measured(self, arch: Arch, rival: Rival | None = None) -> tuple[Accuracy, str] | Raced:
        """Its accuracy on the validation split with its packed hits, or where it was stopped as a rival dominates it."""
        return (self.elsewhere or self.accuracy.race)(arch, rival, self.accuracy_name)

    def judge(self, arch: Arch) -> studies.Judgement:
        """What a trial's accuracy is where it is not measured: the caller's own, or predicted."""
        if self.config.accuracy == OWN:
            return own_judgement(self.own, arch)
        assert self.predictor is not None
        [found] = self.predictor.predict(self.problem.space, self.problem.space.encode([arch]))
        return found

    def stds(self, arch: Arch) -> dict[str, float]:
        """Standard deviations of those predicted costs whose models know them."""
        device = self.device_of(arch)
        if device is None or device.table is None or "latency_ms" not in self.costs:
            return {}
        network = self.supernet.of_networks
        return {"latency_ms": float(latency_std_ms(Target(network, device))(arch.network))}

    def device_of(self, arch: Arch) -> Device | None:
        """The device as it is at an arch's precision; where archs say none, as it is."""
        if self.device is None or not self.supernet.precisions:
            return self.device
        return self.device.at_precision(arch.precision)

    @property
    def power_meter(self) -> str | None:
        """What the power of its device was fitted to; None where that is assumed, or not known."""
        return self.device.power_meter if self.device is not None else None

    def ranges(self, candidate: Candidate) -> dict[str, Range]:
        """The least and the greatest that estimated costs may be, by name."""
        known = candidate.costs.get("latency_ms")
        layers = self.supernet.layers(candidate.arch) if known is not None and self.supernet.segments else ()
        return ranges(self.device_of(candidate.arch), known, layers)

    @cached_property
    def identity(self) -> dict[str, object]:
        """What its figures are of, as far as it is known without a look at the images."""
        found: dict[str, object] = {
            "supernet": f"{self.supernet.name}, network {self.supernet.fingerprint}",
            "device": f"{self.device.name}, {self.device.digest}" if self.device is not None else "",
            "objectives": list(self.config.objectives),
            "budgets": dict(self.config.budgets),
        }
        if self.config.space:
            found["space"] = {name: list(choices) for name, choices in self.config.space.items()}
        if self.config.precision:
            found["precision"] = list(self.config.precision)
        if self.own.accuracy is not None:
            found["accuracy"] = told(self.own.accuracy)
        if self.predictor is not None:
            found["predictor"] = f"{self.predictor.card.name}, {digest(self.predictor)}"
        if self.measures:
            found["prior"] = f"{self.prior.card.name}, {digest(self.prior)}" if self.prior is not None else ""
        if self.measures:
            found["weights"] = self.supernet.weights_sha256
            found["preprocessing"] = self.supernet.preprocessing.told
        return found

    def study(self, create: bool = False) -> optuna.Study:
        """Its record, opened once; its sampler is the caller's to set. Raises InputError where there is none, and where it is of
        something else.

        To create one, or to measure for it, takes the images.
        """
        if create:
            images = {"images": self.accuracy.data.sha256} if self.measures else {}
            self.__dict__["_opened"] = self._open_study(images, create)
        return copy.copy(self._opened)

    @cached_property
    def _opened(self) -> optuna.Study:
        return self._open_study({}, create=False)

    def _open_study(self, images: Mapping[str, object], create: bool) -> optuna.Study:
        return studies.open_study(self.folder, self.storage, {**self.identity, **images}, create)


@dataclass(frozen=True)
class Progress:
    """Where a search stands; ``trials`` counts the distinct archs that count: measured, or predicted."""

    trials: int
    of: int
    proposals: int
    best: Candidate | None
