"""The built wheel, installed without the checkout, finds its YAML, weights and images from anywhere."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Iterable
from email import message_from_bytes
from importlib.metadata import distributions, packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.helpers.imports import imported_packages
from tests.helpers.paths import ROOT
from tests.whole.test_imports import PACKAGES

LIMIT_MB = 11


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    source = folder / "source"  # a copy, so that a stale build folder of the checkout has no say
    for name in filter(None, tracked.decode().split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(source),
    ]
    subprocess.run(build, check=True, cwd=folder)
    [built] = folder.glob("oncefit-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``oncefit`` script of a venv that holds the wheel; its dependencies are those of this one.

    A plain path in a .pth file adds packages but not this venv's own .pth files, so the
    editable installation of the checkout cannot be found from there.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=True)
    binaries = folder / "bin"
    install = [binaries / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, cwd=folder)
    query = [binaries / "python", "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    site = Path(subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip())
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return binaries / "oncefit"


def test_the_wheel_searches_from_elsewhere(installed: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def oncefit(*arguments: str) -> dict:
        run = subprocess.run(
            [installed, *arguments, "--json"], cwd=tmp_path, capture_output=True, text=True, env=environment
        )
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)

    where = [installed.parent / "python", "-c", "import supernet; print(supernet.__file__)"]
    found = subprocess.run(
        where, cwd=tmp_path, capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert Path(found.strip()).is_relative_to(installed.parent.parent)
    result = oncefit("search", "macs", "--trials", "2", "--budget", "macs=1e6", "--out", "run")
    assert result["chosen"]["predicted"]["macs"] <= 1e6
    bundle = oncefit("export", "run", "--out", "bundle")
    assert oncefit("evaluate", "bundle")["arch_id"] == bundle["arch_id"]


def test_the_wheel_holds_what_it_needs_and_no_more(wheel: Path) -> None:
    import zipfile

    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.split("/")[0] for name in names}
    assert {name for name in folders if not name.endswith(".dist-info")} == {
        "oncefit",
        "supernet",
        "cost_models",
        "search",
        "configs",
    }
    for needed in (
        "oncefit/py.typed",
        "configs/supernets/fmnist_mbv3.yaml",
        "supernet/pretrained/fmnist_mbv3.safetensors",
        "supernet/pretrained/LICENSE.fashion-mnist",
        "supernet/bundles/standalone/predict.py",
        "search/predictors/pretrained/ofa_mbv3_w1.0.safetensors",
    ):
        assert needed in names
    shipped = {str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.yaml")}
    assert shipped <= set(names)
    assert wheel.stat().st_size < LIMIT_MB * 1e6


def test_the_image_file_is_at_most_10_mb() -> None:
    assert (ROOT / "supernet" / "pretrained" / "fashion_mnist.npz").stat().st_size <= 10e6


def imported_at_load(path: Path) -> set[str]:
    """Packages that a module imports when it is imported itself: outside functions, not its own, and not for types alone."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_text())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            todo.extend(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            todo.extend(ast.iter_child_nodes(node))
    return found


def modules_of_ofa() -> list[Path]:
    """The files of ``ofa`` that are loaded once every module of our packages is."""
    code = """
import importlib, pkgutil, sys
for package in ("supernet", "cost_models", "search"):
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
for name, module in sys.modules.items():
    if name.partition(".")[0] == "ofa" and module.__file__:
        print(module.__file__)
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return list(map(Path, run.stdout.split()))


OF_EXTRAS = {
    "codecarbon": "carbon", "pynvml": "carbon", "openvino": "openvino", "ai_edge_litert": "litert",
    "litert_torch": "litert", "executorch": "executorch", "ncnn": "ncnn", "pnnx": "ncnn", "coremltools": "coreml",
    "huggingface_hub": "hf", "nncf": "openvino-int8", "litert_quantizer": "litert-int8",
    "grpc": "grpc", "distributed": "dask",
}  # fmt: skip
"""Packages that are imported only where they are asked for, with a message where they are missing, and their extras."""


def test_what_is_asked_for_is_in_its_extra_and_in_no_module_itself() -> None:
    for package, extra in OF_EXTRAS.items():
        brought = names_of(project()["optional-dependencies"][extra])
        assert undeclared({package}, brought) == set()
    ours = [path for folder in PACKAGES for path in (ROOT / folder).rglob("*.py")]
    assert not set().union(*map(imported_at_load, ours)) & set(OF_EXTRAS)


@pytest.fixture(scope="module")
def needed() -> set[str]:
    """Third-party packages that ours import anywhere, and that ``ofa`` imports when we import it."""
    ours = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    of_ofa = modules_of_ofa()
    assert of_ofa
    imported = set().union(*map(imported_packages, ours), *map(imported_at_load, of_ofa))
    return imported - set(sys.stdlib_module_names) - set(PACKAGES) - {""} - set(OF_EXTRAS)


def undeclared(needed: set[str], declared: set[str]) -> set[str]:
    """Packages that no declared distribution brings."""
    brought_by = packages_distributions()
    return {
        name
        for name in needed
        if not {canonicalize_name(brings) for brings in brought_by.get(name, [name])} & declared
    }


def test_the_wheel_declares_all_that_is_imported(wheel: Path, needed: set[str]) -> None:
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        lines = message_from_bytes(archive.read(metadata)).get_all("Requires-Dist") or []
    requirements = [Requirement(line) for line in lines]
    declared = {canonicalize_name(r.name) for r in requirements if r.marker is None}
    assert undeclared(needed, declared) == set()


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names_of(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def test_a_dependency_that_is_not_declared_is_found(needed: set[str]) -> None:
    declared = names_of(project()["dependencies"])
    assert undeclared(needed, declared) == set()
    for package, distribution in {"PIL": "pillow", "numpy": "numpy", "ofa": "ofa", "yaml": "pyyaml"}.items():
        assert package in needed
        assert undeclared(needed, declared - {distribution}) == {package}
    assert undeclared({"gdown"}, declared) == {"gdown"}  # one that is not even installed


def test_every_dependency_is_pinned_within_its_range() -> None:
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pinned[canonicalize_name(name)] = version
    extras = [text for texts in project()["optional-dependencies"].values() for text in texts]
    for requirement in map(Requirement, [*project()["dependencies"], *extras]):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement} and {version}"


def test_what_is_pinned_runs_on_every_python_that_is_promised() -> None:
    """pip looks for other versions for hours where one that is pinned needs a later patch of Python."""
    oldest = project()["requires-python"].removeprefix(">=").split(",")[0] + ".0"
    needing_more = {
        found.name: found.metadata["Requires-Python"]
        for found in distributions()
        if found.metadata["Requires-Python"]
        and not SpecifierSet(found.metadata["Requires-Python"]).contains(oldest)
    }
    assert needing_more == {}
