"""A run and a deployment as a carbon ledger: two plans side by side, and when one has paid for the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cost_models.at_work import emitted_at_work, watts_at_work
from cost_models.carbon_ledger import MG_PER_KG, BreakEven, Plan, break_even
from cost_models.deployment import ESTIMATED, Deployment, Emitted, Inference, of_tracked, one_share
from cost_models.device import Power
from cost_models.energy import MG_PER_G, MJ_PER_KWH, Work, co2e_range, energy_range, power_of, work_of
from cost_models.grid import Place, carbon_intensity
from cost_models.host import region_of_this_machine
from cost_models.protocol import Target
from cost_models.ranges import ZERO, Range
from cost_models.registry import build
from cost_models.runtimes.registry import processors
from cost_models.tracking import TRACKED, read_tracked
from search.fleets.fleet import fleet_of
from search.reports.export import picked
from search.reports.words import how_known
from search.runs.results import Result
from search.runs.run import Run
from search.runs.study import search_seconds
from supernet.archs.arch import Arch
from supernet.errors import InputError

LARGEST = "largest"
"""The baseline where none is given: the largest subnet, which needs no search."""
TAKEN_ALIKE = ("training", "embodied")
"""What every subnet of a supernet takes alike."""


@dataclass(frozen=True)
class TwoPlans:
    """Two plans of a deployment; ``notes`` say of each figure how it is known, ``saved_mg`` is that of a request."""

    specialised: Plan
    baseline: Plan | None
    requests: float
    saved_mg: Range | None
    notes: Mapping[str, str]
    region: str

    @property
    def pays_after(self) -> BreakEven | None:
        """After how many requests specialising has paid for itself; None without a baseline."""
        if self.baseline is None or self.saved_mg is None:
            return None
        return break_even(extra_kg(self.specialised, self.baseline), self.saved_mg)

    @property
    def saved_kg(self) -> Range | None:
        """What specialising saves in the whole life, less what it takes once."""
        if self.baseline is None or self.saved_mg is None:
            return None
        return self.saved_mg * (self.requests / MG_PER_KG) - extra_kg(self.specialised, self.baseline)


def extra_kg(specialised: Plan, baseline: Plan) -> Range:
    """What specialising takes more, once; what both take alike is no uncertainty of the difference."""
    total = ZERO
    for name in dict.fromkeys([*specialised.once_kg, *baseline.once_kg]):
        mine, other = specialised.once_kg.get(name, ZERO), baseline.once_kg.get(name, ZERO)
        total = total + (ZERO if mine == other else mine - other)
    return total


@dataclass(frozen=True)
class Served:
    """One inference: the work of a subnet for a device of known power, or a figure that is given."""

    name: str
    work: Work | None = None
    given: Inference | None = None

    def mj(self, power: Power | None) -> Range | None:
        """Millijoules, where they are known."""
        if self.work is not None:
            assert power is not None
            return energy_range(power, self.work)
        return self.given.mj if self.given is not None else None

    def mg(self, power: Power | None, place: Place | None) -> Range:
        if self.work is not None:
            assert power is not None
            assert place is not None
            return co2e_range(power, place, self.work)
        assert self.given is not None
        return self.given.mg_in(place)


def saved_mg(mine: Served, other: Served, power: Power | None, place: Place | None) -> Range:
    """What a request saves; of two subnets the same figures of power hold for both, of two energies the same grid."""
    if mine.work is not None and other.work is not None:
        assert power is not None
        assert place is not None
        return co2e_range(power, place, other.work - mine.work)
    my_mj, other_mj = mine.mj(power), other.mj(power)
    if my_mj is not None and other_mj is not None and place is not None:
        return (other_mj - my_mj) * carbon_intensity(place).range * (MG_PER_G / MJ_PER_KWH)
    return other.mg(power, place) - mine.mg(power, place)


def ledger(
    deployment: Deployment, folder: Path, result: Result | None = None, which: str = "best"
) -> TwoPlans:
    """The ledger of a deployment, and of a run's subnet if there is one; paths in the deployment are from ``folder``.

    Raises InputError for what is missing: power or region of the run's device, or an inference without a run.
    """
    run = result.run if result is not None else None
    place = deployment.region or (run.device.region if run is not None and run.device is not None else None)
    power = power_in(run, place) if run is not None else None
    mine = specialised_of(deployment, result, which)
    other = baseline_of(deployment, result)
    once = spent(deployment, folder, place, run)
    notes = {name: f"{found.known}: {found.of}" for name, found in once.items()}
    notes["inference"] = told_inference(mine, run)
    kg = {name: found.kg for name, found in once.items()}
    plan = Plan(mine.name, kg, mine.mg(power, place))
    region = str(place) if place is not None else ""
    if other is None:
        return TwoPlans(plan, None, deployment.requests, None, notes, region)
    theirs = {name: found for name, found in kg.items() if name in TAKEN_ALIKE}
    if other.given is not None:
        theirs = {name: found for name, found in kg.items() if name == "embodied"}
        if other.given.training is not None:
            theirs["training"] = other.given.training.emitted(place, folder).kg
    against = Plan(other.name, theirs, other.mg(power, place))
    return TwoPlans(plan, against, deployment.requests, saved_mg(mine, other, power, place), notes, region)


def specialised_of(deployment: Deployment, result: Result | None, which: str) -> Served:
    """The run's subnet, or the deployment's own figure. Raises InputError for both and for none."""
    if result is None:
        if deployment.inference is None:
            raise InputError(
                "a ledger needs one inference: give a RUN, or inference: {mj: 0.4} or {mg: 0.05} in the deployment"
            )
        return Served(deployment.inference.name or "specialised", given=deployment.inference)
    if deployment.inference is not None:
        raise InputError(
            "inference: is for a ledger without a run, and this run's device estimates it; leave one out"
        )
    arch = picked(result, which).arch
    return Served(f"specialised {arch.id}", work=work_in(result.run, arch))


def baseline_of(deployment: Deployment, result: Result | None) -> Served | None:
    """What it is held against: given, the largest subnet of a run's space, an arch of the run, or a bundle's."""
    given = deployment.baseline
    if isinstance(given, Inference):
        return Served(given.name or "baseline", given=given)
    if result is None:
        if given is not None:
            raise InputError(
                f"baseline {given!r} is of a run, and there is none: give RUN, or baseline: {{mj: 8.1}} or {{mg: 0.6}}"
            )
        return None
    arch = arch_called(LARGEST if given is None else given, result)
    name = LARGEST if given in (None, LARGEST) else "baseline"
    return Served(f"{name} {arch.id}", work=work_in(result.run, arch))


def arch_called(name: str, result: Result) -> Arch:
    """``largest``, the start of a candidate's id, or a bundle's folder. Raises InputError for anything else."""
    run = result.run
    if name == LARGEST:
        return run.supernet.space.largest()
    if (Path(name) / "card.json").is_file():
        return of_bundle(Path(name), run)
    found = [c.arch for c in result.candidates if name and c.arch.id.startswith(name)]
    if len(found) != 1:
        raise InputError(
            f"baseline {name!r} is {'no' if not found else f'{len(found)}'} candidates of {run.folder} and no bundle; "
            f"give {LARGEST}, the id of a candidate, the folder of a bundle, or {{mj: 8.1}} or {{mg: 0.6}} in the deployment"
        )
    return found[0]


def of_bundle(folder: Path, run: Run) -> Arch:
    """A bundle's arch, which must be of the run's supernet."""
    from supernet.bundles.bundle import open_bundle
    from supernet.bundles.bundle_card import read_card

    card = read_card(folder)
    if card.supernet.fingerprint != run.supernet.fingerprint:
        raise InputError(
            f"the bundle {folder} is of {card.supernet.name} ({card.supernet.fingerprint}), not of {run.supernet.name} "
            f"({run.supernet.fingerprint}), for which the run's device predicts; give baseline: {{mj: ...}} instead"
        )
    return open_bundle(folder).arch


def power_in(run: Run, place: Place | None) -> Power:
    """The power of a run's device. Raises InputError where that or the region is not known."""
    if run.device is None:
        raise InputError(
            f"{run.folder} was searched without a device, so nothing is known of its energy; search with "
            "device: host, for example"
        )
    power = power_of(run.device, "a carbon ledger")
    if place is None:
        raise InputError(
            f"device {run.device.name!r} has no region, which a carbon ledger needs: give --region"
        )
    return power


