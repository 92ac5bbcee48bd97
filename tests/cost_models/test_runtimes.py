"""Every runtime that is installed answers as torch does, at every precision it claims; what it cannot is refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from cost_models.drift import quiet_latencies
from cost_models.measurements import PRECISIONS, Setup, archs_of
from cost_models.measuring import load_checked, measure, said, settings, untrained
from cost_models.runtimes import registry, run_onnxruntime
from cost_models.runtimes.protocol import TOLERANCES, Loaded, Runtime, check_answer, check_input
from cost_models.runtimes.registry import RUNTIMES, open_runtime, processors, runtime_of
from supernet.bundles.onnx_export import export_onnx
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from tests.helpers.tiny import all_archs, open_tiny

INSTALLED = [name for name in RUNTIMES if not runtime_of(name).missing()]
"""Those that ``pip install 'oncefit[dev]'`` brings, and any other that is here."""
CLAIMS = [(name, p) for name in INSTALLED for p in runtime_of(name).precisions]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Supernet:
    return open_tiny(tmp_path_factory.mktemp("tiny"))


def loaded_here(runtime: Runtime, net: Supernet, setup: Setup, folder: Path) -> Loaded:
    """The largest subnet; no test on a processor without the instructions, and a failure for any other fault."""
    try:
        return load_checked(runtime, net, net.space.largest(), setup, folder)
    except InputError as error:
        if "no such instructions on this processor" in str(error):
            pytest.skip(str(error))
        raise


def test_what_development_installs_is_tested() -> None:
    assert {"onnxruntime", "openvino", "torch"} <= set(INSTALLED)


@pytest.mark.parametrize(("name", "precision"), CLAIMS)
def test_a_runtime_answers_a_batch_as_torch_does(
    net: Supernet, tmp_path: Path, name: str, precision: str
) -> None:
    setup = Setup.model_validate({"runtime": name, "precision": precision, "batch": 3})
    runtime = open_runtime(setup)
    with runtime.pinned(setup):
        loaded = loaded_here(runtime, net, setup, tmp_path)
        first = loaded.logits()
        loaded.run()
        assert first.shape == (3, 3)
        assert np.array_equal(first, loaded.logits())
    assert loaded.reported


def test_openvino_computes_in_what_it_was_asked_for(net: Supernet, tmp_path: Path) -> None:
    """Left alone it takes bf16 where the processor has it."""
    apart = {}
    for precision in ("fp32", "bf16"):
        setup = Setup.model_validate({"runtime": "openvino", "precision": precision})
        runtime = open_runtime(setup)
        loaded = loaded_here(runtime, net, setup, tmp_path)
        assert str(loaded.reported["convolutions"]).endswith({"fp32": " f32", "bf16": " bf16"}[precision])
        apart[precision] = loaded.logits()
    assert 1e-5 < np.abs(apart["fp32"] - apart["bf16"]).max() < 0.1


def test_torchs_threads_and_kernels_are_put_back(net: Supernet) -> None:
    import torch

    before = torch.get_num_threads(), torch.backends.mkldnn.conv.fp32_precision
    other = 1 if before[0] > 1 else min(2, processors())
    setup = Setup(runtime="torch", threads=other)
    with open_runtime(setup).pinned(setup):
        assert torch.get_num_threads() == other
        assert torch.backends.mkldnn.conv.fp32_precision == "ieee"
    assert (torch.get_num_threads(), torch.backends.mkldnn.conv.fp32_precision) == before


def test_a_setup_that_a_runtime_cannot_do_is_refused_with_what_it_can() -> None:
    for name, precision in itertools.product(RUNTIMES, PRECISIONS):
        if precision not in runtime_of(name).precisions:
            with pytest.raises(InputError, match=rf"--precision {precision} is nothing that {name} can do"):
                open_runtime(Setup.model_validate({"runtime": name, "precision": precision}))
    with pytest.raises(InputError, match=r"does fp32, int8; bf16 is done by openvino, torch"):
        open_runtime(Setup(precision="bf16"))
    with pytest.raises(InputError, match=rf"may use {processors()} processors"):
        open_runtime(Setup(threads=processors() + 1))
    with pytest.raises(InputError, match=r"unknown runtime 'openvinoo'\. Did you mean 'openvino'"):
        open_runtime(Setup(runtime="openvinoo"))


def test_a_runtime_that_is_missing_says_what_installs_it() -> None:
    absent = Runtime(
        "fastest", ("oncefit-no-such-a", "oncefit-no-such-b"), ("fp32",), run_onnxruntime.load, "f"
    )
    with pytest.raises(InputError) as caught:
        registry.check_installed(absent)
    for part in ("oncefit-no-such-a and oncefit-no-such-b", "pip install 'oncefit[f]'", "onnxruntime, "):
        assert part in str(caught.value)


def test_extras_are_those_of_the_package() -> None:
    import tomllib

    from tests.helpers.paths import ROOT

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for runtime in map(runtime_of, RUNTIMES):
        named = extras[runtime.extra] if runtime.extra else project["dependencies"]
        assert all(any(line.startswith(package) for line in named) for package in runtime.packages)


def test_wrong_shapes_and_answers_are_found_by_us() -> None:
    images = np.zeros((2, 1, 9, 9), dtype=np.float32)
    check_input(["n", 1, 9, 9], images, "it")
    check_input((2, 1, 9, 9), images, "it")
    for wrong in (["n", 1, 16, 16], [1, 1, 9, 9], ["n", 9, 9], "scalar", None):
        with pytest.raises(InputError, match=r"it does not take images of shape \(2, 1, 9, 9\): it declares"):
            check_input(wrong, images, "it")
    right = np.array([[1.0, -2.0, 3.0]])
    assert check_answer(right * 1.0001, right, Setup(), "x") == pytest.approx(1e-4, rel=1e-6)
    for answer, message in (
        (right[0], r"with shape \(3,\), and \(1, 3\) is due: 1 images, 3 classes"),
        (right * np.nan, "NaN or infinity at fp32"),
        (right * 1.01, r"logits that are 0\.01 from torch's, and at fp32 at most 0\.001"),
    ):
        with pytest.raises(InputError, match=message):
            check_answer(answer, right, Setup(), "x")


def test_another_subnets_answer_is_beyond_every_tolerance(net: Supernet, tmp_path: Path) -> None:
    """The runtime runs a file of other weights: at no precision may that pass for the subnet."""
    import torch

    arch = net.space.largest()
    images = np.random.default_rng(0).standard_normal((1, 1, 16, 16), dtype=np.float32)
    with torch.inference_mode():
        expected = untrained(net, arch)(torch.from_numpy(images)).numpy()
    torch.manual_seed(3)
    export_onnx(net.family.static(arch).eval(), 1, 16, tmp_path / "other.onnx")
    answer = run_onnxruntime.on_file(tmp_path / "other.onnx", images, Setup()).logits()
    for precision in TOLERANCES:
        with pytest.raises(InputError, match="it does not run this network as it is"):
            check_answer(answer, expected, Setup.model_validate({"precision": precision}), "x")


@pytest.mark.parametrize("name", ["onnxruntime", "torch", "openvino"])
def test_subnets_are_measured_with_all_that_moves_their_time_on_record(net: Supernet, name: str) -> None:
    assert name in INSTALLED
    archs = all_archs(net)[:: len(all_archs(net)) // 4][:4]
    lines: list[str] = []
    measured = measure(net, archs, Setup(runtime=name), said(lines.append), rounds=3, slice_s=0.001)
    assert archs_of(measured, net) == archs
    assert measured.rounds in range(3, 7)
    assert [m.low_ms > 0 for m in quiet_latencies(measured)] == [True] * 4
    known = settings(measured)
    assert (known["runtime"], known["threads"], known["batch"], known["precision"]) == (name, 1, 1, "fp32")
    assert {name, "python"} <= measured.versions.keys()
    assert lines[0] == "loading subnets: 4 of 4"
