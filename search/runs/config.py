"""What a search is told: a YAML file, overridden by the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from cost_models.registry import ALIASES, known_costs
from cost_models.variants import Variant, any_in_region, parse_device
from search.problem.confidence import PERCENTILE, latency_limit, plain_budgets
from search.problem.limits import check_limit
from search.problem.objectives import ACCURACIES, Objective, parse_objectives
from search.proposing.samplers import GUIDED, SAMPLERS
from search.runs.carbon_stop import COST, CarbonStop, trial_kg
from search.runs.fleet_devices import DEVICES, FleetDevice, parse_devices
from search.runs.own import is_given
from supernet import documents
from supernet.amounts import Count, NameOrPath, Seed
from supernet.archs.precisions import ascending
from supernet.errors import InputError, prefixed, unknown
from supernet.families.catalog import DATA_SETS
from supernet.ofa_format.given import is_inline

How = Literal["measured", "predicted", "predicted-then-measured", "own"]
MEASURED: How = "measured"
PREDICTED: How = "predicted"
BOTH: How = "predicted-then-measured"
OWN: How = "own"
"""By a function that the caller gives, see :mod:`search.runs.own`."""

NO_PREDICTOR = "none"
"""In place of a predictor's name: not even one that fits, which a measured search would begin with by itself."""


class RunConfig(documents.Document):
    """``configs/searches/*.yaml``: everything that decides a run.

    ``space`` leaves only some choices of dimensions or kinds; ``precision`` makes a choice of how weights are stored, see
    :mod:`supernet.archs.precisions`. ``accuracy`` is measured on
    images (then a ``predictor`` only tells ``guided`` where to begin: without one see :mod:`search.runs.prior`),
    predicted by it, or both for the ``measure`` best. ``race`` stops measuring what is dominated, see :mod:`search.runs.racing`. ``costs`` adds cost models of your own as ``name: package.module:function``;
    ``budgets`` are upper bounds that no result exceeds; one on a percentile of latency
    (:mod:`search.problem.confidence`) stands there as that of a bound, ``latency_p95_ms``. ``enqueue`` are archs that
    are evaluated first, in files or as they stand, see :mod:`search.runs.enqueued`. ``devices``, in place of
    ``device``, are searched for together, see :mod:`search.fleets.fleet`. ``stop`` ends a search that emits more than
    it can be expected to save, see :mod:`search.runs.carbon_stop`. So many of the most accurate as
    ``verify_on_device`` says are timed on the device, and the best that holds its budget there is chosen, see
    :mod:`search.runs.on_device`.
    """

    supernet: NameOrPath
    space: dict[str, Annotated[tuple[int | float, ...], Field(min_length=1)]] = {}
    precision: tuple[str, ...] = ()
    accuracy: How = MEASURED
    predictor: NameOrPath | None = None
    measure: Count = 10
    race: bool = False
    data: NameOrPath | None = None
    device: NameOrPath | Variant | None = None
    devices: tuple[FleetDevice, ...] = ()
    objectives: tuple[str, ...] = ("top1",)
    budgets: dict[str, float] = {}
    costs: dict[str, str] = {}
    enqueue: tuple[str | dict[str, Any], ...] = ()
    sampler: str = "guided"
    trials: Count = 60
    seed: Seed = 0
    stop: CarbonStop | None = None
    verify_on_device: Count | None = None

    @property
    def named_predictor(self) -> str | None:
        """The predictor that it names, by name or as a file."""
        return None if self.predictor == NO_PREDICTOR else self.predictor


def load_config(path: Path, overrides: Mapping[str, object], budgets: Mapping[str, object]) -> RunConfig:
    """The config in ``path`` with the options given beside it; those of budgets are added to its own."""
    path = documents.find("searches", path)
    data = documents.load(path)
    data = with_device(with_full_paths(data, path.parent), str(path), path.parent)
    return resolved(data, overrides, budgets, str(path))


def made_config(settings: Mapping[str, object], budgets: Mapping[str, object]) -> RunConfig:
    """The config of settings that were given without a file; what is None is as a file has it by default."""
    return resolved({}, settings, budgets, "the search")


