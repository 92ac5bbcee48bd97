"""Bad input, from the command line: exit code 2 and one clear paragraph; ``--debug`` adds the traceback."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from safetensors.torch import load_file, save_file

from cost_models import profiling
from cost_models.protocol import Target
from cost_models.registry import build
from search.cli.app import main
from supernet.bundles.bundle_card import FILES
from supernet.documents import CONFIGS
from supernet.families.catalog import Supernet
from supernet.images.data import Dataset
from supernet.weights.stored_weights import PRETRAINED
from tests.helpers.own_data import write_folders

Refused = Callable[..., str]
Written = Callable[..., Path]
SHIPPED = CONFIGS / "supernets" / "fmnist_mbv3.yaml"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Default folders are below an empty one, and this host is never measured."""

    def forbidden(*_: object) -> None:
        raise AssertionError("the host was measured before the input was checked")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONCEFIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(profiling, "profile", forbidden)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command twice, with ``--debug`` the second time; returns the paragraph of the first."""

    def run(*arguments: object) -> str:
        given = list(map(str, arguments))
        plain = finish(given)
        assert "Traceback" not in plain
        message = plain[[start.start() for start in re.finditer("^oncefit: ", plain, re.MULTILINE)][-1] :]
        assert message.count("\n") == 1, "one paragraph, at the end"
        debug = finish(["--debug", *given])
        assert "Traceback (most recent call last)" in debug
        assert debug.endswith(message)
        return message

    def finish(arguments: list[str]) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(arguments)
        out, err = capsys.readouterr()
        assert (end.value.code, out) == (2, "")
        return err

    return run


@pytest.fixture(scope="module")
def own_data(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(data, tmp_path_factory.mktemp("own"))


@pytest.fixture
def config(own_data: Path, tmp_path: Path) -> Written:
    """Writes ``mine.yaml``, a search that is right but for what is given."""

    def write(**changes: object) -> Path:
        return write_config(tmp_path / "mine.yaml", own_data, **changes)

    return write


def write_config(path: Path, own_data: Path, **changes: object) -> Path:
    right = {"supernet": "fmnist_mbv3", "data": str(own_data), "budgets": {"macs": 2e6}, "trials": 2,
             "sampler": "random"}  # fmt: skip
    path.write_text(yaml.safe_dump({**right, **changes}))
    return path


def write_supernet(path: Path, file: Path | None = None, **changes: Any) -> Path:
    """The embedded supernet described anew: another ``file`` of weights, other keys, other keys of its network."""
    keys = yaml.safe_load(SHIPPED.read_text())
    keys["weights"]["file"] = str(file or PRETRAINED / keys["weights"]["file"])
    keys["network"].update(changes.pop("network", {}))
    path.write_text(yaml.safe_dump({**keys, **changes}))
    return path


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A supernet with the same weights and another space."""
    path = tmp_path_factory.mktemp("supernets") / "other.yaml"
    return write_supernet(path, name="other", network={"resolutions": [18, 28]})


