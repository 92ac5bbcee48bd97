"""Which trial may have an arch: one, however many processes propose at the same time, in any storage.

A storage of Optuna can do no more than write an attribute and read it, and with these no rule lets always one
of several win (Herlihy, 1991). But at most one is enough, since there are other archs: a trial writes down the
arch that it wants, then reads what all the others have, and where any of them has the same arch, it takes
another one. Of two trials that want the same, the one that wrote later reads what the other wrote, so that never
both keep it, in whatever order their steps come; at worst both take another. What they take then is drawn at
random with their numbers, lest they meet again and again.

This holds where a read that follows a write sees it, as in SQLite, PostgreSQL and journal files.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from search.feasible.neighbours import distinct, keys
from search.feasible.region import Region
from search.problem.problem import Problem
from search.proposing.around import ArchValues, Around
from search.proposing.history import History, codes_of, values_of
from search.storages.following import CLAIM, storage_of
from supernet.archs.space import Codes

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial

ATTEMPTS = 64
"""Archs that a trial claims at most, one after the other."""

NEAREST = 8
"""After a claim that was lost the next arch is one of the best so many, so that two trials part."""


def claim(
    study: Study,
    trial: FrozenTrial,
    proposals: Iterable[Codes],
    of_others: Callable[[], Container[bytes]],
) -> Codes | None:
    """The first of the proposals, each of shape (1, dimensions), that no other trial has; None if there is none.

    ``of_others`` reads the study and gives the keys of the archs that others have by now.
    """
    storage, _ = storage_of(study)
    for row in islice(proposals, ATTEMPTS):
        storage.set_trial_system_attr(trial._trial_id, CLAIM, row[0].tolist())
        if keys(row)[0] not in of_others():
            return row
    storage.set_trial_system_attr(trial._trial_id, CLAIM, [])
    return None


def claimable(
    proposals: Codes, region: Region, history: History, rng: np.random.Generator
) -> Iterator[Codes]:
    """``proposals`` (n, dimensions) as they are to be claimed: the first one, then any of the best that are left.

    After these, what is new in the region.
    """
    yield proposals[:1]
    left = proposals[1:]
    while len(left := distinct(left, history.seen)):
        place = int(rng.integers(min(len(left), NEAREST)))
        yield left[[place]]
        left = np.delete(left, place, axis=0)
    yield from anything_new(region, history.seen, rng)


def anything_new(region: Region, seen: Container[bytes], rng: np.random.Generator) -> Iterator[Codes]:
    """Archs of the region that are not in ``seen``, near its anchor."""
    fresh = region.fresh(seen)
    for place in rng.permutation(len(fresh)):
        yield fresh[[place]]


def claiming(sampler: BaseSampler, problem: Problem, seed: int) -> BaseSampler:
    """A sampler that claims what it proposes: as it is where it does so itself."""
    return sampler if getattr(sampler, "claims", False) else ClaimingSampler(sampler, problem, seed)


class ClaimingSampler(Around):
    """Proposes what ``inner`` draws, and draws again where another process has a trial of the same arch that is not finished.

    What is finished is left to ``inner`` to propose again: it costs nothing, since its figures are known.
    """

    claims = True

    def choose(
        self, study: Study, trial: FrozenTrial, draw: Callable[[], ArchValues], region: Region
    ) -> ArchValues:
        """The first of some draws that no other trial has; where there is none, anything new of the region."""
        space = self._problem.space
        rng = np.random.default_rng([self._seed, trial.number])
        drawn: list[ArchValues] = []

        def proposals() -> Iterator[Codes]:
            for _ in range(ATTEMPTS // 2):
                drawn.append(draw())
                row = codes_of(space, drawn[-1])
                assert row is not None  # every dimension was drawn
                yield row
            yield from anything_new(region, self._history.seen, rng)

        def of_others() -> Container[bytes]:
            self._history.follow(study, trial)
            return self._history.seen.others

        row = claim(study, trial, proposals(), of_others)
        return drawn[-1] if row is None or len(drawn) < ATTEMPTS // 2 else values_of(space, row[0])
