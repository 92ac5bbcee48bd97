"""A name at the top of a module is there once, or is shared on purpose: one name for one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.paths import ROOT

PACKAGES = ("configs", "supernet", "cost_models", "search", "oncefit")

FORMATS = "every format of a bundle has one, and so have documents that tell their version"
FAMILIES = "every family of networks has one"
COMMANDS = "a command or an argument of it, named as a person types it, beside what it calls"
DOOR = "of the front door for Python, beside what it opens"
KINDS = "every kind of predictor has one"
READERS = "one a format or document, called with its module before it"
RUNTIMES = "what subnets run with: a runtime's module has one, and so has what records its settings"
SCRIPT = "of the program in a kit, which runs without this package, and what does the same here"
PROFILES = "each module of a group of commands has one"
MODEL_FILES = "every reader of a format of model files has one"
LOCAL = "constants or helpers of distant modules that none imports from the other"

SHARED = {
    FAMILIES: "NetworkKeys RESOLUTIONS block blocks elastic parse positions segments space stage_in_size static stem_sizes",
    FORMATS: "FORMAT",
    COMMANDS: "Name Region Replace app carbon check_data convert cost device evaluate fetch finetune fleet main new_supernet profile report reselect tell train work",
    DOOR: "Bundle Comparison Fleet Portfolio Predictor Run Sources Supernet compare import_device import_predictor list_predictors "
    "list_weights make_kit open_bundle open_fleet open_predictor open_run open_supernet search search_fleet sizes train_predictor",
    KINDS: "KIND from_tensors",
    READERS: "load read",
    RUNTIMES: "RUNTIME opened pinned settings",
    SCRIPT: "HERE Refused begun cpu_name measure seal_of settings_of told",
    PROFILES: "group",
    MODEL_FILES: "DTYPES FORMAT IDENTIFIERS stored",
    LOCAL: "ATTEMPTS FIGURES OWN Place Plan ZERO front summed within",
}
"""Why several modules define these names."""
ALLOWED = {name for names in SHARED.values() for name in names.split()}


def defined(source: str) -> Iterator[str]:
    """Functions, classes and constants at the top of a module."""
    for node in ast.parse(source).body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Assign():
                yield from (target.id for target in node.targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name


def homes() -> dict[str, set[Path]]:
    found = defaultdict[str, set[Path]](set)
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            for name in defined(file.read_text()):
                found[name].add(file.relative_to(ROOT))
    return found


def test_a_name_that_several_modules_define_is_shared_on_purpose() -> None:
    several = {name: files for name, files in homes().items() if len(files) > 1}
    foreign = {name: sorted(map(str, several[name])) for name in several.keys() - ALLOWED}
    assert not foreign, "give different things different names, or one thing one module"


def test_what_is_said_to_be_shared_is() -> None:
    """So that the list gets shorter as names do."""
    known = homes()
    assert [name for name in sorted(ALLOWED) if len(known.get(name, ())) < 2] == []


def test_all_that_stands_at_the_top_is_seen() -> None:
    source = "import os\nA = 1\nB: int = 2\ndef c(): d = 1\nclass E:\n    f = 1\nasync def g(): ...\n"
    assert list(defined(source)) == ["A", "B", "c", "E", "g"]