@pytest.fixture(scope="module")
def runs(own_data: Path, other: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A run of each of the two spaces, and a bundle of each."""
    folder = tmp_path_factory.mktemp("runs")
    for name, supernet in (("run", "fmnist_mbv3"), ("other", str(other))):
        path = write_config(folder / f"{name}.yaml", own_data, supernet=supernet)
        for arguments in (
            ["search", path, "--out", folder / name],
            ["export", folder / name, "--out", folder / f"{name}_bundle"],
        ):
            with pytest.raises(SystemExit) as end:
                main(list(map(str, arguments)))
            assert end.value.code == 0
    return {name: folder / name for name in ("run", "other", "run_bundle", "other_bundle")}


@pytest.fixture
def run(runs: Mapping[str, Path], tmp_path: Path) -> Path:
    """A copy of a run, to damage."""
    return Path(shutil.copytree(runs["run"], tmp_path / "run"))


@pytest.fixture
def bundle(runs: Mapping[str, Path], tmp_path: Path) -> Path:
    """A copy of a bundle, to damage."""
    return Path(shutil.copytree(runs["run_bundle"], tmp_path / "bundle"))


# -- keys, names and types -----------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": {"macs": 2e6}}, r"mine\.yaml: unknown key 'budget'\. Did you mean 'budgets'\? Known: .*seed"),
        ({"budgets": {"mac": 2e6}}, r"unknown cost in .*mine\.yaml: 'mac'\. Did you mean 'macs'\? Known: .*params"),
        ({"objectives": ["top1", "latency"]}, r"unknown objective in .*: 'latency'\. Did you mean 'latency_ms'\?"),
        ({"objectives": ["top_1"]}, r"unknown objective in .*: 'top_1'\. Did you mean 'top1'\? Known: .*top5"),
        ({"objectives": ["macs", "top1"]}, r"objectives must be one of top1, top5, then up to two costs; got macs, top1"),
        ({"objectives": ["top1", "flops", "macs"]}, r"objectives repeat"),
        ({"device": "hots"}, r"unknown device 'hots'\. Did you mean 'host'\? Known: host"),
        ({"sampler": "nsga3"}, r"unknown sampler in .*: 'nsga3'\. Did you mean 'nsga2'\? Known: guided, nsga2, random, tpe"),
        ({"supernet": "fmnist_mvb3"}, r"unknown supernet 'fmnist_mvb3'\. Did you mean 'fmnist_mbv3'\?"),
        ({"data": "fashion_mnits"}, r"unknown data set .*'fashion_mnits'\. Did you mean 'fashion_mnist'\?"),
        ({"costs": {"mine": "nowhere:cost"}}, r"cannot load the cost 'nowhere:cost': .*importable"),
        ({"trials": "many"}, r"mine\.yaml: trials: got 'many'; Input should be a valid integer"),
        ({"trials": 0}, r"trials: got '0'; Input should be greater than 0"),
        ({"seed": -1}, r"seed: got '-1'; Input should be greater than or equal to 0"),
        ({"budgets": [2e6]}, r"budgets: got .*; Input should be a mapping"),
        ({"budgets": {"macs": "few"}}, r"budgets\.macs: got 'few'; Input should be a valid number"),
        ({"objectives": "top1"}, r"objectives: got 'top1'; Input should be a list"),
        ({"data": ""}, r"data: got ''; Input should not be empty\n"),
        ({"costs": {"top1": "os:getcwd"}}, r"mine\.yaml: costs: top1 is an accuracy; give the cost another name\n"),
        ({"space": {"resolution": []}}, r"space\.resolution: got '\[\]'; Input should not be empty\n"),
        ({"space": {"resolution": ["x"]}}, r"space\.resolution\.0: got 'x'; Input should be a valid integer, or a valid number\n"),
        ({"budgets": {"latency_ms": {"p50": 1}}}, r"mine\.yaml: budget latency_ms: .* is 0\.5, and bounds are known for"),
        ({"enqueue": 3}, r"mine\.yaml: enqueue: got '3'; Input should be a list, as \[a, b\]\n"),
        ({"enqueue": {"ks": 3}}, r"mine\.yaml: enqueue: got .*; Input should be a list, as \[a, b\]\n"),
        ({"enqueue": [3]}, r"mine\.yaml: enqueue\.0: got '3'; Input should be a valid string, or a mapping, as {key: value}\n"),
        ({"enqueue": [[1, 2]]}, r"enqueue\.0: got '\[1, 2\]'; Input should be a valid string, or a mapping, as {key: value}\n"),
        ({"enqueue": [""]}, r"enqueue: a subnet is given as '', which is empty; give the file of a subnet"),
        ({"enqueue": [{"a": 1}]}, r"""enqueue: '{"a": 1}' is none of: an arch .*; its keys are a\n"""),
        ({"enqueue": ["5b252dafe1"]}, r"enqueue: cannot read 5b252dafe1: .* An arch id is known to the run that has it"),
    ],
)  # fmt: skip
def test_a_wrong_search(changes: dict[str, Any], message: str, config: Written, refused: Refused) -> None:
    assert re.search(message, refused("search", config(**changes)))


def test_bounds_are_the_same_in_a_config_and_in_options(config: Written, refused: Refused) -> None:
    for key, most in (("trials", 1_000_000), ("measure", 1_000_000), ("seed", 2**32 - 1)):
        said = refused("search", config(**{key: most + 1}))
        assert f"{key}: got '{most + 1}'; Input should be less than or equal to {most}\n" in said
        assert refused("search", config(), f"--{key}", most + 1) == said
    assert "--trials: got 1000001; at most 1000000" in refused("demo", "--trials", 1_000_001)
    assert "--seed: got 4294967296; at most 4294967295" in refused(
        "predictor", "train", "mine", "rows.csv", "--supernet", "fmnist_mbv3", "--seed", 2**32
    )


@pytest.mark.parametrize("at", ["nan", "inf", "1e400", "-1", "0"])
def test_a_budget_to_compare_at_is_positive_and_finite(
    at: str, runs: Mapping[str, Path], refused: Refused
) -> None:
    assert "must be positive and finite" in refused("compare", runs["run"], runs["other"], f"--at={at}")


def test_how_many_are_measured_may_be_given_as_an_option(config: Written, refused: Refused) -> None:
    path = config(accuracy="predicted-then-measured", predictor="mine", measure=1)
    assert "measure: 3 of trials: 2 cannot be" in refused("search", path, "--measure", 3)


ODD_COSTS = """
import sys

def no_target(): ...
def raises(target): return 1 / 0
def leaves(target): sys.exit(3)
def lends(target): raise OSError(2, "No such file or directory", "theirs.csv")

class Odd:
    name = "mine"
    def __init__(self, answer): self.answer = answer
    def __call__(self, arch): return self.answer()

def fails_later(target): return Odd(lambda: {}["x"])
def leaves_later(target): return Odd(lambda: sys.exit("bye"))
def says_nothing(target): return Odd(lambda: None)
def says_nan(target): return Odd(lambda: float("nan"))

class Batched(Odd):
    def batch(self, codes): return [1.0]

def too_few(target): return Batched(lambda: 1.0)
"""


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("_:f", r"cannot load the cost '_:f': No module named '_'"),
        ("_.a:f", r"cannot load the cost '_\.a:f'"),
        ("f", r"given as package\.module:function, got 'f'"),
        (":f", r"given as package\.module:function, got ':f'"),
        ("os:", r"given as package\.module:function, got 'os:'"),
        ("os.:getcwd", r"given as package\.module:function"),
        ("..os:getcwd", r"given as package\.module:function"),
        ("a b:c", r"given as package\.module:function"),
        ("os:nothing", r"cannot load the cost 'os:nothing': .*has no attribute"),
        ("os:sep", r"os:sep is not a function of a Target"),
        ("os:getcwd", r"os:getcwd, called with a Target, fails with TypeError"),
        ("builtins:id", r"builtins:id returned int, which is no cost model"),
        ("broken_costs:f", r"cannot load the cost 'broken_costs:f': its module fails with SyntaxError"),
        ("leaving_costs:f", r"cannot load the cost 'leaving_costs:f': its module fails with SystemExit.*leaving_costs\.py, line 2"),
        ("odd_costs:no_target", r"odd_costs:no_target, called with a Target, fails with TypeError: no_target\(\) takes 0"),
        ("odd_costs:raises", r"fails with ZeroDivisionError: division by zero in .*odd_costs\.py, line 5 \(--debug"),
        ("odd_costs:leaves", r"fails with SystemExit: 3 in .*odd_costs\.py, line 6"),
        ("odd_costs:lends", r"odd_costs:lends, called with a Target, fails with FileNotFoundError"),
        ("odd_costs:fails_later", r"odd_costs:fails_later, asked about an arch, fails with KeyError: 'x'"),
        ("odd_costs:leaves_later", r"asked about an arch, fails with SystemExit: bye"),
        ("odd_costs:says_nothing", r"asked about an arch, fails with TypeError"),
        ("odd_costs:says_nan", r"cost 'mine' of arch [0-9a-f]{10} \(.*\) is nan; a cost is a finite number"),
        ("odd_costs:too_few", r"batch\(codes\) of \d+ archs must give as many finite numbers, got an array of shape \(1,\)"),
    ],
)  # fmt: skip
def test_an_odd_cost_of_ones_own(
    path: str,
    message: str,
    config: Written,
    refused: Refused,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "odd_costs.py").write_text(ODD_COSTS)
    (tmp_path / "broken_costs.py").write_text("def f(:\n")
    (tmp_path / "leaving_costs.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("odd_costs", "broken_costs", "leaving_costs"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert re.search(message, refused("search", config(costs={"mine": path}, budgets={"mine": 5})))
    assert not Path("runs").exists()


def test_a_missing_key(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "mine.yaml").write_text("trials: 2\n")
    assert "mine.yaml: the key 'supernet' is missing" in refused("search", "mine.yaml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sampler", "gided"], r"'gided'\. Did you mean 'guided'\?"),
        (["--device", "hsot"], r"unknown device 'hsot'\. Did you mean 'host'\? Known: host"),
        (["--device", "phone.yaml"], r"there is no file phone\.yaml; shipped devices: host"),
        (["--budget", "flop=2e6"], r"unknown cost in .*'flop'\. Did you mean 'flops'\?"),
        (["--trials", "-3"], r"trials: got '-3'"),
        (
            ["--trials", "99999999999999999999"],
            r"trials: got '99999999999999999999'; Input should be less than or equal to 1000000\n",
        ),
        (
            ["--seed", "4294967296"],
            r"seed: got '4294967296'; Input should be less than or equal to 4294967295\n",
        ),
        (["--measure", "0"], r"measure: got '0'"),
        (
            ["--measure", "3"],
            r"measure 3 of those predicted is for accuracy: predicted-then-measured, and it is measured",
        ),
        (
            ["--budget", "macs=1e6", "--budget", "flops=2e6"],
            r"macs has two budgets, 'macs=1e6' and 'flops=2e6'; give one",
        ),
        (
            ["--budget", "latency_ms=p95:"],
            r"as macs=3e6, or latency_ms=p95:25 for a percentile; got 'latency_ms=p95:'",
        ),
        (
            ["--device", "host", "--device", "nope", "--region", "FRA"],
            r"a region FRA is given for several devices; give each",
        ),
        (["--out", "bad\udcff"], r"'bad\\udcff' is not UTF-8 text"),
    ],
)
def test_a_wrong_option(options: list[str], message: str, config: Written, refused: Refused) -> None:
    assert re.search(message, refused("search", config(), *options))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"famly": "mobilenet_v3"}, r"unknown key 'famly'\. Did you mean 'family'\?"),
        ({"family": "mobilenet_v2"}, r"unknown family in .*'mobilenet_v2'\. Did you mean 'mobilenet_v3'\?"),
        ({"weights": {"fil": "a", "sha256": ""}}, r"supernet\.yaml: weights: unknown key 'fil'\. Did you mean 'file'\?"),
        ({"network": {"head_widht": 256}}, r"network: unknown key 'head_widht'\. Did you mean 'head_width'\?"),
        ({"network": {"stages": [{"widht": 16}]}}, r"network: stages\.0: unknown key 'widht'\. Did you mean 'width'\?"),
        ({"network": {"resolutions": [28, 18]}}, r"choices of resolution in space fmnist_mbv3 must ascend"),
    ],
)  # fmt: skip
def test_a_wrong_supernet(
    changes: dict[str, Any], message: str, config: Written, tmp_path: Path, refused: Refused
) -> None:
    mine = write_supernet(tmp_path / "supernet.yaml", **changes)
    assert re.search(message, refused("search", config(supernet=str(mine))))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"trials: [1", r"mine\.yaml is not valid YAML: .*line 1"),
        (b"supernet: \xff\xfe", r"mine\.yaml is not valid YAML"),
        (b"- supernet\n- trials\n", r"mine\.yaml must hold keys and values, but holds list"),
        (b"", r"mine\.yaml must hold keys and values, but holds NoneType"),
        (b"supernet: fmnist_mbv3\n7: 8\n", r"mine\.yaml: unknown key '7'\. .*Known: "),
    ],
)
def test_what_is_no_config(content: bytes, message: str, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "mine.yaml").write_bytes(content)
    assert re.search(message, refused("search", "mine.yaml"))


def test_a_missing_config_lists_those_that_ship(refused: Refused) -> None:
    shipped = ", ".join(sorted(path.stem for path in (CONFIGS / "searches").glob("*.yaml")))
    assert f"there is no file nope.yaml; shipped searches: {shipped}" in refused("search", "nope.yaml")
    assert "Did you mean 'latency'?" in refused("search", "latncy")
    whole = [path.stem for path in (CONFIGS / "training").glob("*.yaml") if "\nsupernet:" in path.read_text()]
    assert refused("train", "nope.yaml").endswith(
        f"there is no file nope.yaml; shipped training recipes: {', '.join(whole)}\n"
    )


def test_an_unknown_size_of_a_subnet_alone(refused: Refused) -> None:
    message = refused("train", "configs/training/fmnist_mbv3.yaml", "--alone", "huge")
    assert "unknown size 'huge'." in message
    assert "Known: large, medium, small" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give a RECIPE to train by, as configs/training/fmnist_mbv3.yaml, or --from SUPERNET --data DIR"),
        (("finetune",), "finetune.yaml is a recipe for fine-tuning a subnet, by its patience and distil_weight: oncefit finetune BUNDLE"),
        (("adapt",), "the key 'supernet' is missing: name the one to train from scratch, or its file; or adapt a trained"),
        (("fmnist_mbv3", "--from", "fmnist_mbv3", "--data", "."), "fmnist_mbv3 trains a supernet from scratch, and --from"),
        (("--from", "fmnist_mbv3"), "--from fmnist_mbv3 needs images to adapt it to; give a folder with --data DIR"),
        (("--from", "fmnist_mbv3", "--data", ".", "--alone", "small"), "--alone small trains one subnet from scratch"),
        (("--from", "fmnist_mbv", "--data", "."), "has no train/, and training needs images to train on"),
        (("fmnist_mbv3", "--recipe", "mine.yaml"), "--recipe is for --from SUPERNET; what fmnist_mbv3 says is changed there"),
        (("fmnist_mbv3", "--data", "nowhere"), "there is no folder nowhere; give a folder of images with --data"),
    ],
)  # fmt: skip
def test_a_wrong_training(arguments: tuple[str, ...], message: str, refused: Refused) -> None:
    assert message in refused("train", *arguments)


def test_what_no_supernet_can_be_adapted_to(trainable: Path, tmp_path: Path, refused: Refused) -> None:
    given = ("--data", trainable, "--out", tmp_path / "out")
    assert "unknown supernet 'fmnist_mbv'. Did you mean 'fmnist_mbv3'?" in refused(
        "train", "--from", "fmnist_mbv", *given
    )
    assert "oncefit weights fetch ofa_resnet50" in refused("train", "--from", "ofa_resnet50", *given)
    for folder in list((trainable / "train").iterdir())[1:]:
        shutil.rmtree(folder)
    assert "has one class" in refused("train", "--from", "fmnist_mbv3", *given)
    assert not (tmp_path / "out").exists()


# -- budgets -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("macs=-5", r"budget macs = -5 must be positive"),
        ("macs=0", r"budget macs = 0 must be positive"),
        (
            "macs=few",
            r"a budget is given as cost=number, as macs=3e6, or .* for a percentile; got 'macs=few'",
        ),
        ("macs", r"a budget is given as cost=number.*got 'macs'"),
        ("latency=1", r"unknown cost in .*'latency'\. Did you mean 'latency_ms'\?"),
        ("macs=nan", r"budgets\.macs: got 'nan'; Input should be a finite number"),
        ("macs=1e400", r"budgets\.macs: got 'inf'; Input should be a finite number"),
        ("latency_ms=1", r"latency_ms needs a device: give --device host"),
    ],
)
def test_a_wrong_budget(budget: str, message: str, config: Written, refused: Refused) -> None:
    assert re.search(message, refused("search", config(), "--budget", budget))


def test_a_budget_given_by_both_of_its_names(config: Written, refused: Refused) -> None:
    message = refused("search", config(budgets={"macs": 2e6, "flops": 3e6}))
    assert "mine.yaml: flops and macs are budgets of the same cost, macs; give one" in message
    message = refused("search", config(), "--budget", "flops=1")
    assert "budget macs <= 1: no subnet" in message, "an alias overrides the file too"


@pytest.mark.parametrize("share", [0.01, 1 - 1e-9])
def test_an_infeasible_budget_names_the_minimum_and_its_arch(
    share: float, supernet: Supernet, config: Written, refused: Refused
) -> None:
    reach = build("macs", Target(supernet, None)).reach()
    message = refused("search", config(), "--budget", f"macs={share * reach.minimum}")
    assert f"(arch {reach.smallest.id}: {reach.smallest})" in message
    given, smallest, least = re.search(
        r"macs <= (\S+): no subnet .* the smallest is (\S+) \(.* Raise the budget to at least (\S+)\n", message
    ).groups()  # fmt: skip
    assert float(given) < float(smallest)
    assert float(smallest) == pytest.approx(reach.minimum, rel=1e-5)
    assert reach.minimum <= float(least) <= 1.001 * reach.minimum
    assert not Path("runs").exists()


# -- weights -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (None, r"cannot read .*mine\.safetensors \(No such file or directory\)"),
        (lambda content: content[:-100], r"mine\.safetensors was cut short or changed: .*expected [0-9a-f]{64}"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), r"was cut short or changed: its sha256 is"),
    ],
    ids=["missing", "truncated", "tampered"],
)  # fmt: skip
def test_wrong_weights(
    damage: Callable[[bytes], bytes] | None, message: str, config: Written, tmp_path: Path, refused: Refused
) -> None:
    weights = tmp_path / "mine.safetensors"
    if damage is not None:
        weights.write_bytes(damage((PRETRAINED / "fmnist_mbv3.safetensors").read_bytes()))
    supernet = write_supernet(tmp_path / "supernet.yaml", weights)
    said = refused("search", config(supernet=str(supernet)), "--out", "run")
    assert re.search(message, said)
    assert "put the file back, or set weights.file and weights.sha256" in said
    assert not Path("run").exists(), "the corrected command finds nothing in its way"


# -- bundles and images --------------------------------------------------------


@pytest.mark.parametrize("command", ["verify", "evaluate"])
@pytest.mark.parametrize("name", [*FILES, "card.json"])
def test_a_bundle_with_a_changed_byte(command: str, name: str, bundle: Path, refused: Refused) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    message = refused(command, bundle)
    assert re.search(rf"{re.escape(name)} was (cut short or )?changed: .*expected", message)
    assert "export the bundle again or copy it once more" in message


def test_what_is_no_bundle(tmp_path: Path, bundle: Path, refused: Refused) -> None:
    assert f"{tmp_path / 'none'} is no bundle: it is not there" in refused("verify", tmp_path / "none")
    assert f"{tmp_path} is no bundle: it has no card.json" in refused("verify", tmp_path)
    (bundle / "model.onnx").unlink()
    assert "cannot read" in refused("evaluate", bundle)


def test_a_bundle_of_ones_own_supernet_needs_its_description(
    runs: Mapping[str, Path], other: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = runs["other_bundle"]
    message = refused("verify", bundle)
    assert "supernet other, which does not ship with oncefit; give its YAML file with --supernet" in message
    told = refused("verify", bundle, "--supernet", "fmnist_mbv3")
    assert "was cut out of the supernet other, and fmnist_mbv3 is another network" in told
    with pytest.raises(SystemExit) as end:
        main(["verify", str(bundle), "--supernet", str(other)])
    assert end.value.code == 0
    assert "is sound" in capsys.readouterr().out


def test_a_bundle_without_its_images(
    own_data: Path, config: Written, tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = Path(shutil.copytree(own_data, tmp_path / "images"))
    for arguments in (
        ("search", config(data=str(mine)), "--out", "run"),
        ("export", "run", "--out", "bundle"),
    ):
        with pytest.raises(SystemExit):
            main(list(map(str, arguments)))
    mine.rename(tmp_path / "moved")
    assert f"measured on images in {mine}, and there is no such folder here" in refused("verify", "bundle")
    assert "--images" in refused("evaluate", "bundle")
    with pytest.raises(SystemExit) as end:
        main(["verify", "bundle", "--data", "moved"])
    assert end.value.code == 0


def test_image_folders(runs: Mapping[str, Path], own_data: Path, tmp_path: Path, refused: Refused) -> None:
    def said(images: Path) -> str:
        return refused("evaluate", runs["run_bundle"], "--images", images)

    mine = tmp_path / "images"
    assert f"there is no folder {mine}" in said(mine)
    mine.mkdir()
    assert f"{mine} holds no image: it needs one folder a class with images in it (.bmp" in said(mine)
    (mine / "Ankle boots").mkdir()
    assert re.search(r"unknown class folder in .*: 'Ankle boots'\. Did you mean 'Ankle boot'\?", said(mine))
    (mine / "Ankle boots").rename(mine / "Ankle boot")
    assert re.search(r"holds no image: put .*\.png.* where CLASS is one of .*Ankle boot", said(mine))
    (mine / "Ankle boot" / "1.png").write_bytes(b"no image")
    assert re.search(r"1\.png cannot be decoded as an image .*; remove or replace it", said(mine))


# -- run folders and studies ---------------------------------------------------


def test_a_run_folder_that_is_not_one(tmp_path: Path, run: Path, config: Written, refused: Refused) -> None:
    for folder in (tmp_path / "none", tmp_path):
        assert f"{folder} is not a run: it has no config.yaml" in refused("export", folder)
    assert "mine.yaml is no folder of a run, nor a supernet" in refused("export", config())
    assert "is not a run" in refused("compare", run, "none")
    assert f"{tmp_path} is not empty and not a run; choose another folder with --out" in refused(
        "search", config(), "--out", tmp_path
    )
    (run / "config.yaml").write_text("trials: [")
    assert "config.yaml is not valid YAML" in refused("export", run)


def test_a_run_without_its_study_or_with_a_damaged_one(run: Path, refused: Refused) -> None:
    (run / "study.db").write_text(
        "no database at all, but long enough to be taken for the header of one " * 20
    )
    told = refused("export", run)
    assert "cannot use the storage sqlite:///" in told
    # which of the two depends on what SQLite has beside it
    assert re.search(r"the file is (no database|damaged): put back a copy of it", told)
    assert "sqlalche.me" not in told
    (run / "study.db").unlink()
    assert f"{run} has no study.db: its study was removed" in refused("export", run)
    (run / "study.yaml").unlink()
    assert f"{run} has no study yet: it has no study.yaml" in refused("export", run)


def test_a_renamed_run_is_the_same_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run.rename(run.with_name("renamed"))
    with pytest.raises(SystemExit) as end:
        main(["export", str(run), "--json"])
    assert end.value.code == 0, capsys.readouterr().err


def test_a_run_folder_of_another_network(run: Path, other: Path, config: Written, refused: Refused) -> None:
    shutil.copy(config(supernet=str(other)), run / "config.yaml")
    message = refused("export", run)
    assert re.search(
        r"is of the supernet fmnist_mbv3, network [0-9a-f]{16} \(here: other, network [0-9a-f]{16}\)", message
    )
    assert "start anew in another folder with --out" in message


def test_a_run_knows_its_weights_images_and_budgets(
    run: Path, own_data: Path, config: Written, refused: Refused, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.safetensors"
    weights = load_file(PRETRAINED / "fmnist_mbv3.safetensors")
    weights["classifier.bias"] += 1
    save_file(weights, changed)
    digest = hashlib.sha256(changed.read_bytes()).hexdigest()
    supernet = write_supernet(tmp_path / "net.yaml", weights={"file": str(changed), "sha256": digest})
    message = refused("search", config(supernet=str(supernet), trials=3), "--out", run)
    assert f"(here: {digest})" in message
    images = Path(shutil.copytree(own_data, tmp_path / "images"))
    next(images.glob("validation/*/*.png")).unlink()
    before = (run / "config.yaml").read_bytes()
    assert "is of the images " in refused("search", config(data=str(images), trials=3), "--out", run)
    assert (run / "config.yaml").read_bytes() == before, "what was refused changed nothing"
    keys = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**keys, "budgets": {"macs": 1e6}}))
    assert "is of the budgets {'macs': 2000000.0} (here: {'macs': 1000000.0})" in refused("export", run)


def test_a_storage_that_holds_something_else(
    run: Path, config: Written, refused: Refused, tmp_path: Path
) -> None:
    foreign = f"sqlite:///{tmp_path}/foreign.db"
    study = optuna.create_study(storage=foreign, study_name="theirs")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert f"is in {run / 'study.db'}, not in {foreign}" in refused(
        "search", config(), "--out", run, "--storage", foreign
    )
    (run / "study.yaml").write_text(yaml.safe_dump({"name": "theirs", "storage": foreign}))
    assert "the study 'theirs' was not made by oncefit search" in refused("export", run)
    (run / "study.yaml").write_text(yaml.safe_dump({"name": "nobodys", "storage": foreign}))
    assert f"there is no study 'nobodys' in {foreign}" in refused("export", run)


def test_what_was_refused_does_not_block_the_corrected_command(
    config: Written, refused: Refused, own_data: Path
) -> None:
    refused("search", config(data=f"{own_data}x"), "--out", "run")
    refused("search", config(), "--out", "run", "--storage", "sqlite:////no/such/folder/a.db")
    assert not Path("run").exists()
    with pytest.raises(SystemExit) as end:
        main(["search", str(config()), "--out", "run"])
    assert end.value.code == 0


def test_resuming_with_a_changed_config(run: Path, config: Written, refused: Refused) -> None:
    message = refused("search", config(), "--out", run, "--seed", 7, "--budget", "macs=3e6")
    assert f"{run} holds a run of another config: budgets was {{'macs': 2000000.0}}" in message
    assert "seed was 0 and is 7" in message
    assert "Choose another folder with --out, or remove this one" in message


def test_a_password_is_never_shown(config: Written, refused: Refused) -> None:
    message = refused("search", config(), "--storage", "postgresql+nodriver://me:secret@host/db")
    assert "postgresql+nodriver://me@host/db" in message
    assert "secret" not in message


@pytest.mark.parametrize("url", ["postgresql+nodriver://host/db", "no url", "sqlite:////no/such/folder/a.db"])
def test_a_storage_that_cannot_be_used(url: str, config: Written, refused: Refused) -> None:
    message = refused("search", config(), "--storage", url)
    assert f"cannot use the storage {url}: " in message
    assert "for example sqlite:///study.db" in message


def test_compare_needs_two_runs_on_the_same_images(
    runs: Mapping[str, Path], run: Path, config: Written, refused: Refused, own_data: Path, tmp_path: Path
) -> None:
    assert f"compare needs at least two different run folders; got {run}" in refused("compare", run)
    assert "two different run folders" in refused("compare", run, f"{run.parent}/./run")
    images = Path(shutil.copytree(own_data, tmp_path / "images"))
    next(images.glob("validation/*/*.png")).unlink()
    with pytest.raises(SystemExit) as end:
        main(["search", str(config(data=str(images))), "--out", "fewer"])
    assert end.value.code == 0
    assert re.search(
        r"accuracy of fewer is measured on images with sha256 ", refused("compare", run, "fewer")
    )
    message = refused("compare", runs["run"], run, "--cost", "latency_ms")
    assert re.search(r"records the cost 'latency_ms'; all of them record macs, params", message)


def test_an_unknown_pick(runs: Mapping[str, Path], refused: Refused) -> None:
    message = refused("export", runs["run"], "--pick", "bets")
    assert re.search(
        r"--pick 'bets' names no candidate of the front; give best, knee or one of [0-9a-f]+", message
    )


@pytest.mark.parametrize("empty", ["", " "])
@pytest.mark.parametrize(
    "arguments",
    [("search",), ("search", "latency", "--out"), ("export", "run", "--pick"), ("cost",), ("carbon", "--baseline"),
     ("profile", "kit"), ("profile", "import"), ("devices", "import", "ofa", "tables", "--name"), ("compare", "run"),
     ("predictor", "train", "mine"), ("weights", "fetch"), ("device",), ("verify",), ("evaluate",), ("train",)],
    ids=" ".join,
)  # fmt: skip
def test_an_empty_argument_is_no_choice(arguments: tuple[str, ...], empty: str, refused: Refused) -> None:
    option = arguments[-1] if arguments[-1].startswith("--") else None
    told = f"{option} is given" if option else "an argument is"
    said = f"oncefit: {told} {empty!r}, which is empty; give a value, or leave it out\n"
    assert refused(*arguments, empty) == said
    if option:
        assert refused(*arguments[:-1], f"{option}={empty}") == said


def test_what_is_no_file_of_a_subnet(tmp_path: Path, refused: Refused) -> None:
    for command in (("cost",), ("export", "fmnist_mbv3", "--pick")):
        said = refused(*command, "5b252dafe1")
        assert said.startswith(
            "oncefit: cannot read 5b252dafe1: there is no such file; give the file of a subnet, or "
        )
        assert "An arch id is known to the run that has it" in said
        assert "oncefit export RUN --pick ID" in said
        said = refused(*command, "nowhere.json")
        assert "cannot read nowhere.json: there is no such file" in said
        assert "arch id" not in said
        assert f"cannot read {tmp_path}: it is a folder; give the file" in refused(*command, tmp_path)


def test_an_image_size_tells_no_supernet_apart_and_is_not_missed(refused: Refused) -> None:
    settings = "{ks: 3, e: 3, d: 2}"
    said = refused("cost", settings, "--image-size", 160)
    assert "do not say which supernet they are of" in said
    assert "name it with --supernet" in said
    assert "does not say how large its images are: give --image-size N" in refused("cost", settings)
    assert "a number of pixels from 1 to" in refused("cost", settings, "--image-size", 0)


# -- ledgers of carbon ---------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"region": ""}, r"mine\.yaml: region: got ''; Input should not be empty\n"),
        ({"region": 3}, r"mine\.yaml: region: got '3'; Input should be a valid string, or a mapping, as {key: value}\n"),
        ({"region": {"grams_per_kwh": 5}}, r"mine\.yaml: the key 'region\.source' is missing\n"),
        ({"region": {"grams_per_kwh": 5, "sorce": "x"}}, r"'region\.source' is missing; .*unknown key 'sorce'\. Did you mean 'source'"),
        ({"baseline": {"mj": "x"}}, r"mine\.yaml: baseline\.mj: got 'x'; a figure is a number, or {low"),
        ({"training": {"kg": 1, "region": "ZZZ"}}, r"region is the grid of kwh or watts, and there are none"),
        ({"life_days": 1e308, "requests_per_day": 1e308}, r"requests_per_day x life_days x devices is beyond what a number"),
        ({"life_days": 1e-300, "requests_per_day": 1e-300}, r"requests_per_day x life_days x devices is beyond"),
        ({"embodied": {"kg": 1e308}, "devices": 1000}, r"figures are so large that what follows from them is no number"),
    ],
)  # fmt: skip
def test_a_wrong_deployment(changes: dict[str, Any], message: str, tmp_path: Path, refused: Refused) -> None:
    right = {"requests_per_day": 1, "life_days": 1, "region": "FRA", "inference": {"mj": 1}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**right, **changes}))
    assert re.search(message, refused("carbon", "--deployment", "mine.yaml", "--out", "ledger"))
    assert not Path("ledger").exists()


def test_which_subnet_is_asked_of_a_run_alone(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "mine.yaml").write_text("{requests_per_day: 1, life_days: 1, inference: {mg: 1}}")
    (tmp_path / "grid.csv").write_text("hour,grams_per_kwh\n0,1\n")
    said = refused("carbon", "--deployment", "mine.yaml", "--pick", "knee")
    assert "--pick knee is of a run, and there is none" in said
    assert "without RUN and other options" in refused(
        "carbon", "--intensity", "grid.csv", "--hours", 1, "--pick", "knee"
    )


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        ({"watts": 0}, r"stop\.watts: got '0'; a machine that searches draws more than 0 watts"),
        ({"watts": {"low": 0, "value": 2, "high": 4}}, r"stop\.watts: got .*draws more than 0 watts"),
        ({"region": ""}, r"stop\.region: got ''; Input should not be empty"),
    ],
)
def test_a_wrong_stop(stop: dict[str, Any], message: str, config: Written, refused: Refused) -> None:
    path = config(objectives=["top1", "co2e_mg"], stop={"requests": 1e9, "top1": 0.9, **stop})
    assert re.search(message, refused("search", path))


# -- devices -------------------------------------------------------------------


def test_a_kit_is_refused_its_place_before_it_is_made(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "mine.yaml").write_text("a: file of mine")
    assert "mine.yaml is there already, and is no kit" in refused("profile", "kit", "x", "--out", "mine.yaml")
    assert (tmp_path / "mine.yaml").read_text() == "a: file of mine"
    assert "is a folder; a kit is one file: give --out " in refused("profile", "kit", "x", "--out", tmp_path)
    assert "cannot write" in refused("profile", "kit", "x", "--out", "mine.yaml/kit.zip")


def test_a_device_is_not_called_like_a_file(refused: Refused) -> None:
    for command in (("profile",), ("profile", "kit")):
        assert "called 'x.yaml' would be taken for a file; give the name 'x'" in refused(*command, "x.yaml")
        assert "got 'a/b'; give another name" in refused(*command, "a/b")


def test_a_device_fitted_for_another_space(
    supernet: Supernet, other: Path, config: Written, tmp_path: Path, refused: Refused
) -> None:
    device = yaml.safe_load((CONFIGS / "devices" / "host.yaml").read_text())
    device["latency"] = {
        "supernet": supernet.name, "fingerprint": supernet.fingerprint, "intercept_ms": 0.1,
        "coefficients": {"conv1.calls": 0.01}, "subnets": 32, "error_percent": 3.0, "folds": 8, "spread_percent": 1.0,
    }  # fmt: skip
    mine = tmp_path / "device.yaml"
    mine.write_text(yaml.safe_dump(device))
    message = refused("search", config(supernet=str(other)), "--device", mine)
    assert re.search(r"fitted for the network of fmnist_mbv3 \(.*\), not for that of other \(", message)
    assert "--device host measures this machine for other" in message
    assert "has no coefficient" in refused("search", config(), "--device", mine)
    device["latency"] = None
    mine.write_text(yaml.safe_dump(device))
    assert "has no latency model: --device host fits one" in refused(
        "search", config(), "--device", mine, "--budget", "latency_ms=1"
    )
    device["power"]["static"] = 1
    mine.write_text(yaml.safe_dump(device))
    assert "power: unknown key 'static'. Did you mean 'static_w'?" in refused("device", mine)


def test_only_this_machine_is_measured_again(tmp_path: Path, refused: Refused) -> None:
    mine = Path(shutil.copy(CONFIGS / "devices" / "host.yaml", tmp_path / "mine.yaml"))
    assert "--refresh measures host again" in refused("device", mine, "--refresh")


# -- fine-tuning ---------------------------------------------------------------


@pytest.fixture
def trainable(own_data: Path, tmp_path: Path) -> Path:
    """The data set with images to train on."""
    folder = Path(shutil.copytree(own_data, tmp_path / "trainable"))
    shutil.copytree(folder / "calibration", folder / "train")
    return folder


def test_what_cannot_be_fine_tuned(
    runs: Mapping[str, Path], own_data: Path, trainable: Path, tmp_path: Path, refused: Refused
) -> None:
    bundle = runs["run_bundle"]
    for arguments, message in (
        ((tmp_path, "--data", trainable), f"{tmp_path} is neither a bundle, which has card.json, nor a run"),
        ((bundle, "--data", "nowhere"), "there is no folder nowhere; give a folder of images with --data"),
        ((bundle, "--data", own_data), "has no train/, and training needs images to train on"),
        (
            (bundle, "--data", trainable, "--device-type", "tpu"),
            "unknown device type 'tpu'.",
        ),
        ((bundle, "--data", trainable, "--recipe", "mine.yaml"), "cannot read mine.yaml"),
        (
            (bundle, "--data", trainable, "--supernet", "ofa_resnet50"),
            "was cut out of the supernet fmnist_mbv3, and",
        ),
        (
            (runs["other_bundle"], "--data", trainable),
            "was cut out of the supernet other, which does not ship with oncefit; give its YAML",
        ),
    ):
        assert message in refused("finetune", *arguments), arguments
    assert not (tmp_path / "runs").exists(), "nothing was written"


# -- folders to write to -------------------------------------------------------


def test_an_output_folder_that_cannot_be_written(
    runs: Mapping[str, Path], run: Path, config: Written, trainable: Path, tmp_path: Path, refused: Refused
) -> None:
    (tmp_path / "file").write_text("in the way")
    below = tmp_path / "file" / "below"
    for arguments in (
        ("search", config()),
        ("search", config(), "--device", "host"),  # told before the host is measured
        ("export", runs["run"]),
        ("compare", runs["run"], run),
        ("train", "configs/training/fmnist_mbv3.yaml"),
        ("finetune", runs["run"], "--data", trainable),
        ("demo",),
    ):
        message = refused(*arguments, "--out", below)
        assert f"cannot write {below}" in message, arguments
        assert "choose another folder with --out" in message
    assert "file is a file; choose another folder with --out" in refused(
        "search", config(), "--out", tmp_path / "file"
    )


def test_a_bundle_does_not_replace_something_else(
    runs: Mapping[str, Path], tmp_path: Path, refused: Refused
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert "it holds notes.txt; it was left as it is" in refused(
        "export", runs["run"], "--out", tmp_path
    ).replace(str(tmp_path), "")
    assert (tmp_path / "notes.txt").read_text() == "mine"


LOOP, NOWHERE = "loop", "nowhere"
TOO_LONG, TOO_LONG_A_NAME, DEEP = "a" * 5_000, "a" * 256, "a/" * 1_500


@pytest.fixture
def links(tmp_path: Path) -> None:
    """Symbolic links to themselves and to nothing."""
    for name in (LOOP, f"{LOOP}.yaml"):
        (tmp_path / name).symlink_to(tmp_path / name)
    (tmp_path / NOWHERE).symlink_to(tmp_path / "no" / "such" / "folder")


@pytest.mark.parametrize(
    "folder", [TOO_LONG, TOO_LONG_A_NAME, DEEP, LOOP, f"{LOOP}/below", NOWHERE, f"{NOWHERE}/below"],
    ids=lambda folder: f"{folder[:10]} of {len(folder)}",
)  # fmt: skip
def test_a_folder_that_no_file_system_takes(
    folder: str,
    runs: Mapping[str, Path],
    run: Path,
    config: Written,
    tmp_path: Path,
    links: None,
    refused: Refused,
) -> None:
    commands = [("search", config()), ("demo",), ("compare", runs["run"], run), ("export", runs["run"])]
    before = sorted(tmp_path.iterdir())
    for arguments in commands[: 1 if folder == DEEP or folder.startswith(NOWHERE) else None]:
        message = refused(*arguments, "--out", folder)
        assert re.search("cannot (write|use|keep a study in)", message), arguments
        assert len(message) < 1_000, "a long path is not repeated as a whole"
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("path", [TOO_LONG, DEEP, LOOP], ids=["long", "deep", "loop"])
def test_a_file_that_no_file_system_has(path: str, config: Written, links: None, refused: Refused) -> None:
    for arguments in (
        ("search", path), ("search", f"{path}.yaml"), ("train", path), ("cost", path), ("device", path),
        ("verify", path), ("evaluate", path), ("export", path), ("compare", path, f"{path}/other"),
        ("predictor", "info", path), ("predictor", "train", "mine", path, "--supernet", "fmnist_mbv3"),
        ("devices", "import", "note10", path), ("weights", "fetch", path), ("finetune", path, "--data", path),
        ("weights", "import", "ofa_resnet50", path),
        *(("search", config(), f"--{key}", path) for key in ("device", "data", "predictor")),
        ("search", config(), "--storage", f"sqlite:///{path}/study.db"),
    ):  # fmt: skip
        assert len(refused(*arguments)) < 2_000, arguments


def test_a_deep_folder_is_made(config: Written, tmp_path: Path) -> None:
    """As deep as a study may lie; making it takes no recursion."""
    room = 480 - len(str(tmp_path))
    out = tmp_path.joinpath(*["a"] * (room // 2))
    with pytest.raises(SystemExit) as end:
        main(["search", str(config()), "--out", str(out)])
    assert end.value.code == 0
    assert (out / "result.json").is_file()


def test_a_file_without_an_end_is_not_read_for_ever(refused: Refused) -> None:
    assert "/dev/zero is larger than 64 MiB" in refused("cost", "/dev/zero")


# -- what is told is what is wrong ---------------------------------------------


def test_a_file_of_another_kind_is_called_what_it_is(
    tmp_path: Path, config: Written, refused: Refused
) -> None:
    whole = tmp_path / "net.config"
    whole.write_text('{"name": "OFAMobileNetV3", "bn": null, "blocks": []}')
    message = refused("cost", whole, "--image-size", 160)
    assert "is the config of a whole supernet, OFAMobileNetV3, not of a subnet" in message
    assert "Did you mean" not in message
    assert "mine.yaml is none of: an arch" in refused("cost", config())
    assert "net.config is not named *.yaml; a search is a .yaml file" in refused("search", whole)
    assert "is a folder; a device is a .yaml file" in refused("search", config(), "--device", tmp_path)
    table = tmp_path / "mobile_trim.yaml"
    table.write_text("Conv-input:224x224x3-output:112x112x24: {latency: 1.5}\n")
    message = refused("devices", "import", "pixel1", tmp_path)
    assert "is a table of another layout: no entry of it is a mean or has one" in message
    assert "{'latency': 1.5}" in message


# -- as a user sees it ---------------------------------------------------------


def process(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "search", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def test_in_a_process_of_its_own(config: Written, tmp_path: Path) -> None:
    path = config(sampler="nsga3")
    plain = process("search", path, "--json", cwd=tmp_path)
    assert (plain.returncode, plain.stdout) == (2, "")
    assert plain.stderr == (
        f"oncefit: unknown sampler in {path}: 'nsga3'. Did you mean 'nsga2'? Known: guided, nsga2, random, tpe\n"
    )
    debug = process("search", path, "--debug", cwd=tmp_path)
    assert debug.returncode == 2
    assert debug.stderr.startswith("Traceback (most recent call last)")
    assert debug.stderr.endswith(plain.stderr)


def test_unknown_commands_and_options_are_told_the_closest(tmp_path: Path) -> None:
    for arguments, close in (
        (("serch", "a.yaml"), "search"),
        (("search", "a.yaml", "--budgets", "1"), "--budget"),
    ):
        found = process(*arguments, cwd=tmp_path)
        assert (found.returncode, found.stdout) == (2, "")
        assert "Traceback" not in found.stderr
        assert close in found.stderr
