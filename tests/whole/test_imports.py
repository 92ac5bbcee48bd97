"""Imports run one way, and the light parts stay light."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

from tests.helpers.imports import COMMANDS, HEAVY, imported_modules, loaded_after
from tests.helpers.paths import ROOT

FLOORS = (
    ("configs",),
    ("supernet",),
    ("supernet.archs", "supernet.weights", "supernet.sizes"),
    ("supernet.networks",),
    ("supernet.families",),
    ("supernet.images", "supernet.ofa_format"),
    ("supernet.evaluating",),
    ("supernet.quantising",),
    ("supernet.training",),
    ("supernet.bundles", "supernet.making"),
    ("supernet.formats", "supernet.conformance"),
    ("cost_models",),
    ("search.problem", "search.storages"),
    ("search.feasible",),
    ("search.predictors", "search.proposing"),
    ("search.runs",),
    ("search.fleets",),
    ("search.reports",),
    ("oncefit",),
    ("search",),
)
"""From the bottom up; rooms of one floor do not import each other.

``supernet`` is what lies in no room of it and all rooms stand on; the command line is all that is left of ``search``.
"""
PACKAGES = ("configs", "supernet", "cost_models", "search", "oncefit")
OUTSIDE = ("tests", "benchmarks")
"""Not installed with the packages, which therefore must not import them."""


def room_of(module: str) -> str | None:
    """The room that a dotted name is in, None for what is not ours."""
    parts = module.split(".")
    rooms = {room for floor in FLOORS for room in floor} | set(OUTSIDE)
    return next((name for n in range(len(parts), 0, -1) if (name := ".".join(parts[:n])) in rooms), None)


def floor_of(room: str) -> int:
    return next((i for i, floor in enumerate(FLOORS) if room in floor), len(FLOORS))


def module_of(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def modules_named(path: Path, root: Path) -> set[str]:
    """Our modules that a file names in a string, as ``"search.runs.run"`` or ``"search.runs.run:start"``."""
    named = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            module = re.fullmatch(r"(\w+(?:\.\w+)+)(?::\w+)?", node.value)
            if module and (root / module[1].replace(".", "/")).with_suffix(".py").is_file():
                named.add(module[1])
    return named


def files(root: Path) -> list[Path]:
    return [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]


def upward_edges(root: Path) -> list[str]:
    """``file -> room`` of every import, or module named in a string, against :data:`FLOORS`."""
    edges = []
    for path in files(root):
        mine = room_of(module_of(path, root))
        assert mine is not None
        used = {room_of(name) for name in imported_modules(path) | modules_named(path, root)} - {None, mine}
        edges += [
            f"{path.relative_to(root)} -> {room}"
            for room in sorted(room for room in used if room and floor_of(room) >= floor_of(mine))
        ]
    return edges


def circle(root: Path, packages: tuple[str, ...] = PACKAGES) -> list[str]:
    """Modules of packages, or some modules, that import each other in a circle, for types too; empty if none do."""
    inside = tuple(f"{package}." for package in packages)
    modules = {name: p for p in files(root) if f"{(name := module_of(p, root))}.".startswith(inside)}
    graph = {
        name: {
            found
            for used in imported_modules(path)
            for found in (used, used.rpartition(".")[0])
            if found in modules and found != name
        }
        for name, path in modules.items()
    }
    folders = {name for name in modules if modules[name].name == "__init__.py"}
    try:
        graphlib.TopologicalSorter(
            {name: used - folders for name, used in graph.items() if name not in folders}
        ).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_import_goes_upward() -> None:
    assert all(list((ROOT / package).rglob("*.py")) for package in PACKAGES[1:])
    assert upward_edges(ROOT) == []


def test_no_module_imports_itself_through_others() -> None:
    assert circle(ROOT) == []


def test_a_circle_for_types_only_is_found(tmp_path: Path) -> None:
    (tmp_path / "supernet").mkdir()
    (tmp_path / "supernet" / "one.py").write_text("from supernet.two import Two\n")
    (tmp_path / "supernet" / "two.py").write_text("import os\n")
    assert circle(tmp_path) == []
    (tmp_path / "supernet" / "two.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from supernet.one import One\n"
    )
    assert set(circle(tmp_path)) == {"supernet.one", "supernet.two"}


@pytest.mark.parametrize(
    "line",
    [
        "import search",
        "import search.runs.run as run",
        "from search import run",
        "from search.runs.run import start",
        "def later():\n    from search.runs.run import start",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from search.runs.run import Run",
        "try:\n    import search\nexcept ImportError:\n    pass",
        "import importlib\nimportlib.import_module('search.runs.run')",
        "BUILDERS = {'run': 'search.runs.run:start'}",
    ],
)
def test_an_upward_edge_is_found(line: str, tmp_path: Path) -> None:
    for package in PACKAGES:
        (tmp_path / package / "inner").mkdir(parents=True)
    (tmp_path / "search" / "runs").mkdir()
    fine = "import supernet.archs.arch\nfrom cost_models import registry\n"
    (tmp_path / "search" / "runs" / "run.py").write_text(fine)
    (tmp_path / "cost_models" / "fine.py").write_text("import supernet\nname = 'search.yaml'\n")
    assert upward_edges(tmp_path) == []
    (tmp_path / "supernet" / "inner" / "wrong.py").write_text(line + "\n")
    [edge] = upward_edges(tmp_path)
    assert edge.startswith("supernet/inner/wrong.py -> search")


@pytest.mark.parametrize("used", ["search.runs.run", "search.predictors.files", "search.cli.terminal"])
def test_an_edge_between_rooms_is_found(used: str, tmp_path: Path) -> None:
    room, _, _ = used.rpartition(".")
    (tmp_path / "search" / "proposing").mkdir(parents=True)
    (tmp_path / "search" / "proposing" / "wrong.py").write_text(f"def later():\n    import {used}\n")
    expected = "search" if room == "search.cli" else room
    assert upward_edges(tmp_path) == [f"search/proposing/wrong.py -> {expected}"]


def test_a_relative_import_and_one_of_the_tests_are_found(tmp_path: Path) -> None:
    for package in PACKAGES:
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


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_heavy(command: str) -> None:
    arguments = [*command.split(), "--help"]
    code = f"from search.cli.app import main\ntry:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code"
    loaded = loaded_after(code)
    assert "search" in loaded
    assert not loaded & HEAVY


def test_every_command_is_listed_here_and_documented() -> None:
    from search.cli.app import app

    groups = {"": app, **{f"{group.name} ": group.typer_instance for group in app.registered_groups}}
    names = {
        prefix + (command.name or command.callback.__name__) if not command.hidden else prefix.strip()
        for prefix, group in groups.items()
        for command in group.registered_commands
    }  # a hidden one is what its group does where no command is named
    assert names == set(COMMANDS)
    readme = (ROOT / "README.md").read_text()
    for name in names:
        assert f"oncefit {name}" in readme, f"README.md does not show oncefit {name}"


LIGHT = (
    "search", "cost_models", "supernet",
    "supernet.archs.arch", "supernet.archs.space", "supernet.archs.layers", "supernet.families.catalog",
    "search.runs.config", "search.problem.problem", "search.cli.app", "oncefit",
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
