"""What stands in deploy/ is well formed, begins commands that there are, and holds no password."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.runs.config import load_config
from tests.helpers.paths import ROOT
from tests.whole.test_docs import parse

DEPLOY = ROOT / "deploy"


def documents_of(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def check_command(arguments: list[str]) -> str:
    """Its name; the search that it names is one that ships."""
    command, given = parse(" ".join(arguments))
    if command == "search":
        load_config(given["config"], {}, {})
    return command


def test_the_compose_file_has_a_database_a_search_and_four_workers() -> None:
    [found] = documents_of("compose.yaml")
    services = found["services"]
    assert set(services) == {"db", "search", "worker"}
    assert services["worker"]["deploy"]["replicas"] == 4
    assert [check_command(services[name]["command"]) for name in ("search", "worker")] == ["search", "work"]
    for name in ("search", "worker"):
        assert services[name]["depends_on"] == {"db": {"condition": "service_healthy"}}
        assert (DEPLOY / services[name]["build"]["context"] / services[name]["build"]["dockerfile"]).is_file()
    assert "healthcheck" in services["db"]
    mounted = {volume.partition(":")[0] for one in services.values() for volume in one.get("volumes", ())}
    assert mounted == set(found["volumes"])


def test_the_job_checks_before_it_works() -> None:
    settings, job = documents_of("kubernetes.yaml")
    assert (settings["kind"], job["apiVersion"], job["kind"]) == ("ConfigMap", "batch/v1", "Job")
    pod = job["spec"]["template"]["spec"]
    [check], [worker] = pod["initContainers"], pod["containers"]
    assert check["args"] == [*worker["args"], "--check"]
    assert check_command(check["args"]) == check_command(worker["args"]) == "work"
    assert pod["restartPolicy"] == "Never"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert job["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]["containerName"] == check["name"]
    named = {source[kind]["name"] for source in worker["envFrom"] for kind in source}
    assert settings["metadata"]["name"] in named
    assert {one["name"] for one in worker["volumeMounts"]} == {one["name"] for one in pod["volumes"]}


def test_the_slurm_script_is_bash_and_says_what_it_lacks(tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("bash is not here")
    script = DEPLOY / "slurm.sh"
    subprocess.run(["bash", "-n", script], check=True)
    for given, lacking in (({}, "STORAGE"), ({"STORAGE": "a.journal"}, "STUDY")):
        ended = subprocess.run(
            ["bash", script], env={"PATH": "/usr/bin:/bin", **given}, capture_output=True, text=True
        )
        assert ended.returncode != 0
        assert f"{lacking}: set it to" in ended.stderr
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    given = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "STORAGE": "a.journal",
        "STUDY": "mine",
        "DATA": "/my images",
    }
    said = subprocess.run(
        ["bash", script], env=given, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert said[1:] == [
        "oncefit",
        "work",
        "--storage",
        "a.journal",
        "--study",
        "mine",
        "--wait",
        "600",
        "--data",
        "/my images",
    ]
    assert check_command([*said[2:-1], "images"]) == "work"


def test_the_image_is_built_of_the_tested_versions_and_runs_without_root() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    installs = [line for line in lines if "pip install" in line]
    assert installs
    assert all("-c constraints.txt" in line for line in installs)
    last = [line for line in lines if line.startswith("USER")][-1]
    assert int(last.split()[1]) > 0
    kept = re.findall(r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert [name for name in kept if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_no_file_holds_a_password(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"://[^/\s@:]*:[^$\s][^@\s]*@", text)
    for found in re.findall(r"PASSWORD(?::|=)\s*(\S+)", text):
        assert found.startswith(("$", "...")), found


def test_docker_reads_the_compose_file() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker compose is not here")
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "POSTGRES_PASSWORD": "any"}
    command = [docker, "compose", "-f", DEPLOY / "compose.yaml", "config", "--quiet"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
