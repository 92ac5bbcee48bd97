"""Pages of run folders: opened, made and written; nothing in a run is changed but what is asked to be measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cost_models.deployment import read_deployment
from search.reports.comparing import compare
from search.reports.page.blocks import Page
from search.reports.page.comparison_page import page_of_comparison
from search.reports.page.evidence_sections import Serving
from search.reports.page.run_page import page_of_run
from search.reports.page.writing import page_html
from search.runs.report_hits import measure_hits
from search.runs.results import Result, so_far
from search.runs.run import Run
from supernet import documents
from supernet.errors import InputError
from supernet.messages import Say

REPORT_HTML = "report.html"


def serving_of(deployment: Path | Mapping[str, object] | None) -> Serving | None:
    """The deployment of a YAML file, or of the same as a mapping."""
    if deployment is None:
        return None
    if isinstance(deployment, Path):
        return Serving(*read_deployment(deployment, {}))
    return Serving(*read_deployment(None, dict(deployment)))


def page_of_several(
    folders: Sequence[Path], cost: str | None = None, at: Sequence[float] = (), storage: str | None = None
) -> Page:
    """Runs compared in ``cost``, at budgets ``at``. Raises InputError for those that cannot be compared."""
    found = compare.compare(folders, cost, at, storage)
    return page_of_comparison(found, [result_in(one.run) for one in found.runs])


def page_of_one(run: Run, serving: Serving | None = None) -> Page:
    """A run as far as it is."""
    return page_of_run(run, so_far(run), serving)


def result_in(run: Run) -> Result:
    found = so_far(run)
    assert found is not None  # a comparison has refused a run without candidates
    return found


def write_page(page: Page, path: Path) -> Path:
    """Write it as one file of HTML, whole or not at all."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a file in it, as --out {path / REPORT_HTML}")
    documents.write_text(path, page_html(page))
    return path


def default_page(folders: Sequence[Path], cost: str | None) -> Path:
    """In the run's folder, of several in that of their comparison."""
    folder = folders[0] if len(folders) == 1 else compare.default_folder(folders, cost)
    return folder / REPORT_HTML


def measure_ends(run: Run, say: Say) -> None:
    """Measure the smallest and the largest subnet of a run's space on the report split, and keep in the study what is right.

    Raises InputError where accuracies of the run are not measured.
    """
    if not run.measures:
        raise InputError(
            f"accuracies of {run.folder} are {run.kind}, not measured, so neither can those of its ends be"
        )
    measure_hits(run, run.study(), [run.supernet.space.smallest(), run.supernet.space.largest()], say)
