"""The built wheel, installed without the checkout, finds its YAML, weights and images from anywhere."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIMIT_MB = 10


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_wheel_holds_what_it_needs_and_no_more(wheel: Path) -> None:
    import zipfile

    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.split("/")[0] for name in names}
    assert {name for name in folders if not name.endswith(".dist-info")} == {
        "supernet",
        "cost_models",
        "search",
        "configs",
    }
    for needed in (
        "configs/supernets/fmnist_mbv3.yaml",
        "supernet/pretrained/fmnist_mbv3.safetensors",
        "supernet/pretrained/LICENSE.fashion-mnist",
    ):
        assert needed in names
    shipped = {str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.yaml")}
    assert shipped <= set(names)
    assert wheel.stat().st_size < LIMIT_MB * 1e6


def test_the_image_file_is_at_most_10_mb() -> None:
    assert (ROOT / "supernet" / "pretrained" / "fashion_mnist.npz").stat().st_size <= 10e6


DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}


def test_every_import_is_declared() -> None:
    """Third-party imports of the packages, and of the modules of ``ofa`` that they use."""
    from tests.test_imports import ORDER, imported_packages

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[<>=!\[]", dependency)[0].lower() for dependency in project["dependencies"]}
    imported = set().union(
        *(imported_packages(p) for package in ORDER for p in (ROOT / package).rglob("*.py"))
    )
    third_party = {name for name in imported - set(sys.stdlib_module_names) - set(ORDER) if name}
    assert {DISTRIBUTIONS.get(name, name) for name in third_party} <= declared
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert not line or line.startswith("#") or re.fullmatch(r"[A-Za-z0-9_.-]+==[^ ]+", line)
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    assert {name.replace("_", "-") for name in declared} <= pinned
