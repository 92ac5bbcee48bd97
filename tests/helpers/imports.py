"""What files import, and what an import or a command loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

HEAVY = {"torch", "torchvision", "pandas", "sklearn", "scipy", "optuna", "matplotlib", "onnxruntime", "ofa"}
COMMANDS = (
    "search", "fleet", "reselect", "export", "convert", "verify", "doctor", "evaluate", "compare", "cost", "carbon", "device", "train",
    "finetune", "demo", "data check", "data split", "supernet new", "supernet show", "bundle update", "sizes",
    "devices import", "predictor import", "predictor train", "predictor test", "predictor info",
    "predictor list", "weights list", "weights fetch", "weights import", "profile", "profile kit",
    "profile import", "supernet check", "supernet from-model", "work", "plot", "report",
)  # fmt: skip


def imported_modules(path: Path) -> set[str]:
    """Dotted names that a file imports, in functions and behind TYPE_CHECKING too; ``from a import b`` is ``a.b``."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def imported_packages(path: Path) -> set[str]:
    """Top-level packages that a file imports, in functions and behind TYPE_CHECKING too."""
    return {name.partition(".")[0] for name in imported_modules(path)}


def loaded_after(code: str) -> set[str]:
    probe = f"{code}\nimport sys; print(' '.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in run.stdout.splitlines()[-1].split()}