def resolved(
    data: dict[str, object], overrides: Mapping[str, object], budgets: Mapping[str, object], where: str
) -> RunConfig:
    """``region`` among the overrides is that of the device."""
    given = {key: value for key, value in overrides.items() if value is not None}
    region = given.pop("region", None)
    if "device" in given:
        data = {key: value for key, value in data.items() if key != DEVICES}
    elif DEVICES in given:
        data = {key: value for key, value in data.items() if key != "device"}
    data = {**data, **with_device(with_full_paths(given, Path()), where, Path())}
    if region is not None and data.get(DEVICES):
        raise InputError(
            f"{where}: a region {region} is given for several devices; give each its own, as {{base: note10, region: {region}}}"
        )
    if region is not None:
        device = parse_device(data.get("device"), f"{where}: device", Path())
        data["device"] = any_in_region(device, str(region))
    if isinstance(data.get("budgets"), dict):
        try:
            data["budgets"] = plain_budgets(data["budgets"])  # type: ignore[arg-type]
        except InputError as error:
            raise prefixed(error, where) from None
    if budgets := plain_budgets(budgets):
        own = data.get("budgets") or {}
        names = {ALIASES.get(name, name): limit for name, limit in budgets.items()}
        data["budgets"] = {**own, **names} if isinstance(own, dict) else own
    config = documents.check(data, RunConfig, where)
    if "measure" in given and config.accuracy != BOTH:
        raise InputError(
            f"{where}: measure {config.measure} of those predicted is for accuracy: {BOTH}, and it is {config.accuracy}; "
            "leave measure out"
        )
    return normalised(config, where)


def with_device(data: dict[str, object], where: str, folder: Path) -> dict[str, object]:
    """The same keys, devices as names, files or variants, whose base may be a file from ``folder``."""
    if data.get(DEVICES):
        data = {**data, DEVICES: parse_devices(data[DEVICES], f"{where}: {DEVICES}", folder)}
    if "device" not in data:
        return data
    return {**data, "device": parse_device(data["device"], f"{where}: device", folder)}


def with_full_paths(data: Mapping[str, object], folder: Path) -> dict[str, object]:
    """The same keys; a path that starts at ``folder`` is made absolute."""

    def is_path(key: str, value: str) -> bool:
        is_file = key in ("supernet", "device") and value.endswith((".yaml", ".yml"))
        is_file = is_file or (key == "predictor" and value.endswith(".safetensors"))
        return is_file or (key == "data" and value not in DATA_SETS)

    def full(key: str, value: object) -> object:
        if key == "enqueue" and isinstance(value, (list, tuple)):
            return [
                documents.from_folder(folder, one) if isinstance(one, str) and not is_inline(one) else one
                for one in value
            ]
        return (
            documents.from_folder(folder, value) if isinstance(value, str) and is_path(key, value) else value
        )

    return {key: full(key, value) for key, value in data.items()}


def parse_budgets(texts: Sequence[str]) -> dict[str, float | dict[str, float]]:
    """``["latency_ms=p95:0.15", "macs=3e6"]`` by name. Raises InputError for two of one cost."""
    found: dict[str, float | dict[str, float]] = {}
    for text in texts:
        name, limit = parse_budget(text)
        if name in found:
            raise InputError(f"{name} has two budgets, {' and '.join(map(repr, texts))}; give one")
        found[name] = limit
    return found


def parse_budget(text: str) -> tuple[str, float | dict[str, float]]:
    """``latency_ms=0.15`` as a pair; ``p95:0.15`` is a budget on a percentile."""
    name, _, number = text.partition("=")
    percentile, colon, limit = number.partition(":")
    try:
        if colon and PERCENTILE.fullmatch(percentile.strip()):
            return name.strip(), {percentile.strip(): float(limit)}
        return ALIASES.get(name.strip(), name.strip()), float(number)
    except ValueError:
        raise InputError(
            f"a budget is given as cost=number, as macs=3e6, or latency_ms=p95:25 for a percentile; got {text!r}"
        ) from None


def normalised(config: RunConfig, where: str) -> RunConfig:
    """Aliases resolved and every name known. Raises InputError that names the closest one."""
    known = [*known_costs(), *config.costs]

    def cost(name: str) -> str:
        resolved = ALIASES.get(name, name)
        if resolved not in known:
            raise unknown(f"cost in {where}:", name, [*known, *ALIASES])
        return resolved

    if accuracies := [name for name in config.costs if name in ACCURACIES]:
        raise InputError(
            f"{where}: costs: {', '.join(accuracies)} is an accuracy; give the cost another name"
        )
    if config.devices and config.device is not None:
        raise InputError(f"{where}: device and {DEVICES} are both given; give one of them")
    for name, limit in config.budgets.items():
        check_limit(limit, f"{where}: budget {name} =")
        twin = next((other for other in config.budgets if other != name and cost(other) == cost(name)), None)
        if twin is not None:
            raise InputError(
                f"{where}: {name} and {twin} are budgets of the same cost, {cost(name)}; give one"
            )
    check_precision(config, where)
    if config.sampler not in SAMPLERS and not is_given(config.sampler):
        raise unknown(f"sampler in {where}:", config.sampler, SAMPLERS)
    for name in config.objectives:
        if name not in ACCURACIES and ALIASES.get(name, name) not in known:
            raise unknown(f"objective in {where}:", name, [*ACCURACIES, *known, *ALIASES])
    objectives = parse_objectives(config.objectives)
    check_accuracy(config, objectives[0], where)
    check_stop(config, where)
    check_on_device(config, where)
    return config.model_copy(
        update={
            "objectives": tuple(o.name if o.is_accuracy else cost(o.name) for o in objectives),
            "budgets": {cost(name): limit for name, limit in config.budgets.items()},
            "precision": ascending(config.precision),
        }
    )


