"""Imports run one way, and the light parts stay light."""

import ast
import re
import subprocess
import sys
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = ("configs", "supernet", "cost_models", "search")
OUTSIDE = ("tests", "benchmarks")
"""Not installed with the packages, which therefore must not import them."""
HEAVY = {"torch", "torchvision", "pandas", "sklearn", "scipy", "optuna", "matplotlib", "onnxruntime", "ofa"}
COMMANDS = (
    "search", "export", "verify", "evaluate", "compare", "cost", "device", "train", "demo",
    "devices import", "predictor import", "predictor train", "predictor test", "predictor info",
    "predictor list", "weights list", "weights fetch", "weights import",
)  # fmt: skip


def imported_packages(path: Path) -> set[str]:
    """Top-level packages that a file imports, in functions and behind TYPE_CHECKING too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add((node.module or "").partition(".")[0])
    return found


def modules_named(path: Path, root: Path) -> set[str]:
    """Packages of the modules that a file names in a string, as ``"search.run"`` or ``"search.run:start"``."""
    named = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            module = re.fullmatch(r"(\w+(?:\.\w+)+)(?::\w+)?", node.value)
            if module and (root / module[1].replace(".", "/")).with_suffix(".py").is_file():
                named.add(module[1].partition(".")[0])
    return named


def upward_edges(root: Path) -> list[str]:
    """``file -> package`` of every import, or module named in a string, against :data:`ORDER`."""
    edges = []
    for place, package in enumerate(ORDER):
        forbidden = {*ORDER[place + 1 :], *OUTSIDE}
        for path in sorted((root / package).rglob("*.py")):
            upward = (imported_packages(path) | modules_named(path, root)) & forbidden
            edges += [f"{path.relative_to(root)} -> {name}" for name in sorted(upward)]
    return edges


def imported_modules(path: Path, known: set[str]) -> set[str]:
    """Modules of ``known`` that a file imports, in functions and behind TYPE_CHECKING too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & known


def circle(root: Path, places: Sequence[str]) -> list[str]:
    """Modules in folders or files that import each other in turn, the first one again at the end; empty where there are none."""
    files = [path for place in places for path in [root / place, *sorted((root / place).rglob("*.py"))]]
    files = [path for path in files if path.suffix == ".py"]
    by_name = {".".join(path.relative_to(root).with_suffix("").parts): path for path in files}
    graph = {name: imported_modules(path, set(by_name)) for name, path in by_name.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other() -> None:
    assert circle(ROOT, ["cost_models"]) == []
    weights = ["catalog", "checkpoints", "kept_weights", "stored_weights", "weights"]
    assert circle(ROOT, [f"supernet/{name}.py" for name in weights]) == []


@pytest.mark.parametrize(
    "line",
    [
        "import cost_models.one",
        "from cost_models import one",
        "def later():\n    from cost_models.one import thing",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from cost_models.one import Thing",
    ],
)
def test_a_circle_is_found(line: str, tmp_path: Path) -> None:
    (tmp_path / "cost_models").mkdir()
    (tmp_path / "cost_models" / "one.py").write_text("from cost_models.two import name\n")
    (tmp_path / "cost_models" / "two.py").write_text("name = 'cost_models.one'\n")
    assert circle(tmp_path, ["cost_models"]) == []
    (tmp_path / "cost_models" / "two.py").write_text(line + "\n")
    assert set(circle(tmp_path, ["cost_models"])) == {"cost_models.one", "cost_models.two"}


def test_no_import_goes_upward() -> None:
    assert all(list((ROOT / package).rglob("*.py")) for package in ORDER[1:])
    assert upward_edges(ROOT) == []


@pytest.mark.parametrize(
    "line",
    [
        "import search",
        "import search.run as run",
        "from search import run",
        "from search.run import start",
        "def later():\n    from search.run import start",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from search.run import Run",
        "try:\n    import search\nexcept ImportError:\n    pass",
        "import importlib\nimportlib.import_module('search.run')",
        "BUILDERS = {'run': 'search.run:start'}",
    ],
)
def test_an_upward_edge_is_found(line: str, tmp_path: Path) -> None:
    for package in ORDER:
        (tmp_path / package / "inner").mkdir(parents=True)
    (tmp_path / "search" / "run.py").write_text("import supernet.arch\nfrom cost_models import registry\n")
    (tmp_path / "cost_models" / "fine.py").write_text("import supernet\nname = 'search.yaml'\n")
    assert upward_edges(tmp_path) == []
    (tmp_path / "supernet" / "inner" / "wrong.py").write_text(line + "\n")
    assert upward_edges(tmp_path) == ["supernet/inner/wrong.py -> search"]


def test_a_relative_import_and_one_of_the_tests_are_found(tmp_path: Path) -> None:
    for package in ORDER:
        (tmp_path / package).mkdir()
    (tmp_path / "search" / "wrong.py").write_text("from tests import tiny\n")
    assert upward_edges(tmp_path) == ["search/wrong.py -> tests"]
    (tmp_path / "search" / "wrong.py").write_text("from .. import supernet\n")
    with pytest.raises(AssertionError, match="imports relatively"):
        upward_edges(tmp_path)


def test_configs_holds_only_yaml() -> None:
    files = [p for p in (ROOT / "configs").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert files
    assert {p.suffix for p in files} == {".yaml"}


def loaded_after(code: str) -> set[str]:
    probe = f"{code}\nimport sys; print(' '.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in run.stdout.splitlines()[-1].split()}


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_heavy(command: str) -> None:
    arguments = [*command.split(), "--help"]
    code = f"from search.cli import main\ntry:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code"
    loaded = loaded_after(code)
    assert "search" in loaded
    assert not loaded & HEAVY


def test_every_command_is_listed_here_and_documented() -> None:
    from search.cli import app

    groups = {"": app, **{f"{group.name} ": group.typer_instance for group in app.registered_groups}}
    names = {
        prefix + (command.name or command.callback.__name__)
        for prefix, group in groups.items()
        for command in group.registered_commands
    }
    assert names == set(COMMANDS)
    readme = (ROOT / "README.md").read_text()
    for name in names:
        assert f"oncefit {name}" in readme, f"README.md does not show oncefit {name}"


LIGHT = (
    "search", "cost_models", "supernet",
    "supernet.arch", "supernet.space", "supernet.layers", "supernet.catalog",
    "search.config", "search.problem", "search.cli",
)  # fmt: skip


@pytest.mark.parametrize("module", LIGHT)
def test_importing_a_light_module_imports_nothing_heavy(module: str) -> None:
    loaded = loaded_after(f"import {module}")
    assert module.partition(".")[0] in loaded
    assert not loaded & HEAVY


def test_a_heavy_import_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("")  # stands for the real one, which takes seconds
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert loaded_after("def later():\n    import torch\nlater()") & HEAVY == {"torch"}
