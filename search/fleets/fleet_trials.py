"""The trials of several devices' runs: proposed for one device after the other, each arch evaluated once for all."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count, cycle
from typing import TYPE_CHECKING

from search.feasible.budget_messages import check_feasible
from search.fleets.fleet import Fleet, ShowMember, keeps, of_run, remember, write_fleet
from search.problem.limits import over_budget
from search.proposing.distributions import distributions
from search.runs import enqueued
from search.runs import study as studies
from search.runs.config import to_yaml
from search.runs.front import best
from search.runs.ledger import Ledger
from search.runs.opening import write_down
from search.runs.run import CONFIG, Progress, Run
from search.runs.study import SHARED, Candidate
from search.runs.trials import PROPOSALS_PER_TRIAL, attempt, begin, enqueue, full_values
from search.runs.trials import search as search_one
from search.storages.following import ARCH_ID, ended_trials
from search.storages.workers import Worker, at_work
from supernet import documents
from supernet.archs.arch import Arch

if TYPE_CHECKING:
    import optuna


@dataclass
class Member:
    """One device's part; ``told`` are the ids of the archs that its study has, ``witness`` an arch within its budgets."""

    label: str
    run: Run
    study: optuna.Study
    worker: Worker
    ledger: Ledger
    witness: Arch | None
    told: set[str]
    asked_witness: bool = False


def search_fleet(fleet: Fleet, progress: ShowMember) -> None:
    """Evaluate as many archs as the config says, all devices' together; continues after a kill.

    Where accuracies are predicted nothing is shared, as they cost nothing, and each device is searched for by itself.
    One process at a time: InputError where another one searches in the folder.
    """
    with studies.exclusive(fleet.folder):
        write_fleet(fleet)
        if fleet.first.predictor is not None:
            remember(fleet)
            for label, run in fleet.runs.items():
                search_one(run, partial(progress, label))
            return
        with ExitStack() as stack:
            together = [begun(stack, fleet, label) for label in fleet.runs]
            share(together)
            enqueue_first(fleet, together)
            take_turns(fleet, together, progress)


def begun(stack: ExitStack, fleet: Fleet, label: str) -> Member:
    """A device's run, ready for trials."""
    run = fleet.runs[label]
    witness = check_feasible(run.problem, run.where)
    with studies.in_turn(run.folder, lambda: None):
        write_down(run)
        study = run.study(create=True)
        documents.write_text(run.folder / CONFIG, to_yaml(run.config))
    stack.enter_context(studies.still_there(study))
    worker = stack.enter_context(at_work(run.folder))
    ledger = begin(run, study, worker, None)
    told = {trial.user_attrs[ARCH_ID] for trial in ended_trials(study) if SHARED in trial.user_attrs}
    return Member(label, run, study, worker, ledger, witness, told)


def enqueue_first(fleet: Fleet, together: list[Member]) -> None:
    """A trial that waits for each arch that is to come first, on the first device that it is within budget on.

    Raises InputError where there are not as many trials left.
    """
    missing = list(fleet.enqueued)
    for member in together:
        missing = member.ledger.missing(missing)
    enqueued.check_room(fleet.config.trials, evaluated(together), len(missing))
    for member in together:
        mine = [arch for arch in missing if keeps(member.run, arch)]
        enqueue(member.run, member.study, member.ledger, mine)
        missing = [arch for arch in missing if arch not in mine]


def take_turns(fleet: Fleet, together: list[Member], progress: ShowMember) -> None:
    """A trial for each device in turn, until there are as many archs as the config says; those that wait come first."""
    wanted = fleet.config.trials
    turns = cycle(together)
    for proposals in count():
        member = next((m for m in together if m.ledger.waiting), None) or next(turns)
        done = evaluated(together)
        progress(member.label, progress_of_member(member, done, wanted, proposals))
        if done >= wanted or proposals >= PROPOSALS_PER_TRIAL * wanted:
            return
        ask_for_witness(member)
        attempt(member.run, member.study, member.ledger, member.worker)
        member.ledger.follow()
        share(together)


def evaluated(together: list[Member]) -> int:
    """The distinct archs that have an accuracy."""
    return len({arch_id for member in together for arch_id in member.ledger.known})


def progress_of_member(member: Member, done: int, wanted: int, proposals: int) -> Progress:
    known = list(member.ledger.known.values())
    return Progress(done, wanted, proposals, best(known, member.run.axes) if known else None)


def ask_for_witness(member: Member) -> None:
    """A device that has no candidate yet gets the arch that is known to be within its budgets, once."""
    if member.witness is None or member.ledger.known or member.asked_witness:
        return
    member.asked_witness = True
    member.study.enqueue_trial(full_values(member.run.problem.space, member.witness))
    member.ledger.follow()


def share(together: list[Member]) -> None:
    """Every arch that has an accuracy in one study gets a trial in all the others."""
    found = {arch_id: c for member in together for arch_id, c in member.ledger.known.items()}
    for member in together:
        member.told.update(member.ledger.known)
        new = [candidate for arch_id, candidate in found.items() if arch_id not in member.told]
        if new:
            member.study.add_trials([trial_with(member.run, candidate) for candidate in new])
            member.told.update(candidate.arch.id for candidate in new)
            member.ledger.follow()


def trial_with(run: Run, candidate: Candidate) -> optuna.trial.FrozenTrial:
    """What another device's run evaluated, as a trial of ``run``; one that is over a budget there says by how much."""
    import optuna

    found = of_run(candidate, run)
    attributes = studies.attributes(found.arch, found.costs, found, run.problem.objectives[0].name)
    return optuna.trial.create_trial(
        params=full_values(run.problem.space, found.arch),
        distributions=distributions(run.problem.space),
        values=[found.value(o.name) for o in run.problem.objectives],
        constraints=over_budget(found.costs, run.config.budgets),
        user_attrs={**attributes, SHARED: True},
    )
