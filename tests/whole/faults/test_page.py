"""Every line of docs/faults.md is a test that is there."""

from __future__ import annotations

import re

from tests.helpers.paths import ROOT


def test_every_test_that_the_page_names_is_there() -> None:
    page = (ROOT / "docs" / "faults.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    defined = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert len(named) > 30
    assert named - defined == set()
    of_faults = {
        name
        for file in (ROOT / "tests" / "whole" / "faults").glob("test_*.py")
        if file.name not in ("test_page.py", "test_killing.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert of_faults - named == set(), "and each of these tests is a line"