def work_in(run: Run, arch: Arch) -> Work:
    """What an arch of a run's supernet takes energy for, by the latency of the run's device. Raises InputError without one."""
    if "latency_ms" not in run.costs:
        device = run.device.name if run.device is not None else "none"
        raise InputError(
            f"device {device!r} has power figures and no latency for {run.supernet.name}, and energy is power x time: "
            f"measure it (oncefit profile --help) and search again with it, or give inference: {{mj: 0.4}} without a RUN"
        )
    # of this arch alone: a bundle's may be outside of what the run's space leaves, where the run's own cost knows nothing
    alone = run.supernet.restricted({dimension: (choice,) for dimension, choice in arch.choices})
    return work_of(build("latency_ms", Target(alone, run.device))(arch), run.supernet.layers(arch))


def told_inference(mine: Served, run: Run | None) -> str:
    if run is None or run.device is None:
        return "given: in the deployment"
    how = how_known("energy_mj", run.power_meter)
    return f"{how}: {run.device.name}{', assumed power' if run.power_meter is None else ''}"


# -- what is emitted once ----------------------------------------------------------


def spent(deployment: Deployment, folder: Path, place: Place | None, run: Run | None) -> dict[str, Emitted]:
    """What is emitted once, by what for; the search of a run as it was tracked, else by wall time and static power."""
    found = {
        name: emission.emitted(place, folder)
        for name in ("training", "search", "finetuning")
        if (emission := getattr(deployment, name)) is not None
    }
    if run is not None and "search" not in found:
        found["search"] = of_search(run)
    if deployment.embodied is not None:
        one = deployment.embodied.emitted(place, folder)
        found["embodied"] = Emitted(
            one.kg * deployment.devices, one.known, f"{one.of}; x {deployment.devices:,}"
        )
    return found


