"""Names that would steer a terminal, leave a folder or be markup, wherever a command takes a name."""

from __future__ import annotations

import os
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.guarded import ended, held_below

EXAMPLES = int(os.environ.get("ONCEFIT_EXAMPLES", "30"))
"""Names, each in a command; 5,000 with ``make fuzz``."""
PIECES = (
    "\x1b[31m", "\x1b]0;title\x07", "\x1b[2J\x1b[H", "\x9b31m", "\x9d0;t\x9c", "\r", "\n", "\x7f", "\x08\x08", "\x85", "\u2028",
    "\u202e", "\u2066", "../", "..", "/", "\\", "~", ".", "<script>alert(1)</script>", "<img src=x onerror=a()>", "&lt;", "[red]",
    "[/]", "[link=file:///etc/passwd]", "**", "`", "|", "![](x)", "=1+1", "@SUM(A1)", "+1", "-1", "--", "%s", "%n", "{0}", "{{7*7}}",
    "${HOME}", "$(id)", "'", '"', ";", "$x", "\\frac", ":smile:", "CON", "x" * 300, "n" * 5_000, "é", "名", "👩‍💻", "𝕏", "\u0301",
    "*", "?", "#", " ",
)  # fmt: skip
"""Each means something to somebody: terminals, pages, Markdown, spreadsheets, shells, file systems, templates."""
names = st.lists(
    st.one_of(st.sampled_from(PIECES), st.text(string.ascii_letters + string.digits, max_size=4)),
    min_size=1,
    max_size=5,
).map("".join)
NAME = "NAME"
"""In a command, the place of the name."""
COMMANDS = (
    "search NAME", "search NAME.yaml", "search macs --device NAME", "search macs --device NAME.yaml", "search macs --data NAME",
    "search macs --sampler NAME", "search macs --predictor NAME", "search macs --budget NAME=1", "search macs --objective NAME",
    "search macs --region NAME", "search macs --precision NAME", "fleet NAME", "reselect NAME", "work NAME", "export NAME",
    "export fmnist_mbv3 --pick NAME", "convert NAME --format NAME", "verify NAME", "evaluate NAME", "compare NAME NAMEx", "report NAME",
    "plot NAME", "plot run --kind NAME", "cost NAME", "cost {NAME}", "cost {ks:NAME}", "sizes NAME", "carbon NAME",
    "carbon --deployment NAME.yaml", "carbon --intensity NAME --hours 1", "device NAME", "device NAME.yaml", "train NAME", "train --from NAME --data x",
    "finetune NAME --data x", "bundle update NAME NAME", "data check NAME", "data split NAME --out x", "predictor info NAME",
    "predictor train NAME rows.csv --supernet fmnist_mbv3", "predictor import NAME f --supernet fmnist_mbv3", "supernet show NAME",
    "supernet new NAME --image-size 32 --classes a,b", "supernet new mine --image-size 32 --classes a,NAME,NAME",
    "supernet from-model NAME --out NAME.yaml", "weights fetch NAME", "weights fetch ofa_resnet50 --from NAME", "weights import ofa_resnet50 NAME",
    "devices import NAME NAME", "devices import ofa x --name NAME", "profile import NAME", "NAME", "search macs --NAME",
    "search macs NAME",
)  # fmt: skip


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands run in; what they keep is elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONCEFIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 30, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(command=st.sampled_from(COMMANDS), name=names)
def test_a_name_is_refused_and_shown_harmless(
    command: str, name: str, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = ended(capsys, [part.replace(NAME, name) for part in command.split()])
    left = held_below(empty)
    assert not left or code == 0, "nothing is left of what was refused"
    for file, _ in left:  # of a name that is one, as 0
        Path(file).unlink()
