"""Environments for formats whose packages do not go with all others: ``python -m tests.helpers.format_venvs ARGUMENTS``.

Each lies on top of the one that this runs in, whose packages it finds, so that torch is not installed once more; then
Python is run in it with the arguments. Exit status 1 where that fails in one of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib.metadata import version
from pathlib import Path

from tests.helpers.paths import ROOT

FOLDER = Path(os.environ.get("ONCEFIT_FORMAT_VENVS", ROOT / ".venv-formats"))
VENVS = {
    "litert": ("litert", "litert-int8"),
    "others": ("executorch", "ncnn", "coreml", "hf", "openvino-int8"),
}
"""Extras by environment: litert-torch needs older packages than others do."""


def main(arguments: list[str]) -> int:
    failed = [name for name in VENVS if run_in(name, arguments) != 0]
    if failed:
        print(f"failed in the environments {', '.join(failed)} below {FOLDER}", file=sys.stderr)
    return 1 if failed else 0


def run_in(name: str, arguments: list[str]) -> int:
    """Make the environment of a name where it is not there, and run Python in it."""
    python = FOLDER / name / "bin" / "python"
    if not (FOLDER / name / "made").is_file():
        print(
            f"setting up {FOLDER / name} for {', '.join(VENVS[name])} (once; some minutes)", file=sys.stderr
        )
        made_venv(name, python)
    print(f"== in the environment {name}", flush=True)
    return subprocess.run(
        [python, *arguments], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ).returncode


def made_venv(name: str, python: Path) -> None:
    venv.create(FOLDER / name, with_pip=True)
    query = [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    site = Path(subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip())
    (site / "below.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = [requirement for extra in VENVS[name] for requirement in extras[extra]]
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*install, *wanted, f"torch=={version('torch').partition('+')[0]}"], check=True, cwd=FOLDER
    )
    (FOLDER / name / "made").touch()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
