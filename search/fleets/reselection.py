"""A run made of the candidates of another one: under other budgets, or for another device, and without a trial.

What an arch is accurate to depends on no budget and no device, and what it costs is computed anew. So the candidates of
a study are trials of a study of their own, in a folder of its own that is a run like any other: it can be exported,
compared, and searched on. The study that they are from is only read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cost_models.device import Device
from cost_models.devices import open_device
from cost_models.registry import ALIASES
from cost_models.variants import Variant
from search.feasible.budget_messages import check_feasible, round_up, share_percent, together
from search.fleets.fleet import of_run
from search.fleets.fleet_trials import trial_with
from search.predictors.upper_bound import upper_bound
from search.problem.limits import over_budget, within
from search.proposing.samplers import GUIDED
from search.runs import study as studies
from search.runs.config import BOTH, MEASURED, NO_PREDICTOR, RunConfig, normalised, to_yaml
from search.runs.front import best, by_accuracy
from search.runs.opening import check_folder, make_run, write_down
from search.runs.results import Result, check_images, conclude, reported, settled
from search.runs.run import CONFIG, RESELECTED, Run
from search.runs.study import Candidate
from search.runs.trials import prove
from supernet import documents
from supernet.archs.arch import Arch
from supernet.atomic import check_writable
from supernet.errors import InputError
from supernet.messages import Say

if TYPE_CHECKING:
    import optuna

MEASURED_BY_DEFAULT = 1
"""Candidates that are measured on the report split where nothing is said."""


@dataclass(frozen=True)
class Reselection:
    """A run to be and the candidates of another that it is made of: ``within`` its budgets, of ``known`` that there are."""

    run: Run
    source: Run
    within: Sequence[Candidate]
    known: int


def reselect_run(
    source: Run,
    folder: Path,
    budgets: Mapping[str, float],
    device: str | Variant | None,
    measure: int | None,
    say: Say,
) -> Result:
    """The best of a run's candidates within ``budgets``, which take the place of its own of the same costs, on ``device``.

    Costs are computed for the device from its profile. The ``measure`` best are measured on the report split, those that
    are known already excepted. Raises InputError where no subnet keeps the budgets, where none of the candidates does,
    and where ``folder`` holds something else.
    """
    count = measured_count(source, measure)
    found = reselection(source, folder, budgets, device, say)
    study = write_reselection(found)
    result = conclude(found.run, say, measure=False)
    if count:
        several = len(found.run.problem.objectives) > 1
        ranked = by_accuracy(result.shown if several else result.candidates, found.run.axes)
        reported(found.run, study, ranked[:count], say)
        result = conclude(found.run, say, measure=False)
    return result


def measured_count(source: Run, asked: int | None) -> int:
    """How many candidates to measure. Raises InputError where nothing of the run is measured, and some shall be."""
    if asked is not None and asked < 0:
        raise InputError(f"--measure: got {asked}; give 0 or more candidates")
    if source.measures:
        return MEASURED_BY_DEFAULT if asked is None else asked
    if asked:
        raise InputError(
            f"--measure {asked}: the accuracies of {source.folder} are not measured ({source.config.accuracy}); leave it "
            "out: oncefit export measures the one that it exports"
        )
    return 0


def reselection(
    source: Run, folder: Path, budgets: Mapping[str, float], device: str | Variant | None, say: Say
) -> Reselection:
    """What is to be written, after every check that needs no writing."""
    config = reselected_config(source, budgets, device)
    if folder.resolve() == source.folder.resolve():
        raise InputError(
            f"{folder} is the run itself, whose study stays as it is; choose another folder with --out"
        )
    check_folder(folder, config)
    check_given_images(source)
    check_writable(folder)
    studies.check_database(folder)
    run = opened_for(source, folder, config, device, say)
    anchor = check_feasible(run.problem, run.where)
    everything = replace(source, problem=replace(source.problem, budgets={}))
    known = [of_run(candidate, run) for candidate in settled(everything, source.study())]
    kept = [candidate for candidate in known if within(candidate.costs, config.budgets)]
    if not kept:
        raise nothing_within(run, source, known, anchor)
    run = replace(run, config=config.model_copy(update={"trials": len(kept)}))
    return Reselection(run, source, kept, len(known))


def check_given_images(source: Run) -> None:
    """Raises InputError for other images than a run measured on, where they are not where its config has them.

    They would be written down as those of its accuracies, measured or not.
    """
    if source.measures and source.config.data != documents.read(source.folder / CONFIG, RunConfig).data:
        check_images(source)


def reselected_config(source: Run, budgets: Mapping[str, float], device: str | Variant | None) -> RunConfig:
    """The config of the run with those budgets and that device, and with nothing that would begin by itself."""
    before = source.config
    limits = {**before.budgets, **{ALIASES.get(name, name): limit for name, limit in budgets.items()}}
    if device is None and limits == before.budgets:
        raise InputError(
            f"nothing is asked for that {source.folder} was not searched with; give --budget COST=NUMBER, --device NAME, "
            "or both"
        )
    changed = {
        "budgets": limits,
        "device": before.device if device is None else device,
        "devices": (),
        "enqueue": (),
        "verify_on_device": None,
        "stop": None,
        "race": False,
    }
    if (
        before.accuracy == BOTH
    ):  # candidates are those that were measured; the predictor is where a search would begin
        kept = before.predictor if before.sampler == GUIDED else NO_PREDICTOR
        changed |= {"accuracy": MEASURED, "predictor": kept}
    return normalised(before.model_copy(update=changed), "reselect")


def opened_for(source: Run, folder: Path, config: RunConfig, device: str | Variant | None, say: Say) -> Run:
    """The run with its costs on the device; network, images and predictors are those that are open."""
    target: Device | None = source.device
    if device is not None:
        target = open_device(device, source.supernet, say)
    run = make_run(source.folder, config, source.supernet, target, None, kept=True, own=source.own)
    return replace(run, folder=folder, beside=source)


def nothing_within(run: Run, source: Run, known: Sequence[Candidate], anchor: Arch | None) -> InputError:
    """What is said where no candidate keeps the budgets: the nearest, a budget that it keeps, and what is within."""
    limits, where = run.config.budgets, f" on {run.where}" if run.where else ""
    told = f"none of the {len(known):,} candidates of {source.folder} is within the {together(run.problem)}{where}"
    if not known:
        return InputError(f"{source.folder} holds no candidate; the same oncefit search continues it")
    nearest = min(known, key=lambda c: max(over_budget(c.costs, limits).values()))
    over = {name: excess for name, excess in over_budget(nearest.costs, limits).items() if excess > 0}
    figures = ", ".join(
        f"{name} {nearest.costs[name]:.6g} ({share_percent(excess)} over)" for name, excess in over.items()
    )
    raised = " ".join(f"--budget {name}={round_up(nearest.costs[name]):g}" for name in over)
    there = ""
    if anchor is not None:
        costs = ", ".join(f"{name} {run.problem.costs[name](anchor):.6g}" for name in limits)
        there = f" The space has subnets within, as arch {anchor.id} ({costs}): {search_command(run, source)} finds the best."
    return InputError(
        f"{told}; the nearest is arch {nearest.arch.id}: {figures}, which would do with {raised}.{there}"
    )


def search_command(run: Run, source: Run) -> str:
    """The search that asks for the same from the beginning."""
    limits = " ".join(f"--budget {name}={limit:g}" for name, limit in run.config.budgets.items())
    device = run.config.device
    on = f" --device {device}" if isinstance(device, str) and device != source.config.device else ""
    return f"oncefit search {source.folder / CONFIG} {limits}{on} --out {run.folder}"


def write_reselection(found: Reselection) -> optuna.Study:
    """The run's folder with a study of its own; what is there already stays, and a kill in between does no harm."""
    run, before = found.run, found.source.study()
    images = {name: value for name, value in studies.identity_of(before).items() if name == "images"}
    origin = origin_of(found, before.study_name)
    reports = studies.saved(before, studies.REPORT)
    with studies.in_turn(run.folder, lambda: None):
        write_down(run)
        study = studies.open_study(run.folder, None, {**run.identity, **images}, create=True)
        check_origin(study, before.study_name, run.folder)
        documents.write_text(run.folder / CONFIG, to_yaml(run.config))
        study.set_user_attr(RESELECTED, origin)
        there = {candidate.arch.id for candidate in studies.candidates(study, run.problem)}
        study.add_trials([trial_with(run, c) for c in found.within if c.arch.id not in there])
        for candidate in found.within:
            if candidate.arch.id in reports:
                studies.save(study, candidate.arch, reports[candidate.arch.id])
        if run.predictor is not None and len(run.problem.objectives) == 1:
            prove(run, study)
    return study


def check_origin(study: optuna.Study, name: str, folder: Path) -> None:
    """Raises InputError for a study that is not of candidates of the study ``name``: it is left as it is."""
    origin = study.user_attrs.get(RESELECTED)
    if origin is None and not study.get_trials(deepcopy=False):
        return
    if origin is None or origin["study"] != name:
        what = "a search of its own" if origin is None else f"candidates of {origin['run']}"
        raise InputError(f"{folder} holds {what}, and is left as it is; choose another folder with --out")


def origin_of(found: Reselection, name: str) -> dict[str, object]:
    """What is kept of where the candidates are from, and what the predictor that a search would begin with bounds."""
    origin: dict[str, object] = {
        "run": str(found.source.folder),
        "study": name,
        "candidates": found.known,
        "within": len(found.within),
    }
    run = found.run
    if run.prior is None or len(run.problem.objectives) > 1:
        return origin
    codes = run.problem.space.encode([best(found.within, run.axes).arch])
    bound = upper_bound(run.problem, run.prior, codes)
    if bound is None:
        return origin
    predicted = float(run.prior.predict(run.problem.space, codes).top1[0])
    return origin | {"bound": {"predictor": run.prior.card.name, "top1": bound, "of_chosen": predicted}}
