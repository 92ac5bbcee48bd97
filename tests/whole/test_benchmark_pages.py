"""Rows of a page's table are those that the benchmark under it prints."""

from __future__ import annotations

import re

from tests.helpers.paths import ROOT


def test_the_table_of_recipes_has_the_rows_of_its_benchmark() -> None:
    source = (ROOT / "benchmarks" / "finetuning_recipes.py").read_text()
    reference = re.search(r'^REFERENCE = "(.+)"$', source, re.MULTILINE)
    changes = re.search(r"^CHANGES.+?^}", source, re.MULTILINE | re.DOTALL)
    assert reference
    assert changes
    printed = ["before, calibrated", reference[1], *re.findall(r'^ +"(.+?)": {', changes[0], re.MULTILINE)]
    assert f"{{'{printed[0]}':24}}" in source
    page = (ROOT / "docs" / "decisions" / "023-finetuning.md").read_text()
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")]
    assert [row for row in rows if row] == printed
