"""What ``check_supernet`` says of supernets: nothing of sound ones, and which layer of faulty ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import oncefit
from oncefit.testing import CHECKS, SupernetCheck, check_supernet, look_at_supernet
from search.cli.app import main
from supernet.families.catalog import open_supernet
from tests.helpers.broken_networks import Whole
from tests.helpers.ofa_settings import OFA_SUPERNETS
from tests.helpers.own_network import SMALL, write_own

PREFIX = "tests.helpers.broken_networks:"


def test_the_shipped_supernet_is_what_it_is_taken_for() -> None:
    found = check_supernet("fmnist_mbv3", archs=12, seed=3)
    assert [one.name for one in found.outcomes if one.left_out is not None] == []


@pytest.mark.parametrize("name", OFA_SUPERNETS)
def test_those_of_ofa_are_what_they_are_taken_for(name: str) -> None:
    """At small images; what ofa's own classes compute is held against ours elsewhere."""
    described = open_supernet(name).restricted({"resolution": (128, 132)})
    checks = ("archs", "fingerprint", "outputs", "counts", "layers", "blocks", "tables", "rebuilt")
    check_supernet(oncefit.Supernet(described, source=name), archs=3, checks=checks)


def test_a_network_of_ones_own_is_what_it_is_taken_for(tmp_path: Path) -> None:
    found = check_supernet(write_own(tmp_path), archs=5)
    assert [one.verdict for one in found.outcomes] == ["passed"] * len(CHECKS)
    assert str(found).startswith(
        "elastic_resnet: 14 checks passed, on 5 archs\n  archs         passed    canonical"
    )
    assert found._repr_html_().startswith("<pre>elastic_resnet: 14 checks")


def test_an_object_given_in_python_is_checked_as_far_as_it_goes() -> None:
    own = Whole(**SMALL)
    own.name, own.classes = "mine", tuple(SMALL["classes"])
    found = check_supernet(own, archs=3)
    assert {one.name: one.left_out for one in found.outcomes if one.left_out is not None} == {
        "fingerprint": "given in Python, it is described once",
        "saved": "its weights come with it, and are loaded from no file",
    }


FAULTS = [
    ("LossyArchs", "archs", 'the arch through JSON: expected {"space":"elastic_resnet","choices":{"resolution":11,"depth.1":2'),
    ("OtherEachTime", "fingerprint", "the fingerprint of the same description: expected "),
    ("OneOutputMore", "outputs", "logits of one image: expected shape (1, 3), found shape (1, 4)"),
    ("ExtraBias", "counts", "parameters of layers(arch): expected 1,"),
    ("ForgottenLayer", "counts", "multiply-adds of layers(arch): expected "),
    (
        "WrongKernel", "layers",
        "layer stage2_block1.conv2: expected conv of 6 to 6 channels, 6 to 6 pixels, kernel 3, stride 1, without bias, as "
        "stage2_block1.conv2.conv of network(arch), found conv of 6 to 6 channels, 6 to 6 pixels, kernel 5, stride 1, without bias",
    ),
    (
        "SkippedNorm", "layers",
        "layer stage1_block1.conv2: expected batch norm of 4 channels, as stage1_block1.conv1.bn of network(arch), found conv of",
    ),
    (
        "ForgottenLayer", "layers",
        "layers(arch), behind its last: expected linear of 6 to 3 channels, with bias, as classifier of network(arch), found nothing",
    ),
    ("ForgottenRelu", "blocks", "logits of layers(arch) put together: expected those of network(arch), found logits that differ by"),
    ("CoarseSegments", "tables", "macs in the tables: expected "),
    ("SeesOtherImages", "batches", "one image at a time: expected the logits of eight at once, found logits that differ by up to"),
    ("ForgottenCopy", "extraction", "extract(arch): expected the logits of forward(x, values), found logits that differ by up to"),
    ("ForgottenStatistics", "extraction", "extract(arch): expected the logits of forward(x, values), found logits that differ"),
    ("InTraining", "extraction", "extract(arch): expected a module in eval mode, found one in training mode"),
    ("SharedWeights", "independence", "of the supernet, after a subnet was set to zero: expected as before, found changed"),
    ("OtherNames", "rebuilt", "network(arch): expected the tensors of extract(arch), found Error(s) in loading state_dict"),
    ("OutsideTheState", "saved", "the supernet's weights, saved and loaded: expected the same logits, found logits that differ"),
    ("HalfSorted", "sorted", "the largest subnet after sort_channels(): expected the logits from before, found logits that differ"),
    ("OneImageOnly", "onnx", "the ONNX model: expected the logits of network(arch), found logits that differ by up to"),
    ("Failing", "extraction", "it: expected no error, found KeyError: 'stage3' in "),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "check", "said"), FAULTS, ids=[f"{fault}-{check}" for fault, check, _ in FAULTS]
)
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_fault_is_found_and_told(fault: str, check: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as raised:
        check_supernet(write_own(tmp_path, PREFIX + fault), archs=3, checks=[check])
    assert said in str(raised.value)


def test_every_check_can_fail() -> None:
    assert {check for _, check, _ in FAULTS} == set(CHECKS)


def test_all_that_is_found_is_told_at_once(tmp_path: Path) -> None:
    found = look_at_supernet(write_own(tmp_path, PREFIX + "ForgottenLayer"), archs=8)
    assert isinstance(found, SupernetCheck)
    assert [one.name for one in found.failed] == ["counts", "layers"]
    assert str(found).startswith("elastic_resnet: 2 of 13 checks failed, on 8 archs\n")
    assert "blocks        left out  layers disagree with the network" in str(found)
    assert str(found).count("counts: arch ") == 5
    assert "counts: and 11 more" in str(found)


def test_wrong_arguments_are_told(tmp_path: Path) -> None:
    with pytest.raises(oncefit.InputError, match=r"unknown check 'layer'\. Did you mean 'layers'\?"):
        check_supernet("fmnist_mbv3", checks=["layer"])
    with pytest.raises(oncefit.InputError, match="archs: got 0; 1 to 1,000 is possible"):
        check_supernet("fmnist_mbv3", archs=0)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["supernet", "check", *arguments])
    return int(end.value.code or 0)


def test_the_command_line_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = write_own(tmp_path)
    assert run(sound, "--archs", "2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["passed"]
    (tmp_path / "faulty").mkdir()
    faulty = write_own(tmp_path / "faulty", PREFIX + "WrongKernel")
    assert run(faulty, "--archs", "2") == 2
    shown = capsys.readouterr().out
    assert "checks failed, on 2 archs" in shown
    assert "layers: arch " in shown
    assert run(faulty, "--archs", "2", "--json") == 2
    [layers] = [one for one in json.loads(capsys.readouterr().out)["checks"] if one["check"] == "layers"]
    assert layers["mismatches"][0]["what"] == "layer stage2_block1.conv2"
