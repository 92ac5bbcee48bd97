"""A few subnets for many devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oncefit.fleets import Fleet
from oncefit.runs import Run
from supernet.archs.arch import Arch
from supernet.messages import Say, say

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from search.reports.portfolio import ToldPortfolio


def fleet(
    file: str | Path | None = None,
    *,
    run: str | Path | Run | Fleet | None = None,
    candidates: str | Path | None = None,
    supernet: str | None = None,
    predictor: str | None = None,
    devices: Sequence[Mapping[str, object]] | Mapping[str, Mapping[str, object]] | None = None,
    subnets: int | None = None,
    slack: float | None = None,
    minimize: str | None = None,
    floor: float | None = None,
    seconds: float | None = None,
    measure: bool = True,
    say: Say = say,
) -> Portfolio:
    """At most ``subnets`` subnets for many devices, chosen among the candidates of one study (docs/fleet.md).

    ``file`` is a YAML file, or the folder of a search for several devices; what is given beside it takes the place of
    what it says. ``devices`` have ``budgets``, ``count``, ``requests_per_day`` and ``columns`` each, or budgets alone.
    ``slack`` is the share of every budget that is held back. The most accurate are chosen, or with ``minimize`` those
    with the least of a cost whose accuracy is ``floor`` or more. ``measure`` adds accuracies on the report split where
    the candidates were measured. Raises InputError for a device that no candidate serves.
    """
    from search.fleets.one_proxy import proxies_of
    from search.fleets.portfolio import make_portfolio, with_reports
    from search.fleets.portfolio_candidates import of_runs
    from search.fleets.portfolio_file import read_portfolio
    from search.reports.portfolio import ToldPortfolio

    folder = run.folder if isinstance(run, (Run, Fleet)) else run
    given = {
        "run": str(folder) if folder is not None else None,
        "candidates": str(candidates) if candidates is not None else None,
        "supernet": supernet, "predictor": predictor, "devices": devices, "subnets": subnets, "slack": slack,
        "minimize": minimize, "floor": floor, "seconds": seconds,
    }  # fmt: skip
    asked = read_portfolio(Path(file) if file is not None else None, given)
    pool = None
    if isinstance(run, Run):
        recorded = run.result.run
        pool = of_runs(run.folder, {recorded.where or run.folder.name: recorded})
    elif isinstance(run, Fleet):
        pool = of_runs(run.folder, run.result.fleet.runs)
    found = make_portfolio(asked, say, pool)
    return Portfolio(ToldPortfolio(with_reports(found, say) if measure else found, proxies_of(found)))


@dataclass(frozen=True, repr=False)
class Portfolio:
    """The subnets that are kept, and which device has which."""

    found: ToldPortfolio

    @property
    def subnets(self) -> tuple[str, ...]:
        """Ids of the kept subnets, or their names where the candidates were rows without archs."""
        made = self.found.portfolio
        return tuple(made.pool.names[place] for place in made.kept.kept)

    @property
    def archs(self) -> dict[str, Arch]:
        """The arch of each device, by its name; empty where the candidates were rows without archs."""
        made = self.found.portfolio
        archs = made.pool.archs
        pairs = zip(made.served, made.kept.of_device, strict=True)
        return {one.name: archs[place] for one, place in pairs} if archs else {}

    @property
    def lost(self) -> float:
        """What is lost against a subnet of its own for each device: points, or percent of the cost that is minimised."""
        return self.found.portfolio.kept.loss

    @property
    def lost_at_least(self) -> float:
        """What no choice of as many loses less than."""
        return max(0.0, self.found.portfolio.kept.bound)

    @property
    def table(self) -> pd.DataFrame:
        """One row a device, as ``portfolio.csv`` has them."""
        import pandas as pd

        from search.reports.portfolio import device_rows

        return pd.DataFrame(device_rows(self.found)).set_index("device")

    @property
    def curve(self) -> pd.DataFrame:
        """One row a number of subnets, as ``portfolio-curve.csv`` has them."""
        import pandas as pd

        from search.reports.portfolio import curve_rows

        return pd.DataFrame(curve_rows(self.found)).set_index("subnets")

    def to_dict(self) -> dict[str, Any]:
        """All figures, as ``portfolio.json`` has them."""
        from search.reports.portfolio import portfolio_dict

        return portfolio_dict(self.found)

    def plot(self) -> Figure:
        """What is lost against the number of subnets, and on each device."""
        from search.reports.portfolio_figure import portfolio_figure

        return portfolio_figure(self.found)

    def write(self, out: str | Path) -> list[Path]:
        """Write ``portfolio.csv``, ``portfolio-curve.csv``, ``.png`` and ``.json`` into a folder; returns their paths."""
        from search.reports.portfolio_written import write_portfolio

        return write_portfolio(self.found, Path(out))

    def __repr__(self) -> str:
        devices = len(self.found.portfolio.served)
        return f"Portfolio({', '.join(self.subnets)} for {devices} devices)"

    def _repr_html_(self) -> str:
        from search.reports.portfolio_tables import portfolio_legend

        told = "<br>".join(map(escape, portfolio_legend(self.found).splitlines()))
        return f"{self.table.to_html(float_format='{:.5g}'.format)}<p>{told}</p>"
