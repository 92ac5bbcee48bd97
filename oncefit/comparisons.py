"""Fronts of several runs side by side, and whether the runs differ by more than luck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oncefit.runs import Run
from search.reports.comparing import compare as comparing
from search.reports.comparing import verdict_words
from search.reports.comparing.comparison_markdown import to_markdown
from search.reports.comparing.front_area import parse_reference
from search.reports.comparing.worse import Judged, judged_sides
from supernet.messages import Say, say

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

    @property
    def verdicts(self) -> pd.DataFrame:
        """Every run against the first: a row a run and respect (chosen subnet, best within a budget, hypervolume).

        Columns as in ``comparison.json``: the ``difference``, new less base, in fractions, with ``low`` and ``high`` of its
        95 % interval; ``p_value_adjusted`` (Holm); ``verdict``, one of better, worse and not told apart, or None where
        ``missing`` says why there is none; ``images_needed`` and ``runs_needed`` for a difference as large as this.
        """
        import pandas as pd

        return pd.DataFrame(verdict_words.significance_dict(self.found.significance)["verdicts"])

    @property
    def reference_points(self) -> pd.DataFrame:
        """Hypervolumes by how far the reference point lies beyond the worst of all fronts: a row a share, a column a run."""
        import pandas as pd

        found = verdict_words.orders_dict(self.found.orders, [one.label for one in self.found.runs])
        rows = {one["share"]: one["hypervolumes"] for one in found["beyond_the_worst"]}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("beyond the worst")

    @property
    def order_depends_on_reference(self) -> bool:
        """Whether fronts change places between those reference points."""
        return verdict_words.depends(self.found.orders)

    def judge(self, metric: str | None = None, margin: float = 0.0) -> list[Judged]:
        """Whether each other run is worse than the first by more than ``margin``: ``new``, ``worse`` and a sentence, ``told``.

        ``metric`` is the accuracy, ``hypervolume`` or a cost; ``margin`` in the unit in which it is shown: percentage points
        of accuracy, shares of the box, ms. Raises InputError where it cannot be compared.
        """
        return judged_sides(self.found, metric, margin)

    def to_markdown(self, judgements: Sequence[Judged] = ()) -> str:
        """A summary for a pull request; ``judgements`` are what :meth:`judge` found."""
        return to_markdown(self.found, judgements)

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
        frames = [self.table, self.best_within, *_told_verdicts(self.found)]
        told = _told_beside(self.found)
        tables = "".join(frame.to_html(float_format="{:.4f}".format) for frame in frames)
        return f"{tables}<p>{'<br>'.join(map(escape, told))}</p>"


def _told_verdicts(found: comparing.Comparison) -> list[pd.DataFrame]:
    """The verdicts as the terminal shows them."""
    import pandas as pd

    accuracy, cost = found.axes
    rows = [
        {
            "run": one.new,
            "of": verdict_words.about_told(one, accuracy, cost),
            "difference": verdict_words.difference_told(one),
            "verdict": verdict_words.sentence(one),
        }
        for one in found.significance.verdicts
    ]
    return [pd.DataFrame(rows).set_index("run")] if rows else []


def _told_beside(found: comparing.Comparison) -> list[str]:
    """What is to be known beside the tables."""
    labels, folders = [one.label for one in found.runs], [str(one.run.folder) for one in found.runs]
    below = verdict_words.told_below(found.significance) if found.significance.verdicts else []
    order = [verdict_words.order_told(found.orders, labels)] if found.orders else []
    return [*below, *order, *verdict_words.significance_advice(found.significance, folders)]


def compare(
    runs: Sequence[Run | str | Path],
    *,
    cost: str | None = None,
    at: Sequence[float] = (),
    storage: str | None = None,
    reference: str | None = None,
    measure: bool = False,
    say: Say = say,
) -> Comparison:
    """Compare the fronts of runs, or of their folders, in accuracy against one cost that all of them record.

    ``at`` are budgets of that cost. Every run is held against the first, on the report images; with ``measure`` subnets are
    measured on them where it is not kept which they get right. Hypervolumes are against ``reference``: a percentage beyond
    the worst of all fronts, ``"5%"``, or values, ``"macs=3e6,top1=0.8"``. Raises InputError for fewer than two runs, for accuracies of other images, and
    for a cost that a run lacks.
    """
    folders = [run.folder if isinstance(run, Run) else Path(run) for run in runs]
    point = parse_reference(reference) if reference is not None else None
    return Comparison(comparing.compare(folders, cost, list(at), storage, point, measure, say))
