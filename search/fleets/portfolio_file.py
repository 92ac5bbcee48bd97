"""What a portfolio is asked: devices with weights and budgets, candidates, and how many subnets may be maintained.

run: runs/fleet                 # a run, or a search for several devices; or candidates: a CSV file
subnets: 2                      # maintained at most
slack: 0.03                     # share of every budget that is held back
devices:
  phone.yaml: {budgets: {latency_ms: 3.5}, count: 1000, requests_per_day: 40}
  host: {latency_ms: 0.12}      # counts once
minimize: co2e_mg               # in place of the greatest accuracy, with
floor: 0.91                     # the least accuracy that a subnet may have
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from cost_models.registry import ALIASES
from cost_models.variants import Variant, parse_device
from search.problem.confidence import plain_budgets
from search.problem.limits import check_limit
from search.problem.objectives import ACCURACIES
from search.runs.fleet_devices import DEVICES, full
from supernet import documents
from supernet.amounts import Count, CountOrNone, NameOrPath
from supernet.errors import InputError, short

PROOF_SECONDS = 20.0
"""For all proofs together."""


class ServedDevice(documents.Document):
    """One kind of device: ``count`` of them with so many requests a day each, and its budgets.

    ``columns`` name those of the CSV file that hold its costs, by cost.
    """

    device: str | Variant
    budgets: dict[str, float] = {}
    columns: dict[str, str] = {}
    count: CountOrNone = 1
    requests_per_day: float = Field(default=1.0, ge=0)

    @property
    def weight(self) -> float:
        """Requests a day of all of them."""
        return self.count * self.requests_per_day


class PortfolioFile(documents.Document):
    """See :mod:`search.fleets.portfolio_file`."""

    run: NameOrPath | None = None
    candidates: NameOrPath | None = None
    supernet: NameOrPath | None = None
    predictor: NameOrPath | None = None
    devices: tuple[ServedDevice, ...] = ()
    subnets: Count | None = None
    slack: float = Field(default=0.0, ge=0, lt=1)
    minimize: str | None = None
    floor: float | None = Field(default=None, gt=0, le=1)
    seconds: float = Field(default=PROOF_SECONDS, gt=0)

    @property
    def most(self) -> int:
        """Subnets that may be maintained."""
        assert self.subnets is not None  # checked when it was read
        return self.subnets


def read_portfolio(path: Path | None, overrides: Mapping[str, object]) -> PortfolioFile:
    """The portfolio of a YAML file with what was given beside it; a folder stands for ``run``.

    Raises InputError for a wrong file, and for what goes with nothing else that is asked.
    """
    data: dict[str, object] = {}
    where, folder = "the portfolio", Path()
    if path is not None and path.is_dir():
        data = {"run": str(path)}
    elif path is not None:
        data, where, folder = documents.load(path), str(path), path.parent
        data = {key: from_its_folder(key, value, folder) for key, value in data.items()}
    given = {key: value for key, value in overrides.items() if value is not None}
    data = {**data, **given}
    # a place that is given takes the place of the other kind, too
    for one, other in (("run", "candidates"), ("candidates", "run")):
        if one in given and other not in given:
            data.pop(other, None)
    if data.get(DEVICES) is not None:
        data[DEVICES] = parse_served(data[DEVICES], f"{where}: {DEVICES}", folder)
    asked = documents.check(data, PortfolioFile, where)
    check_asked(asked, where)
    return asked


def from_its_folder(key: str, value: object, folder: Path) -> object:
    """A path of a YAML file made absolute where it leads somewhere from its folder."""
    is_path = key in ("run", "candidates", "supernet", "predictor") and isinstance(value, str)
    return documents.from_folder(folder, str(value)) if is_path else value


def parse_served(given: object, where: str, folder: Path) -> list[dict[str, object]]:
    """Entries for :class:`ServedDevice`, of a list of devices or of a mapping of devices to budgets or to entries."""
    if isinstance(given, Mapping):
        pairs = [(device, entry_of_device(value)) for device, value in given.items()]
    elif isinstance(given, (list, tuple)):
        pairs = [device_and_rest(one) for one in given]
    else:
        raise InputError(
            f"{where}: got {short(given)}; devices are a list, as [{{device: host, budgets: {{latency_ms: 0.12}}}}], or "
            "a mapping, as {host: {latency_ms: 0.12}}"
        )
    found = []
    for device, rest in pairs:
        budgets = rest.get("budgets", {})
        named = plain_budgets(budgets) if isinstance(budgets, Mapping) else budgets
        found.append({**rest, "device": parse_device(full(device, folder), where, folder), "budgets": named})
    return found


def entry_of_device(value: object) -> dict[str, object]:
    """What stands beside a device's name: an entry's keys, or budgets."""
    if isinstance(value, ServedDevice):
        return value.model_dump(exclude={"device"})
    if value is None or isinstance(value, Mapping):
        value = dict(value or {})
        return value if set(value) & (set(ServedDevice.model_fields) - {"device"}) else {"budgets": value}
    return {"budgets": value}


def device_and_rest(one: object) -> tuple[object, dict[str, object]]:
    """A device of a list, and what stands beside it."""
    if isinstance(one, ServedDevice):
        return one.device, entry_of_device(one)
    if isinstance(one, Mapping) and "device" in one:
        return one["device"], {key: value for key, value in one.items() if key != "device"}
    return one, {}


def check_asked(asked: PortfolioFile, where: str) -> None:
    """Raises InputError for what is missing, or goes with nothing else that is asked."""
    if (asked.run is None) == (asked.candidates is None):
        raise InputError(
            f"{where}: give run, the folder of a search, or candidates, a CSV file with a row for each: one of them"
        )
    if asked.subnets is None:
        raise InputError(f"{where}: say how many subnets may be maintained: subnets: 2, or --subnets 2")
    if asked.run is not None and (asked.predictor is not None or asked.supernet is not None):
        raise InputError(
            f"{where}: supernet and predictor are of candidates in a CSV file; a run has its own"
        )
    if (asked.minimize is None) != (asked.floor is None):
        raise InputError(
            f"{where}: minimize and floor go together: without a floor of accuracy the cheapest subnet would be the answer, "
            "and what is most accurate needs none; give both, as minimize: co2e_mg and floor: 0.91, or neither"
        )
    if asked.minimize in ACCURACIES:
        raise InputError(
            f"{where}: minimize: {asked.minimize} is an accuracy; leave it out to have the greatest"
        )
    if asked.devices and not any(one.weight for one in asked.devices):
        raise InputError(
            f"{where}: {DEVICES}: count x requests_per_day is 0 for all of them, so that none counts; give one of them more"
        )
    for one in asked.devices:
        for name, limit in one.budgets.items():
            check_limit(limit, f"{where}: budget {name} =")


def resolved_cost(name: str) -> str:
    """A cost's name in place of its alias."""
    return ALIASES.get(name, name)
