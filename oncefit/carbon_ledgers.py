"""What a deployment emits, and after how many requests specialising has paid for itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cost_models.deployment import read_deployment
from oncefit.runs import Run, open_run
from search.reports import carbon as ledgers
from supernet import documents
from supernet.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEDGER_JSON, LEDGER_PNG = "carbon.json", "carbon.png"


def carbon(
    run: str | Path | Run | None = None,
    deployment: str | Path | Mapping[str, object] | None = None,
    *,
    requests_per_day: float | None = None,
    life_days: float | None = None,
    devices: int | None = None,
    region: str | None = None,
    baseline: str | None = None,
    pick: str = "best",
) -> Carbon:
    """The carbon ledger of a run's subnet and a deployment, a YAML file or the same as a mapping (docs/carbon.md).

    The other arguments override it. Without a run the deployment gives ``inference``. Raises InputError for what
    is missing or wrong.
    """
    given: dict[str, object] = {
        "requests_per_day": requests_per_day, "life_days": life_days, "devices": devices, "region": region,
        "baseline": baseline,
    }  # fmt: skip
    file = None
    if isinstance(deployment, Mapping):
        given = {**deployment, **{key: value for key, value in given.items() if value is not None}}
    elif deployment is not None:
        file = Path(deployment)
    if run is None and pick != "best":
        raise InputError(f"--pick {pick} is of a run, and there is none: give RUN, or leave it out")
    opened = run if isinstance(run, Run) or run is None else open_run(run)
    told, folder = read_deployment(file, given)
    return Carbon(ledgers.ledger(told, folder, opened.result if opened is not None else None, pick))


@dataclass(frozen=True)
class Carbon:
    """A ledger: two plans, what they emit, and the break-even."""

    found: ledgers.TwoPlans

    @property
    def break_even_requests(self) -> float | None:
        """After how many requests specialising has paid for itself, by the central estimates; None for never."""
        pays = self.found.pays_after
        return pays.value if pays is not None else None

    def to_dict(self) -> dict[str, Any]:
        """All figures, as ``carbon.json`` has them."""
        return ledgers.ledger_dict(self.found)

    def plot(self) -> Figure:
        """Cumulative CO2e against requests."""
        from search.reports.carbon_tables import figure

        return figure(self.found)

    def write(self, folder: str | Path) -> list[Path]:
        """Write ``carbon.json`` and ``carbon.png`` into a folder; returns their paths."""
        from search.reports.carbon_tables import draw

        js, png = (Path(folder) / name for name in (LEDGER_JSON, LEDGER_PNG))
        documents.write_text(js, json.dumps(self.to_dict(), indent=2) + "\n")
        draw(self.found, png)
        return [js, png]
