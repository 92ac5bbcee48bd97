"""A kit to measure another device: really run, alone, and what its result is told when it is not whole."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from cost_models import profiling
from cost_models.device import Device
from cost_models.kit import measure
from cost_models.kit.documents import seal_of
from cost_models.kit.making import make_kit
from cost_models.kit.result import device_of, read_result
from cost_models.latency import latency_ms
from cost_models.measurements import archs_of
from cost_models.protocol import Target
from search.cli.app import main
from supernet import documents
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from tests.helpers import tiny

ALLOWED = set(sys.stdlib_module_names) | {"numpy", "onnxruntime"}
SAMPLES = 8
WITHOUT_OURS = """
import builtins, runpy, sys
ours, real = ("torch", "onnx", "supernet", "cost_models", "search", "configs", "oncefit", "yaml"), builtins.__import__
def refuse(name, *rest, **more):
    if name.partition(".")[0] in ours:
        raise ImportError(name + " is not on a device")
    return real(name, *rest, **more)
builtins.__import__ = refuse
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a program where nothing of ours can be imported; -I keeps the folder and PYTHONPATH away."""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Supernet:
    return tiny.open_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def kit(net: Supernet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a kit."""
    path = tmp_path_factory.mktemp("kit") / "kit.zip"
    patch = pytest.MonkeyPatch()
    patch.setattr(profiling, "ROUNDS", 3)
    patch.setattr(profiling, "SLICE_S", 0.001)
    make_kit("phone", net, SAMPLES, 1, 2, 0, path, lambda _: None)
    patch.undo()
    return path


def unpacked(kit: Path, folder: Path) -> Path:
    with zipfile.ZipFile(kit) as file:
        file.extractall(folder)
    return folder


def run(folder: Path, *options: str, python: str = sys.executable, alone: bool = False) -> tuple[int, str]:
    program = str(folder / "measure.py")
    given = [program, *options] if alone else ["-c", WITHOUT_OURS, program, *options]
    found = subprocess.run([python, "-I", *given], capture_output=True, text=True, cwd=folder)
    return found.returncode, found.stdout + found.stderr


