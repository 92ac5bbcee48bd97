"""The stable surface: what ``oncefit`` offers, and that it is typed, documented and light."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import oncefit
from oncefit.shadowing import OUR_PACKAGES
from tests.helpers.paths import ROOT

NAMES = {
    "Accuracy", "Arch", "Bundle", "Carbon", "Comparison", "DataCheck", "Dimension", "Evaluation", "Fleet",
    "ImageSplit", "InputError", "KeptDevice", "Kit", "Layer", "ModelSizes", "NetworkCosts", "OwnAccuracy",
    "Portfolio", "PredictedAccuracy", "Predictor", "Run", "SearchSpace", "Supernet", "__version__", "adapt", "carbon",
    "check_data", "compare", "convert", "cost", "costs", "device", "fetch_weights", "finetune", "fleet", "import_device",
    "import_kit_result", "import_predictor", "import_weights", "list_predictors", "list_weights", "make_kit",
    "new_supernet", "open_bundle", "open_fleet", "open_predictor", "open_run", "open_supernet", "profile",
    "profile_from_csv", "report", "reselect", "search", "search_fleet", "sizes", "split_images", "supernet_from_model", "train",
    "train_predictor", "work",
}  # fmt: skip
MEMBERS = {
    "Run": {
        "candidates", "chosen", "config", "evaluate", "export", "extract", "folder", "front", "pick", "plot",
        "report", "result", "say", "study", "supernet", "to_dict", "verified", "write",
    },
    "Supernet": {
        "arch", "classes", "costs", "data", "described", "evaluate", "export", "extract", "first_look", "is_named", "largest", "measuring",
        "name", "sample", "smallest", "source", "space",
    },
    "Bundle": {"arch", "card", "classes", "evaluate", "folder", "ofa_state", "onnx", "opened", "subnet", "summary", "update", "verify"},
    "Predictor": {"card", "digest", "file", "held_out_by", "made", "name", "predict", "test"},
    "NetworkCosts": {"arch", "costs", "device", "file", "image_size", "network", "power_meter", "supernet", "to_dict"},
    "ModelSizes": {"changes", "files", "plot", "to_dict", "with_tensors", "write"},
    "KeptDevice": {"device", "file", "name", "reach_ms", "sections", "to_dict", "unseen", "warnings"},
    "Kit": {"file", "manifest", "megabytes", "sections", "to_dict"},
    "Fleet": {"evaluations", "folder", "one_for_all", "plot", "result", "runs", "say", "table", "to_dict", "write"},
    "Portfolio": {"archs", "curve", "found", "lost", "lost_at_least", "plot", "subnets", "table", "to_dict", "write"},
    "Carbon": {"break_even_requests", "found", "plot", "to_dict", "write"},
    "Evaluation": {"confusion", "plot", "write"} | {one for one in dir(dict) if one[0] != "_"},
    "DataCheck": {"errors", "findings", "found", "parts", "plot", "supernet", "to_dict"},
    "ImageSplit": {"counts", "folder", "to_dict", "told", "written"},
    "Comparison": {
        "best_within", "found", "judge", "order_depends_on_reference", "plot", "reference_points", "table", "to_dict",
        "to_markdown", "verdicts", "write",
    },
}  # fmt: skip


def test_the_public_names_are_these() -> None:
    assert set(oncefit.__all__) == NAMES
    assert all(getattr(oncefit, name) is not None for name in NAMES)


@pytest.mark.parametrize("name", MEMBERS)
def test_the_public_members_are_these(name: str) -> None:
    made = getattr(oncefit, name)
    fields = set(getattr(made, "__dataclass_fields__", ()))
    assert {one for one in {*dir(made), *fields} if not one.startswith("_")} == MEMBERS[name]


@pytest.mark.parametrize("name", sorted(NAMES - {"__version__"}))
def test_what_is_public_is_documented_and_typed(name: str) -> None:
    made = getattr(oncefit, name)
    assert inspect.getdoc(made)
    if inspect.isfunction(made):
        signature = inspect.signature(made)
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(p.annotation is not p.empty for p in signature.parameters.values())


def test_a_wrong_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        oncefit.serach  # noqa: B018


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, oncefit; print(sorted({'torch', 'optuna', 'pandas', 'scipy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "oncefit" / "py.typed").is_file()


@pytest.mark.parametrize("name", OUR_PACKAGES)
@pytest.mark.parametrize("as_folder", [False, True])
def test_a_module_that_hides_one_of_ours_is_named(name: str, as_folder: bool, tmp_path: Path) -> None:
    other = tmp_path / name if as_folder else tmp_path / f"{name}.py"
    if as_folder:
        other.mkdir()
        (other / "__init__.py").write_text("")
    else:
        other.write_text("")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import oncefit"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 1
    assert f"oncefit's package '{name}' is hidden by {tmp_path}" in found.stderr


def test_a_checkout_behind_a_symbolic_link_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(ROOT)
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'linked')!r}); import oncefit; print(oncefit.__file__)"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip().startswith(str(tmp_path / "linked"))
