"""Imports run one way, and the light parts stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = ("configs", "supernet", "cost_models", "search")
HEAVY = {"torch", "torchvision", "pandas", "sklearn", "scipy", "optuna", "matplotlib", "onnxruntime", "ofa"}
COMMANDS = ("search", "export", "verify", "evaluate", "compare", "device", "train", "demo")


def imported_packages(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("package", ORDER)
def test_no_import_goes_upward(package: str) -> None:
    above = set(ORDER[ORDER.index(package) + 1 :])
    for path in (ROOT / package).rglob("*.py"):
        upward = imported_packages(path) & above
        assert not upward, f"{path.relative_to(ROOT)} imports {upward}"


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
    arguments = [command, "--help"] if command else ["--help"]
    code = f"from search.cli import main\ntry:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code"
    loaded = loaded_after(code)
    assert "search" in loaded
    assert not loaded & HEAVY


def test_every_command_is_listed_here_and_documented() -> None:
    from search.cli import app

    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert names == set(COMMANDS)
    readme = (ROOT / "README.md").read_text()
    for name in names:
        assert f"oncefit {name}" in readme, f"README.md does not show oncefit {name}"


@pytest.mark.parametrize("package", ["search", "cost_models", "supernet"])
def test_importing_a_package_does_no_work(package: str) -> None:
    assert not loaded_after(f"import {package}") & HEAVY