@pytest.fixture(scope="module")
def measured(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a kit that was run."""
    folder = unpacked(kit, tmp_path_factory.mktemp("device"))
    status, said = run(folder)
    assert status == 0, said
    assert "round 3 of 3" in said
    return folder


@pytest.fixture
def spoilt(measured: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], object]], Path]:
    """A copy of the result, edited and, unless told otherwise, sealed anew, as a forger would."""

    def spoil(edit: Callable[[dict[str, Any]], object], sealed: bool = True) -> Path:
        data = json.loads((measured / "result.json").read_text())
        edit(data)
        if sealed:
            data["manifest"]["seal"] = seal_of(data["manifest"])
            data["seal"] = seal_of(data)
        path = tmp_path / "result.json"
        path.write_text(json.dumps(data))
        return path

    return spoil


# -- the kit ----------------------------------------------------------------------------


def test_the_program_imports_nothing_that_a_device_lacks_and_is_of_python_3_8() -> None:
    text = Path(measure.__file__).read_text()
    tree = ast.parse(text, feature_version=(3, 8))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    wanted = {
        str(node.args[0].value)  # what is imported by its name in a string
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "needed"
        if isinstance(node.args[0], ast.Constant)
    }
    assert wanted == {"numpy", "onnxruntime"}
    assert {name.partition(".")[0] for name in names} <= ALLOWED
    assert not any(isinstance(node, ast.Match) for node in ast.walk(tree))
    for newer in (".removeprefix(", ".removesuffix(", "datetime.UTC", "strict=", " |= "):
        assert newer not in text, f"Python 3.8 has no {newer}"


def test_a_kit_is_small_and_its_models_are_whole_on_the_device(
    kit: Path, measured: Path, net: Supernet
) -> None:
    manifest = json.loads((measured / "manifest.json").read_text())
    assert (manifest["supernet"], manifest["fingerprint"]) == (net.name, net.fingerprint)
    assert len(manifest["models"]) >= SAMPLES
    for model in manifest["models"]:
        arch = net.space.from_dict(model["arch"])
        loaded = onnx.load(str(measured / model["file"]))  # with the weights that the device made
        sizes = [np.prod(tensor.dims) for tensor in loaded.graph.initializer]
        # a batch norm is a bias in its convolution; equal biases of a fresh network are one tensor
        assert sum(layer.weights for layer in net.layers(arch)) <= sum(sizes)
        weights = [onnx.numpy_helper.to_array(tensor) for tensor in loaded.graph.initializer]
        assert all(0 < np.abs(values).max() <= 0.05 for values in weights)
    with zipfile.ZipFile(kit) as file:
        assert not any(name.endswith(".bin") for name in file.namelist())


def test_no_activation_is_subnormal_or_infinite(tmp_path: Path) -> None:
    """In the largest network of a supernet as deep as any; such numbers would take another time than real ones."""
    from cost_models.kit.making import WEIGHTS, share_weights, weights
    from supernet.bundles.onnx_export import export_onnx

    net = open_supernet("ofa_mbv3_w1.0")
    arch = net.space.arch({**net.space.largest().values, "resolution": 128})
    path = tmp_path / "model.onnx"
    export_onnx(net.family.static(arch).eval(), 3, arch.resolution, path)
    model = onnx.load(str(path))
    told = weights(share_weights(model))
    drawn = (np.random.RandomState(told.seed).random_sample(told.bytes // 4) - 0.5) * (2 * told.bound)
    (tmp_path / WEIGHTS).write_bytes(drawn.astype("<f4").tobytes())
    names = [name for node in model.graph.node for name in node.output if node.op_type == "Conv"]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    path.write_bytes(model.SerializeToString())
    images = np.random.default_rng(0).uniform(-1, 1, (1, 3, 128, 128)).astype("float32")
    found = onnxruntime.InferenceSession(str(path)).run(None, {"images": images})
    tiniest = np.finfo("float32").tiny
    for values in found:
        assert np.isfinite(values).all()
        assert np.abs(values).max() > 1e-6
        assert not ((values != 0) & (np.abs(values) < tiniest)).any()
    assert len(found) > 60


def test_its_times_are_a_device(measured: Path, net: Supernet) -> None:
    path = measured / "result.json"
    device = device_of(read_result(path), net, "phone", path)
    latency = latency_ms(Target(net, device))
    assert latency.reach().minimum > 0
    model = device.fitted
    assert (model.subnets, model.settings["batch"], model.settings["rounds"]) == (
        len(device.measurements.subnets), 2, 3,
    )  # fmt: skip
    assert device.versions["onnxruntime"] == onnxruntime.__version__
    raw = json.loads(path.read_text())
    first = [one["times_ms"]["000"] for one in raw["rounds"]]
    assert list(device.measurements.subnets[0].rounds_ms) == first
    assert all(len(set(turn)) == model.subnets for turn in device.measurements.order)


def test_a_run_that_was_stopped_goes_on(measured: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(measured, tmp_path / "kit")
    path = folder / "result.json"
    data = json.loads(path.read_text())
    first = data["rounds"][0]
    data.update(rounds=[first], finished=False)
    path.write_text(json.dumps(dict(data, seal=seal_of(data))))
    with pytest.raises(
        InputError, match=r"result.json is partial: it has 1 of 3 rounds; python measure.py .* goes on"
    ):
        read_result(path)
    status, said = run(folder)
    assert status == 0
    assert "going on after round 1 of 3" in said
    done = json.loads(path.read_text())
    assert done["rounds"][0] == first
    read_result(path)
    assert run(folder)[0] == 2, "a finished result is not measured again unasked"
    status, said = run(folder, "--threads", "2")
    assert status == 2
    assert "is of other settings; move it away, or give --again" in said
    status, said = run(folder, "--threads", "2", "--again", "--save-memory", "--out", str(path))
    assert status == 0, said
    assert read_result(path).settings.threads == 2


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("models/003.onnx", b"x", "003.onnx is damaged or was changed; unpack the kit again"),
        ("models/003.onnx", None, "cannot read .*003.onnx .*; unpack the kit again"),
        ("manifest.json", b"{}", "is not the manifest of a kit"),
        ("manifest.json", b"{", "manifest.json is damaged"),
        ("result.json", b"{", "result.json is damaged"),
        ("result.json", b"{}", "is damaged or no result of a kit; move it away"),
    ],
)
def test_a_spoilt_kit_is_not_measured(
    kit: Path, tmp_path: Path, file: str, content: bytes | None, message: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = unpacked(kit, tmp_path)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    monkeypatch.setattr(measure, "HERE", str(folder))
    assert measure.main(["--out", str(folder / "result.json")]) == 2
    import re

    assert re.search(message, capsys.readouterr().err)


def test_what_a_device_lacks_is_told(kit: Path, tmp_path: Path) -> None:
    folder = unpacked(kit, tmp_path)
    status, said = run(folder, "--provider", "NnapiExecutionProvider")
    assert status == 2
    assert "onnxruntime has no NnapiExecutionProvider here, but " in said
    bare = subprocess.run(
        [sys.executable, "-I", "-S", str(folder / "measure.py")], capture_output=True, text=True
    )  # without site-packages
    assert bare.returncode == 2
    assert "numpy is needed" in bare.stderr
    assert "python -m pip install numpy onnxruntime" in bare.stderr


@pytest.mark.slow
def test_it_runs_where_nothing_but_numpy_and_onnxruntime_is_installed(
    kit: Path, tmp_path: Path, net: Supernet
) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "numpy", "onnxruntime"], check=True)
    listed = subprocess.run([python, "-m", "pip", "list", "--format=json"], capture_output=True, check=True)
    assert "torch" not in {row["name"] for row in json.loads(listed.stdout)}
    folder = unpacked(kit, tmp_path / "kit")
    status, said = run(folder, python=python, alone=True)
    assert status == 0, said
    path = folder / "result.json"
    assert device_of(read_result(path, kit), net, "phone", path).fitted.subnets >= SAMPLES


# -- the result -------------------------------------------------------------------------


def set_in(*keys: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(data: dict[str, Any]) -> None:
        *path, last = keys
        for key in path:
            data = data[key]
        data[last] = value

    return edit


def lose(*keys: Any) -> Callable[[dict[str, Any]], None]:
    def edit(data: dict[str, Any]) -> None:
        *path, last = keys
        for key in path:
            data = data[key]
        del data[last]

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (set_in("kind", value="device"), "is another document .*, not the result of a kit: measure.py writes that"),
        (set_in("kind", value="oncefit kit"), "is the manifest of a kit, not the result of a kit"),
        (set_in("format", value=2), "format: got 2; this version reads 1"),
        (lose("rounds", 1), "partial: it has 2 of 3 rounds"),
        (set_in("finished", value=False), "partial: it has 3 of 3"),
        (lose("rounds", 1, "times_ms", "004"), r"rounds\.1\.times_ms: no time of model 004"),
        (set_in("rounds", 1, "times_ms", "999", value=1.0), r"rounds\.1\.times_ms: the kit has no model 999"),
        (set_in("rounds", 2, "times_ms", "004", value=-1.0), r"rounds\.2\.times_ms\.004: got '-1.0'.*greater than 0"),
        (set_in("rounds", 2, "times_ms", "004", value=0), r"rounds\.2\.times_ms\.004: got '0'"),
        (set_in("rounds", 2, "times_ms", "004", value=float("nan")), "NaN is no number"),
        (set_in("rounds", 0, "reference_ms", value=[1.0, 1.0, 1.0, 1.0]), r"rounds\.0\.reference_ms: got 4 times of"),
        (set_in("rounds", 0, "order", 0, value="001"), r"rounds\.0\.order: it must name each model once"),
        (set_in("settings", "batch", value=1), r"settings\.batch: got 1, but the kit says 2"),
        (set_in("settings", "treads", value=1), r"settings: unknown key 'treads'\. Did you mean 'threads'"),
        (lose("device"), "the key 'device' is missing"),
        (set_in("manifest", "reference", value="x"), "manifest: .* its reference is none of them"),
    ],
)  # fmt: skip
def test_a_wrong_result_is_refused_by_name(
    spoilt: Callable[..., Path], edit: Callable[[dict[str, Any]], None], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_result(spoilt(edit))
    assert "result.json" in str(caught.value)


def test_an_edited_or_damaged_result_is_refused(spoilt: Callable[..., Path]) -> None:
    path = spoilt(set_in("rounds", 0, "times_ms", "000", value=1.5), sealed=False)
    with pytest.raises(InputError, match=r"result\.json was changed after it was written"):
        read_result(path)
    path = spoilt(set_in("manifest", "models", 0, "arch", "choices", "resolution", value=16), sealed=False)
    with pytest.raises(InputError, match="manifest: it was changed after the kit was made"):
        read_result(path)
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match=r"result\.json is not JSON"):
        read_result(path)


def test_a_foreign_result_is_refused(
    spoilt: Callable[..., Path], measured: Path, kit: Path, net: Supernet, tmp_path: Path
) -> None:
    path = measured / "result.json"
    with pytest.raises(
        InputError, match=rf"is of a kit for tiny with fingerprint {net.fingerprint}, but fmnist_mbv3 here"
    ):
        device_of(read_result(path, kit), open_supernet("fmnist_mbv3"), "phone", path)
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as file:
        manifest = json.loads((measured / "manifest.json").read_text()) | {"name": "other"}
        file.writestr("manifest.json", json.dumps(manifest | {"seal": seal_of(manifest)}))
    with pytest.raises(InputError, match=r"result.json is of another kit than .*other\.zip"):
        read_result(path, other)
    other.write_text("no zip")
    with pytest.raises(InputError, match=r"other\.zip is no kit"):
        read_result(path, other)


def test_the_commands(
    measured: Path, net: Supernet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("ONCEFIT_CACHE", str(tmp_path / "cache"))
    supernet = str(next(measured.parent.glob("tiny*/tiny.yaml")))

    def command(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stopped:
            main(["profile", *arguments])
        found = capsys.readouterr()
        return int(stopped.value.code or 0), found.out + found.err

    result = str(measured / "result.json")
    status, said = command("import", result, "--supernet", supernet, "--json")
    assert status == 0, said
    kept = documents.read(tmp_path / "cache" / "devices" / "phone.yaml", Device)
    told, _ = json.JSONDecoder().raw_decode(said)  # a busy machine is warned of behind it, on standard error
    assert told["error_percent"] == kept.fitted.error_percent
    assert command("import", result, "--supernet", supernet)[0] == 2
    status, said = command("import", result, "--supernet", supernet, "--name", "host")
    assert "host is a device that ships" in said
    status, said = command("import", result, "--supernet", supernet, "--name", "other")
    assert status == 0
    assert "error of the fit, cross-validated" in said
    status, said = command("kit", "a/b", "--supernet", supernet)
    assert status == 2
    assert "a device's name is made of letters" in said


def test_rounds_in_which_the_device_was_throttled_do_not_count(
    net: Supernet, spoilt: Callable[[Callable[[dict[str, Any]], object]], Path]
) -> None:
    """Most rounds at half the speed, by the reference too: the fit is to the others."""

    def throttle(data: dict[str, Any]) -> None:
        quick = data["rounds"][0]
        slow = {
            **quick,
            "times_ms": {key: 2 * time for key, time in quick["times_ms"].items()},
            "reference_ms": [2 * time for time in quick["reference_ms"]],
        }
        data["manifest"]["settings"]["rounds"] = data["settings"]["rounds"] = 7
        data["rounds"] = [quick, quick, quick, slow, slow, slow, slow]

    path = spoilt(throttle)
    device = device_of(read_result(path), net, "phone", path)
    steady = [subnet.rounds_ms[0] for subnet in device.measurements.subnets]
    cost = latency_ms(Target(net, device))
    archs = archs_of(device.measurements, net)
    ratios = sorted(cost(arch) / ms for arch, ms in zip(archs, steady, strict=True))
    assert ratios[len(ratios) // 2] == pytest.approx(1, abs=0.25)
    assert device.fitted.settings["drift_percent"] == pytest.approx(100)