def of_search(run: Run) -> Emitted:
    """What a run's search emitted where it was searched; of a search for several devices its share of all of it."""
    fleet = fleet_of(run)
    if fleet is None:
        return of_searching(run.folder, [run])
    return one_share(of_searching(fleet.folder, [*fleet.runs.values()]), len(fleet.runs))


def of_searching(folder: Path, runs: Sequence[Run]) -> Emitted:
    """What was emitted in searching: as it was tracked in a folder, else by the time that the runs took."""
    if (folder / TRACKED).is_file():
        return of_tracked(read_tracked(folder / TRACKED))
    seconds = sum(search_seconds(run.study()) for run in runs)
    watts, place = watts_at_work(), region_of_this_machine()
    made = emitted_at_work(seconds, watts, place)
    return Emitted(
        made.kg, ESTIMATED, f"{seconds:,.0f} s x {watts.value:g} W of {processors()} cores in {place}"
    )


# -- for programs -----------------------------------------------------------------


def ledger_dict(found: TwoPlans) -> dict[str, Any]:
    """What ``--json`` prints; kilograms with their ranges, and null for what never comes."""
    plans = {"specialised": found.specialised, "baseline": found.baseline}
    made: dict[str, Any] = {"region": found.region, "requests": found.requests}
    for name, plan in plans.items():
        if plan is not None:
            made[name] = plan_dict(plan, found.requests)
    made["known"] = dict(found.notes)
    if found.pays_after is not None and found.saved_mg is not None and found.saved_kg is not None:
        made["saved_mg_per_request"] = ends(found.saved_mg)
        made["saved_kg"] = ends(found.saved_kg)
        pays = found.pays_after
        made["break_even_requests"] = {"low": pays.low, "value": pays.value, "high": pays.high}
        if pays.until != (None, None, None):
            made["pays_until_requests"] = dict(zip(("best", "value", "worst"), pays.until, strict=True))
    return made


def plan_dict(plan: Plan, requests: float) -> dict[str, Any]:
    return {
        "name": plan.name,
        "once_kg": {name: ends(kg) for name, kg in plan.once_kg.items()},
        "per_request_mg": ends(plan.per_request_mg),
        "inference_kg": ends(plan.inference_kg(requests)),
        "total_kg": ends(plan.total_kg(requests)),
    }


def ends(found: Range) -> dict[str, float]:
    return {"low": found.low, "value": found.value, "high": found.high}
