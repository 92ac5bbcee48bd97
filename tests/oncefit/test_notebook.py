"""The example notebook runs from its first cell to its last, and shows what it is there to show."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

NOTEBOOK = ROOT / "examples" / "fmnist.ipynb"


@pytest.mark.slow
def test_the_example_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=1200, resources=resources).execute()
    assert (tmp_path / "runs" / "front" / "study.db").is_file()
    check_outputs(notebook)


def test_the_notebook_is_kept_with_its_output_and_without_paths_of_a_machine() -> None:
    nbformat = pytest.importorskip("nbformat")
    check_outputs(nbformat.read(NOTEBOOK, as_version=4))
    assert not re.search(r"(?<![\w.])/(?:home|root|work|tmp|Users)/", NOTEBOOK.read_text())


def check_outputs(notebook) -> None:
    """A table for every result, a picture of the front, and no error."""
    outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    assert not [out for out in outputs if out.output_type == "error"]
    kinds = [set(out.get("data", {})) for out in outputs]
    assert sum("text/html" in kind for kind in kinds) >= 6
    assert any("image/png" in kind for kind in kinds)
