"""What is written of a run whose folder is called to harm: terminal, page, pictures, CSV and Markdown have it as a name."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import oncefit
from search.reports.comparing.comparison_markdown import escaped
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from supernet.printable import STEERING
from tests.helpers.guarded import ended
from tests.helpers.pages import parsed, predicted_run

NAME = "=1+1[∕x][red]$\\frac{$`|<b onload=a()>"
"""A formula, markup of rich, of matplotlib, of Markdown and of HTML."""
STEERS = "\x1b[31m\x1b]0;t\x07\u202eother"


@pytest.fixture(scope="module")
def runs(supernet: Supernet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of both names."""
    folder = tmp_path_factory.mktemp("hostile")
    predicted_run(folder / NAME, supernet, 0, trials=3)
    predicted_run(folder / "other", supernet, 1, trials=3)
    (folder / "other").rename(folder / STEERS)  # what is written anew may not be called so
    return folder


def test_the_terminal(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(runs)
    Path("plain").symlink_to(STEERS)
    code, said = ended(capsys, ["compare", NAME, "plain", "--out", "compared"])
    assert code == 0, said
    assert NAME[:12] in said
    assert ended(capsys, ["plot", NAME, "--format", "svg"])[0] == 0
    drawn = "".join(ET.parse(f"{NAME}/front.svg").getroot().itertext())
    assert "<b onload" not in drawn


def test_what_is_written(runs: Path, tmp_path: Path) -> None:
    both = [runs / NAME, runs / STEERS]
    comparison = oncefit.compare(both)
    comparison.write(tmp_path / "compared")
    page = oncefit.report(both, tmp_path / "page.html").read_text()
    assert not STEERING.search(page)
    assert not {tag for tag, _ in parsed(page).elements} & {"b", "img"}
    assert json.loads(parsed(page).scripts[0])["charts"]
    text = (tmp_path / "compared" / "comparison.csv").read_text()
    assert not STEERING.search(text)
    named = {row["run"] for row in csv.DictReader(text.splitlines())}
    assert any(name.startswith("'=1+1") or "=1+1" in name[1:] for name in named)
    assert not any(name.startswith(("=", "+", "-", "@")) for name in named)
    for path in (*(tmp_path / "compared").iterdir(), *(runs / NAME).glob("*.csv")):
        if path.suffix in (".csv", ".json", ".md"):
            assert not STEERING.search(path.read_text()), path


def test_no_folder_is_made_with_such_a_name(supernet: Supernet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write '.*\\x1b\[31m.*choose another folder"):
        predicted_run(tmp_path / STEERS, supernet, trials=3)
    assert not (tmp_path / STEERS).exists()


def test_markdown_is_plain_text() -> None:
    assert escaped("<b>&amp;") == "&lt;b\\>&amp;amp;"
    assert escaped("a\n# b\r\n- c\x1b[2J") == "a # b - c\\\\x1b\\[2J"
    assert escaped("![x](y)|`~$") == "\\!\\[x\\](y)\\|\\`\\~\\$"
