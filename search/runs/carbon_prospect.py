"""How a search that is told to stop by carbon stands: what its next trials may save, and what they take."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from search.runs.carbon_stop import COST, STOPPED, CarbonStop, Prospect, prospect, trial_kg
from search.runs.study import search_seconds
from supernet.messages import say

if TYPE_CHECKING:
    import optuna

    from search.runs.ledger import Ledger
    from search.runs.run import Run


def no_longer_pays(run: Run, study: optuna.Study, ledger: Ledger) -> bool:
    """Whether a search that is told so ends here; says so, and keeps why."""
    stop = run.config.stop
    if stop is None or len(ledger.known) < stop.after:
        return False
    found = carbon_so_far(run, stop, study, ledger)
    if found.pays:
        return False
    study.set_user_attr(STOPPED, asdict(found))
    say(
        f"stopping after {ledger.done} of {run.config.trials} trials: the next {found.trials} would emit "
        f"{found.takes_kg:.3g} kg of CO2e, and are not expected to save more than {found.saves_kg:.3g} kg in "
        f"{stop.requests:,.0f} requests"
    )
    return True


def carbon_so_far(run: Run, stop: CarbonStop, study: optuna.Study, ledger: Ledger) -> Prospect:
    """What the next trials are expected to save, and to take by what those that were made took on average."""
    worst = run.costs[COST](run.supernet.space.largest())
    in_turn = sorted(ledger.known.values(), key=lambda candidate: candidate.number)
    values = [c.costs[COST] if c.value("top1") >= stop.top1 else worst for c in in_turn]
    each = trial_kg(stop, search_seconds(study) / max(ledger.done, 1))
    return prospect(values, run.config.trials - ledger.done, stop.requests, each)
