"""How a search that is told to stop by carbon stands: what its next trials may save, and what they take."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from search.runs.carbon_stop import COST, STOPPED, CarbonStop, Prospect, prospect, trial_kg
from supernet.messages import say

if TYPE_CHECKING:
    import optuna

    from search.runs.ledger import Ledger
    from search.runs.run import Run


@dataclass(frozen=True)
class Watch:
    """What does not change while a search is looked at: its ``stop:`` and trials, what a request takes in milligrams
    where no trial reached ``top1``, and what a second of searching emits."""

    stop: CarbonStop
    trials: int
    worst_mg: float
    kg_per_second: float

    def ends(self, study: optuna.Study, ledger: Ledger) -> bool:
        """Whether the search ends here; says so, and keeps why."""
        if len(ledger.known) < self.stop.after:
            return False
        found = self.prospect(ledger)
        if found.pays:
            return False
        study.set_user_attr(STOPPED, asdict(found))
        say(
            f"stopping after {ledger.done} of {self.trials} trials: the next {found.trials} would emit "
            f"{found.takes_kg:.3g} kg of CO2e, and are not expected to save more than {found.saves_kg:.3g} kg in "
            f"{self.stop.requests:,.0f} requests"
        )
        return True

    def prospect(self, ledger: Ledger) -> Prospect:
        """What the next trials are expected to save, and to take by what those that were made took on average."""
        in_turn = sorted(ledger.known.values(), key=lambda candidate: candidate.number)
        values = [c.costs[COST] if c.value("top1") >= self.stop.top1 else self.worst_mg for c in in_turn]
        each = self.kg_per_second * ledger.seconds / max(ledger.done, 1)
        return prospect(values, self.trials - ledger.done, self.stop.requests, each)


def watch_of(run: Run) -> Watch | None:
    """None for a search that is not told to stop."""
    stop = run.config.stop
    if stop is None:
        return None
    worst = run.costs[COST](run.supernet.space.largest())
    return Watch(stop, run.config.trials, worst, trial_kg(stop, 1.0))


def begin_anew(study: optuna.Study) -> None:
    """Forget why the search ended when it was last made: it goes on now, and may be told otherwise."""
    if study.user_attrs.get(STOPPED) is not None:
        study.set_user_attr(STOPPED, None)
