"""The commands, files and settings that the documentation names are there and are accepted."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from cost_models import profiling
from cost_models.host import cached_path
from search.cli.app import app, main
from search.cli.search import devices_of
from search.fleets.portfolio_file import read_portfolio
from search.runs.config import load_config, parse_budgets, resolved, with_device
from supernet import documents
from supernet.families.catalog import Supernet
from supernet.images.data import Dataset
from supernet.parsing import parse_yaml
from supernet.training.recipes import RecipeFile, recipe_of
from supernet.training.supernet_template import Template, TemplateFile
from tests.helpers import tiny
from tests.helpers.own_data import write_folders
from tests.helpers.paths import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "deploy" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
GROUPS = typer.main.get_command(app).commands
COMMANDS = {
    f"{name} {inner}".strip(): command
    for name, found in GROUPS.items()
    for inner, command in (found.commands if hasattr(found, "commands") else {"": found}).items()
}


def blocks(page: Path, language: str) -> list[str]:
    """What stands in a page's fenced blocks of a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [text for of, text in found if of == language]


def in_blocks(page: Path) -> list[str]:
    """Arguments of every ``oncefit`` command line in the fenced blocks."""
    pattern = r"^ *(?:\w+=\S+ )?(?:\.venv/bin/)?oncefit (.+)$"
    return [line for block in blocks(page, "") for line in re.findall(pattern, block, re.MULTILINE)]


def in_text(page: Path) -> list[str]:
    """Arguments of every ``oncefit`` command between backticks."""
    return [" ".join(found.split()) for found in re.findall(r"`oncefit ([^`]+)`", page.read_text())]


def parse(line: str) -> tuple[str, dict]:
    """The subcommand of a line, or its option of oncefit itself, and its parameters. Raises click's UsageError for what it does not take."""
    name, *rest = shlex.split(line, comments=True)
    if name.startswith("--"):
        assert name in {option for found in typer.main.get_command(app).params for option in found.opts}
        return name, {}
    if rest and f"{name} {rest[0]}" in COMMANDS:
        name, rest = f"{name} {rest[0]}", rest[1:]
    if name not in COMMANDS and f"{name} device" in COMMANDS:  # what profile does where none is named
        name = f"{name} device"
    assert name in COMMANDS, f"there is no oncefit {name}; there are {', '.join(COMMANDS)}"
    with COMMANDS[name].make_context(name, rest) as context:
        return name, context.params


SHOWN = [(page.relative_to(ROOT), line) for page in PAGES for line in in_blocks(page) + in_text(page)]
README = in_blocks(ROOT / "README.md")


def test_the_readme_shows_commands() -> None:
    assert {parse(line)[0] for line in README} == set(COMMANDS)


@pytest.mark.parametrize(("page", "line"), SHOWN, ids=[f"{page.name}: {line}" for page, line in SHOWN])
def test_a_command_is_accepted_and_its_files_are_there(page: Path, line: str) -> None:
    parse(line)
    for word in shlex.split(line, comments=True):
        if word.startswith("configs/"):
            assert (ROOT / word).is_file(), f"{page} names {word}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("serch configs/searches/macs.yaml", "there is no oncefit serch"),
        ("search configs/searches/macs.yaml --budgets macs=1e6", "No such option"),
        ("search", "Missing parameter"),
        ("demo --trials many", "valid integer"),
        ("verify a b", "unexpected extra argument"),
    ],
)
def test_a_command_that_is_wrong_is_noticed(line: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        parse(line)


@pytest.mark.parametrize("line", [line for line in README if line.startswith("search ")])
def test_a_search_that_is_shown_has_a_valid_config(line: str) -> None:
    _, given = parse(line)
    overrides = {key: given[key] for key in ("data", "predictor", "trials", "measure", "sampler", "seed")}
    overrides |= devices_of(given["device"])
    config = load_config(given["config"], overrides, parse_budgets(given["budget"] or []))
    assert {key: value for key, value in overrides.items() if value is not None}.items() <= dict(
        config
    ).items()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_yaml_that_is_shown_is_a_valid_document(page: Path) -> None:
    """The description of a supernet, a recipe of a training, or a search."""
    for block in blocks(page, "yaml"):
        given = parse_yaml(block, page.name)
        if "subnets" in given:
            read_portfolio(None, given)
        elif "network" in given:
            Template(documents.check(given, TemplateFile, page.name), page).family(("one", "other"))
        elif "batch_size" in given:
            recipe_of(documents.check(given, RecipeFile, page.name), page.name)
        else:
            resolved(with_device(given, page.name, page.parent), {}, {}, page.name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_scripts_and_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= set(targets)
    for script in re.findall(r"benchmarks/\w+\.py", text):
        assert (ROOT / script).is_file(), f"{page.name} names {script}"
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"


FROM_ELSEWHERE = (
    "net.config", "import ", "--from-csv", "fetch", "note10", "ofa-macs", "imagenet/", "measured.csv", "--uncalibrated",
    "--verify-on-device", "my-data/", "torchvision:", "changed.safetensors", "litert",
)  # fmt: skip
"""What a line needs that does not ship."""


def test_the_readme_runs_from_top_to_bottom(
    supernet: Supernet, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command but the long ones, with two trials a search and a fit of this host that is given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONCEFIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(profiling, "profile", lambda *_: pytest.fail("the host was measured"))
    tiny.write_device(supernet, cached_path(supernet))
    (write_folders(data, tmp_path / "own") / "report").rename(tmp_path / "my-photos")
    for line in README:
        name, *arguments = shlex.split(line, comments=True)
        if name in ("train", "demo", "profile", "doctor") or any(
            word in line for word in ("runs/demo", "--refresh", "--serve")
        ):
            continue
        if any(word in line for word in FROM_ELSEWHERE):
            continue
        if "ID" in line:
            [bundle] = Path("runs/latency/bundles").iterdir()
            arguments = [argument.replace("ID", bundle.name) for argument in arguments]
        if name == "search":
            arguments += ["--trials", "2"]
        with pytest.raises(SystemExit) as end:
            main([name, *arguments])
        assert not end.value.code, line
