"""Fronts of several runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oncefit.runs import Run
from search.reports import compare as comparing

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Comparison:
    """What a comparison found; hypervolumes are against one reference point."""

    found: comparing.Comparison

    @property
    def table(self) -> pd.DataFrame:
        """One row a run: size of its front, hypervolume (0 to 1), and the share that each other run dominates.

        Without the latter two where costs are of different devices, which are not one axis.
        """
        import pandas as pd

        rows = comparing.comparison_dict(self.found)["runs"]
        kept = [{n: row[n] for n in ("run", "front_size", "hypervolume") if n in row} for row in rows]
        shares = [
            {f"dominated_by {other}": share for other, share in row.get("share_dominated_by", {}).items()}
            for row in rows
        ]
        return pd.DataFrame([a | b for a, b in zip(kept, shares, strict=True)]).set_index("run")

    @property
    def best_within(self) -> pd.DataFrame:
        """The best accuracy within budgets of the cost: a row a run, a column a budget; NaN where none is within."""
        import pandas as pd

        name = self.found.axes[0].name
        rows = comparing.comparison_dict(self.found)["runs"]
        return pd.DataFrame(
            {row["run"]: {one["budget"]: one.get(name) for one in row["best_at"]} for row in rows},
            dtype=float,
        ).T

    def to_dict(self) -> dict[str, Any]:
        """All figures, as ``comparison.json`` has them, and the fronts."""
        return comparing.to_json(self.found)

    def plot(self) -> Figure:
        """All fronts in one figure."""
        return comparing.comparison_figure(self.found)

    def write(self, out: str | Path) -> list[Path]:
        """Write ``comparison.csv``, ``.png`` and ``.json`` into a folder; returns their paths."""
        return comparing.write_comparison(self.found, Path(out))

    def __repr__(self) -> str:
        return f"Comparison({', '.join(one.label for one in self.found.runs)})"

    def _repr_html_(self) -> str:
        return f"{self.table.to_html(float_format='{:.4f}'.format)}{self.best_within.to_html(float_format='{:.4f}'.format)}"


def compare(
    runs: Sequence[Run | str | Path],
    *,
    cost: str | None = None,
    at: Sequence[float] = (),
    storage: str | None = None,
) -> Comparison:
    """Compare the fronts of runs, or of their folders, in accuracy against one cost that all of them record.

    ``at`` are budgets of that cost. Raises InputError for fewer than two runs, for accuracies of other images, and
    for a cost that a run lacks.
    """
    folders = [run.folder if isinstance(run, Run) else Path(run) for run in runs]
    return Comparison(comparing.compare(folders, cost, list(at), storage))