def check_precision(config: RunConfig, where: str) -> None:
    """Raises InputError for a precision that is not known, and for any where accuracy is predicted."""
    try:
        ascending(config.precision)
    except InputError as error:
        raise prefixed(error, where) from None
    if config.precision and config.accuracy in (PREDICTED, BOTH):
        raise InputError(
            f"{where}: precision: [{', '.join(config.precision)}] is for accuracies that are measured, and accuracy is "
            f"{config.accuracy}: predictors know nothing of precision. Set accuracy: {MEASURED} (a predictor then tells "
            "where to begin), or leave precision out"
        )


def check_accuracy(config: RunConfig, accuracy: Objective, where: str) -> None:
    """Raises InputError where it is not clear, or not possible, how accuracy is had."""
    if config.accuracy == MEASURED and config.named_predictor is not None and config.sampler != GUIDED:
        raise InputError(
            f"{where}: predictor {config.predictor!r} is given, but accuracy is measured; of the samplers only "
            f"{GUIDED} starts from one, not {config.sampler}. Set accuracy: {PREDICTED} or {BOTH}, sampler: {GUIDED}, "
            "or leave the predictor out"
        )
    if config.accuracy == OWN and config.named_predictor is not None:
        raise InputError(
            f"{where}: accuracy comes from a function of your own, so the predictor {config.predictor!r} has no use; "
            "leave it out"
        )
    if config.accuracy == MEASURED or (config.accuracy == OWN and not config.race):
        return
    if config.race:
        raise InputError(
            f"{where}: race: true stops candidates while they are measured, but accuracy is {config.accuracy}; "
            f"set accuracy: {MEASURED}, or leave race out"
        )
    if config.named_predictor is None:
        raise InputError(
            f"{where}: accuracy: {config.accuracy} needs a predictor: its name (oncefit predictor list "
            "shows them) or a .safetensors file"
        )
    if config.accuracy == BOTH and config.measure > config.trials:
        raise InputError(
            f"{where}: measure: {config.measure} of trials: {config.trials} cannot be; give at least as many trials"
        )
    if accuracy.name != "top1":
        raise InputError(
            f"{where}: predictors know top1 only, not {accuracy.name}; set objectives: [top1, ...]"
        )


def check_stop(config: RunConfig, where: str) -> None:
    """Raises InputError for a stop that the search has no use for, or whose watts nobody knows."""
    if config.stop is None:
        return
    if config.accuracy in (PREDICTED, BOTH):
        raise InputError(
            f"{where}: stop: is for trials that take energy, and accuracy is {config.accuracy}, which takes seconds; "
            f"set accuracy: {MEASURED}, or leave stop out"
        )
    if config.devices:
        raise InputError(
            f"{where}: stop: holds what a trial emits against what it saves on one device, and of several devices each "
            "trial may serve all; leave it out, or search for each device by itself"
        )
    if COST not in config.objectives:
        raise InputError(
            f"{where}: stop: ends a search for a lower {COST}, which is no objective here; set objectives: "
            f"[top1, {COST}], or leave stop out"
        )
    trial_kg(config.stop, 1.0)


def check_on_device(config: RunConfig, where: str) -> None:
    """Raises InputError where there is no budget that a measured latency could be held against, or no one device."""
    if config.verify_on_device is None:
        return
    asked = f"{where}: verify_on_device: {config.verify_on_device}"
    if config.devices:
        raise InputError(
            f"{asked} times subnets on one device, and there are several; leave it out, or search for one"
        )
    if latency_limit(config.budgets) is None:
        raise InputError(
            f"{asked} holds what is measured against a budget on latency, and there is none; give one, as "
            "--budget latency_ms=25, or leave it out"
        )


FREE_TO_CHANGE = ("trials", "stop", "measure", "supernet", "data", "predictor", "enqueue", "verify_on_device")
"""What a resumed run may change: how much it does, which archs it must not miss, and where files lie, whose hashes the study knows."""


def differences(old: RunConfig, new: RunConfig) -> list[str]:
    """What keeps ``new`` from continuing a run of ``old``."""
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    return [
        f"{key} was {before[key]!r} and is {after[key]!r}"
        for key in before
        if key not in FREE_TO_CHANGE and before[key] != after[key]
    ]


def to_yaml(document: documents.Document) -> str:
    return documents.dump(document.model_dump(mode="json"))
