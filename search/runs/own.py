"""What a caller brings to a run as Python objects, where a config has names: supernet, costs, sampler, accuracy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import CodeType
from typing import TYPE_CHECKING, Protocol

from cost_models.registry import Cost
from supernet import documents
from supernet.accuracy import Accuracy, OwnAccuracy
from supernet.archs.arch import Arch
from supernet.archs.space import SearchSpace
from supernet.errors import InputError
from supernet.families.catalog import PreprocessingKeys, Supernet
from supernet.families.own_networks import described_by

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

GIVEN = "given in Python"
"""What a run's config says in place of a name."""

UNKNOWN: Mapping[str, object] = {"mean": (), "std": ()}
"""Preprocessing of a supernet that does not say how its images become inputs: nothing can be measured on images."""

CostFunction = Callable[[Arch], float]
AccuracyFunction = Callable[[Arch], "float | Accuracy | OwnAccuracy"]


@dataclass(frozen=True)
class Own:
    """Objects that take the place of names; a run's config says which there are, a run that is resumed needs them."""

    supernet: Supernet | None = None
    costs: Mapping[str, CostFunction] = field(default_factory=dict)
    sampler: BaseSampler | None = None
    accuracy: AccuracyFunction | None = None


def told(given: object) -> str:
    """What a config says of an object: ``given in Python: my_cost, code 3f2a91``."""
    name = getattr(given, "__name__", type(given).__name__)
    code = getattr(given, "__code__", None)
    return f"{GIVEN}: {name}" + (f", code {digest_of(code)}" if code is not None else "")


def digest_of(code: CodeType) -> str:
    """Six hex digits of what a function's code does, so that an edited one is not taken for the one before.

    What the code refers to from outside is not covered.
    """
    inner = [digest_of(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return hashlib.sha256(repr((code.co_code, inner, code.co_names)).encode()).hexdigest()[:6]


def is_given(name: str) -> bool:
    return name.startswith(GIVEN)


@dataclass(frozen=True)
class CostOfFunction:
    """A cost model that is a plain function of an arch."""

    name: str
    function: CostFunction

    def __call__(self, arch: Arch) -> float:
        """Raises InputError for what is no finite number."""
        found = self.function(arch)
        try:
            number = float(found)
        except (TypeError, ValueError):
            number = float("nan")
        if not abs(number) < float("inf"):
            raise InputError(
                f"the cost {self.name} of arch {arch.id} is {found!r}; its function must return a finite number"
            )
        return number


@dataclass(frozen=True)
class MissingCost:
    """A cost whose function an earlier process had: its recorded values can be read, new ones cannot be had."""

    name: str

    def __call__(self, arch: Arch) -> float:
        raise InputError(
            f"the cost {self.name} of this run was a function given in Python, and it is not here; give it again: "
            f"costs={{{self.name!r}: function}}"
        )


def own_cost(name: str, own: Own, space: SearchSpace) -> Cost:
    """The cost of a function, or one that only says that the function is missing."""
    if name in own.costs:
        return Cost(CostOfFunction(name, own.costs[name]), space)
    return Cost(MissingCost(name), space)


def own_judgement(own: Own, arch: Arch) -> Accuracy | OwnAccuracy:
    """What the caller's own evaluation says of an arch. Raises InputError for what is no share of images."""
    if own.accuracy is None:
        raise InputError(
            "the accuracies of this run came from a function given in Python, and it is not here; give it again: "
            "accuracy=function"
        )
    found = own.accuracy(arch)
    if isinstance(found, (Accuracy, OwnAccuracy)):
        top1: object = found.top1
    else:
        top1 = found
    try:
        share = float(top1)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        share = float("nan")
    if not 0 <= share <= 1:
        raise InputError(
            f"the accuracy of arch {arch.id} is {found!r}; its function must return top-1 as a fraction from 0 to 1, "
            "or an oncefit.OwnAccuracy"
        )
    return OwnAccuracy(share, getattr(found, "top5", None))


class OwnSupernet(Protocol):
    """A supernet of the caller's own: a name and a space are enough where costs and accuracy are functions.

    ``classes`` (names), ``preprocessing`` (a mapping with ``mean``, ``std``, and ``stored`` or ``crop``) and
    ``extract(arch) -> torch.nn.Module`` are needed where its subnets are measured here; ``layers(arch)`` or ``segments`` (see
    :mod:`supernet.archs.layers`) give it the built-in costs. What else it may have is what the class of a supernet's YAML
    has, see :mod:`supernet.families.own_networks`.
    """

    @property
    def name(self) -> str: ...

    @property
    def space(self) -> SearchSpace: ...


def adapted(own: OwnSupernet) -> Supernet:
    """A caller's object as the rest of oncefit knows supernets. Raises InputError for what is none."""
    if not isinstance(getattr(own, "name", None), str) or not isinstance(
        getattr(own, "space", None), SearchSpace
    ):
        raise InputError(
            f"{own!r} is no supernet: give a name, a YAML file, or an object with name (a string) and space "
            "(an oncefit.SearchSpace)"
        )
    keys = documents.check(
        dict(getattr(own, "preprocessing", UNKNOWN)), PreprocessingKeys, f"preprocessing of {own.name}"
    )
    family = described_by(own, tuple(getattr(own, "classes", ())), own.name)
    return Supernet(own.name, None, keys, None, family, net=family.carried)
