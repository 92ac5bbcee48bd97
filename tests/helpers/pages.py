"""Runs that have a page, and what a page is made of when it is parsed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import yaml

import oncefit
from supernet.families.catalog import Supernet
from tests.helpers.own_predictor import make_mlp, write_mlp
from tests.helpers.tiny import write_device

HOSTILE = "</script><img src=x onerror=alert(1)>\u2028'\"&lt;{{7*7}}%{x}"
HOSTILE_NAME = HOSTILE.replace("\u2028", "")
"""What may be a name, which has no end of a line."""
"""A name that would be markup, or end a script, or be a template's, in a page that does not escape it."""
VOID = {"meta", "link", "img", "br", "hr", "input"}


def measured_run(folder: Path, images: Path, device: Path) -> oncefit.Run:
    """Six subnets measured on a few images, within a latency budget that some proposals break."""
    return oncefit.search(
        "fmnist_mbv3", out=folder, data=images, device=str(device), budgets={"latency_ms": 0.15}, sampler="tpe",
        trials=6, seed=3, say=lambda _: None,
    )  # fmt: skip


def predicted_run(folder: Path, supernet: Supernet, seed: int = 0, trials: int = 22) -> oncefit.Run:
    """A front by a predictor that was drawn, proposed by a sampler: enough trials for the importance of dimensions."""
    predictor = folder.parent / "drawn.safetensors"
    if not predictor.exists():
        write_mlp(supernet, predictor)
    return oncefit.search(
        "fmnist_mbv3", out=folder, accuracy="predicted", predictor=str(predictor), objectives=["top1", "macs"],
        sampler="random", trials=trials, seed=seed, say=lambda _: None,
    )  # fmt: skip


def hostile_device(supernet: Supernet, path: Path) -> Path:
    """A device whose name, processor and power's source are :data:`HOSTILE`, as far as they may be."""
    write_device(supernet, path)
    keys = yaml.safe_load(path.read_text())
    keys |= {"name": HOSTILE_NAME, "cpu": HOSTILE, "power": keys["power"] | {"source": HOSTILE}}
    path.write_text(yaml.safe_dump(keys))
    return path


def hostile_predictor(supernet: Supernet, path: Path) -> Path:
    from search.predictors.files import write_predictor

    made = make_mlp(supernet)
    card = made.card.model_copy(update={"name": HOSTILE_NAME, "split": HOSTILE})
    write_predictor(type(made)(card, *list(vars(made).values())[1:]), path)
    return path


@dataclass
class Parsed(HTMLParser):
    """A page as a browser would read it: elements with their attributes, all text, and what does not nest."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    text: str = ""
    faults: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
            return
        if {"td", "th"} & set(self.open[-2:]):
            self.cells[-1] += data
        self.text += data

    def attribute(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.elements if name in attrs]

    @property
    def charts(self) -> dict[str, dict[str, Any]]:
        """Charts by name, as Plotly is told."""
        data = json.loads(self.scripts[0])
        for trace in (trace for chart in data["charts"] for trace in chart["figure"]["data"]):
            if "text" in trace:
                trace["text"] = [data["texts"][place] for place in trace["text"]]
        return {chart["name"]: chart for chart in data["charts"]}


def parsed(html: str) -> Parsed:
    found = Parsed()
    found.feed(html)
    found.close()
    assert not found.open, f"{found.open} are not closed"
    return found
