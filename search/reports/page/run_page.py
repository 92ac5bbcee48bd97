"""The page of one run, section by section: what was asked, what was found, and how it is known."""

from __future__ import annotations

from importlib.metadata import version

from search.reports.comparing.against_chosen import against_chosen
from search.reports.page import charts
from search.reports.page.blocks import (
    Page,
    Section,
    Words,
)
from search.reports.page.candidate_sections import against_the_ends, the_front
from search.reports.page.evidence_sections import Serving, carbon_of, how_good_predictions_are, what_is_proven
from search.reports.page.folder_sections import again, bundles_of
from search.reports.page.question_section import what_was_searched
from search.reports.page.result_section import what_was_found
from search.reports.page.search_sections import how_it_went, what_matters
from search.reports.page.shipping_section import which_to_ship
from search.reports.units import counted
from search.runs.results import Result
from search.runs.run import Run
from search.runs.study import proposals


def page_of_run(run: Run, result: Result | None, serving: Serving | None = None) -> Page:
    """All that is known of a run now; ``result`` is None where nothing was found yet."""
    study = run.study()
    sections = [what_was_searched(run, study)]
    if result is None:
        waiting = Words([f"No candidate yet: {counted(proposals(study), 'proposal')} so far."])
        sections.insert(0, Section("result", "Result", [waiting]))
    else:
        texts, verdicts = charts.texts_of(result), against_chosen(result)
        sections = [
            what_was_found(result),
            *which_to_ship(result, verdicts),
            sections[0],
            the_front(result, texts),
            against_the_ends(result, study, verdicts),
            how_it_went(result, study, texts),
            what_matters(result, study),
            how_good_predictions_are(result),
            carbon_of(result, serving),
            what_is_proven(result),
            bundles_of(run),
        ]
    sections.append(again(run))
    goal = "The most accurate subnets" if len(run.config.objectives) == 1 else "The front of subnets"
    return Page(
        f"oncefit: {run.folder}",
        f"{goal} of {run.supernet.name}{f' for {run.where}' if run.where else ''}",
        sections,
        footer(),
    )


def footer() -> list[str]:
    return [
        f"Written by oncefit {version('oncefit')}. This file needs no network: charts are drawn by Plotly, which is in it.",
        "Predicted and measured are different words here: what is measured was run, on images or on the device.",
    ]
