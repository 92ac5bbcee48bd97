"""A page as one file of HTML that works without a network, and into which no name can bring markup."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from dataclasses import asdict
from functools import lru_cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from search.reports.page.blocks import Chart, Page, sort_key
from supernet.errors import InputError
from supernet.printable import STEERING, printable

LARGEST_PAGE = 5_000_000
"""Bytes of a page."""
ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""What would end a script, or begin something else in it."""


def page_html(page: Page, polled: str | None = None) -> str:
    """The page as HTML; one that is served is ``polled``: it loads itself anew when this text changes.

    Raises InputError for a page that would be too large to be sent around.
    """
    script, plotly = page_part("page.js"), plotly_source()
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=seen
    )
    template.filters["sort_key"] = sort_key
    made = template.from_string(page_part("page.html")).render(
        page=page,
        style=page_part("page.css"),
        script=script,
        plotly=packed_plotly(),
        data=in_script(chart_data(page, polled)),
        policy=policy(script, plotly, polled is not None),
        polled=polled,
    )
    if len(made.encode()) > LARGEST_PAGE:
        raise InputError(
            f"the page has {len(made.encode()):,} bytes, and {LARGEST_PAGE:,} are the most; report fewer runs at once"
        )
    return made


def seen(value: object) -> object:
    """What is inserted, in which no character steers the terminal of who looks at the source; parts of the page as they are."""
    return printable(value) if type(value) is str else value


def chart_data(page: Page, polled: str | None) -> dict[str, Any]:
    """The charts for the page's program; the texts of points, which several charts share, are there once."""
    texts: dict[str, int] = {}
    charts = [of_chart(chart, texts) for chart in page.charts]
    return {"charts": charts, "texts": list(texts), "polled": polled}


def of_chart(chart: Chart, texts: dict[str, int]) -> dict[str, Any]:
    """A chart whose points have places in ``texts``, which takes those that are new."""
    axes = [asdict(axis) for axis in chart.axes]
    traces = [
        {key: [texts.setdefault(text, len(texts)) for text in value] if key == "text" else value for key, value in trace.items()}
        for trace in chart.figure["data"]
    ]  # fmt: skip
    return {"name": chart.name, "figure": {**chart.figure, "data": traces}, "axes": axes}


def in_script(value: object) -> str:
    """JSON that may stand in a script of HTML."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escaped in ESCAPED.items():
        text = text.replace(character, escaped)
    return STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def policy(script: str, plotly: str, served: bool) -> str:
    """What a browser may do with the page: run these two programs and nothing else, and ask nobody but who serves it."""
    programs = " ".join(f"'sha256-{base64_sha256(text)}'" for text in (script, plotly))
    return (
        f"default-src 'none'; script-src {programs}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"connect-src {chr(39)}{'self' if served else 'none'}{chr(39)}; base-uri 'none'; form-action 'none'"
    )


def base64_sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def page_part(name: str) -> str:
    """A file that lies beside this module."""
    return files("search.reports.page").joinpath(name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def plotly_source() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


@lru_cache(maxsize=1)
def packed_plotly() -> str:
    """Plotly's program, compressed, since it would fill the page: browsers unpack gzip by themselves."""
    return base64.b64encode(gzip.compress(plotly_source().encode(), mtime=0)).decode()
