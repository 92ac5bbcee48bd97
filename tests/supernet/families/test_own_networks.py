"""A class of a user's own as a family: found, made, described, and told where something is wrong with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from supernet.errors import InputError
from supernet.families.catalog import FAMILIES, open_supernet
from supernet.own_code import is_dotted
from supernet.weights.checkpoints import save_weights
from tests.helpers.broken_networks import Whole
from tests.helpers.own_network import SMALL, WHOLE, write_own
from tests.helpers.paths import ROOT

TINY = """
from oncefit import Dimension, Layer, SearchSpace
import torch

class Net:
    def __init__(self, classes, width=2):
        super().__init__()
        self.classes, self.width = classes, width
        self.space = SearchSpace("own", (Dimension("resolution", (4,)),))

    def layers(self, arch):
        return [Layer("classifier", "conv", 1, len(self.classes), 4, 1, 4, bias=True)]

    def network(self, arch):
        return torch.nn.Sequential(torch.nn.Conv2d(1, len(self.classes), 4), torch.nn.Flatten())
"""


def write_module(folder: Path, module: str, text: str) -> None:
    (folder / f"{module}.py").write_text(text)


def opened(folder: Path, module: str, text: str, network: dict | None = None, **keys):
    write_module(folder, module, text)
    return open_supernet(
        write_own(folder, f"{module}:Net", "own", network or {"classes": ["a", "b"]}, **keys)
    )


def test_a_name_of_ours_is_no_dotted_path() -> None:
    assert not any(map(is_dotted, FAMILIES))
    assert is_dotted("mymodule:Net")
    assert is_dotted("my.module.Net")


@pytest.mark.parametrize("colon", [":", "."])
def test_a_class_beside_the_yaml_is_a_family_by_either_spelling(colon: str, tmp_path: Path) -> None:
    module = f"beside_{ord(colon)}"
    write_module(tmp_path, module, TINY)
    supernet = open_supernet(write_own(tmp_path, f"{module}{colon}Net", "own", {"classes": ["a", "b", "c"]}))
    assert supernet.classes == ("a", "b", "c")
    assert supernet.space.size == 1
    assert [layer.macs for layer in supernet.layers(supernet.space.largest())] == [48]
    assert supernet.of_classes(("x", "y")).layers(supernet.space.largest())[0].out_channels == 2


def test_weights_come_from_a_file_by_its_hash(tmp_path: Path) -> None:
    torch.manual_seed(5)
    net = Whole(**SMALL).eval()
    sha256 = save_weights(net, tmp_path / "net.safetensors")
    supernet = open_supernet(write_own(tmp_path, weights={"file": "net.safetensors", "sha256": sha256}))
    arch, images = supernet.space.middle(), torch.rand(2, 1, 11, 11)
    with torch.no_grad():
        assert torch.equal(supernet.load().extract(arch)(images), net.extract(arch)(images))
    assert supernet.weights_sha256 == sha256
    assert not supernet.is_given
    (tmp_path / "other").mkdir()
    without = open_supernet(write_own(tmp_path / "other"))
    with pytest.raises(
        InputError, match="the weights of elastic_resnet are not here: oncefit weights import"
    ):
        without.load()


def test_weights_may_come_with_the_object_and_network_may_give_them(tmp_path: Path) -> None:
    new = "torch.nn.Sequential(torch.nn.Conv2d(1, len(self.classes), 4), torch.nn.Flatten())"
    text = TINY.replace(f"return {new}", "return self.kept").replace(
        "        self.space", f"        self.kept = {new}\n        self.space"
    )
    supernet = opened(tmp_path, "weights_inside", text)
    arch = supernet.space.largest()
    assert len(supernet.weights_sha256) == 64
    subnet, expected = supernet.load().extract(arch), supernet.load().extract(arch)
    with torch.no_grad():
        subnet[0].weight.zero_()
    assert torch.equal(supernet.load().extract(arch)[0].weight, expected[0].weight)


def test_a_network_that_is_new_each_time_has_no_weights_to_give(tmp_path: Path) -> None:
    supernet = opened(tmp_path, "new_each_time", TINY)
    with pytest.raises(
        InputError,
        match=r"network\(arch\) gives other weights each time, .* add it, or let network give them",
    ):
        supernet.load().extract(supernet.space.largest())


def test_a_folder_with_a_class_runs_code_and_no_other_does() -> None:
    code = "import sys; from supernet.families.catalog import open_supernet; open_supernet('ofa_resnet50'); print('supernet.families.own_networks' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_two_modules_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    opened(tmp_path / "one", "same_name", TINY)
    with pytest.raises(
        InputError,
        match=r"two/same_name\.py is hidden by .*one/same_name\.py, which has the same name; rename",
    ):
        opened(tmp_path / "two", "same_name", TINY)


WITHOUT = "class Net:\n    def __init__(self, classes, **rest): pass\n"
SAID = [
    ("lacks_all", WITHOUT, {}, r"lacks_all:Net has no space, an oncefit\.SearchSpace, no layers\(arch\), .* no network\(arch\), .*; see docs"),
    ("lacks_one", TINY.replace("def network", "def networks"), {}, r"lacks_one:Net has no network\(arch\), the static torch module"),
    ("no_class", "Nets = 3\nclass Netz: pass\n", {}, r"unknown class in .*no_class\.py: 'Net'\. Did you mean 'Netz'\? Known: Netz"),
    ("fails_on_import", "1 / 0\n", {}, r"importing fails_on_import fails with ZeroDivisionError: division by zero in .*fails_on_import\.py, line 1"),
    ("needs_more", "import a_module_that_is_nowhere\n", {}, r"importing needs_more fails with ModuleNotFoundError: No module named 'a_module_that_is_nowhere'"),
    ("fails_when_made", TINY.replace("self.width = classes, width", "self.width = classes, 1 / width"), {"width": 0},
     r"fails_when_made:Net\(\.\.\.\) fails with ZeroDivisionError: division by zero in .*fails_when_made\.py, line 8"),
    ("wrong_key", TINY, {"widht": 3}, r"network: unknown key of Net 'widht'\. Did you mean 'width'\? Known: classes, width"),
    ("needs_key", TINY.replace("width=2", "width"), {}, r"network: the key 'width' is missing, which Net needs"),
    ("wrong_space", TINY.replace("self.space = SearchSpace", "self.space = 3 #"), {}, r"space is int, and must be an oncefit\.SearchSpace"),
    ("wrong_name", TINY.replace('"own"', '"theirs"'), {}, r"its space is called 'theirs', and the supernet 'own'; give both one name"),
    ("no_resolution", TINY.replace('"resolution"', '"depth"'), {}, r"its space has no dimension 'resolution', the side of the images"),
    ("two_alike", TINY.replace('(4,)),)', '(4,)), Dimension("resolution", (5,)))'), {}, r"space own has two dimensions called resolution"),
    ("no_layers", TINY.replace("return [Layer", "return [] and [Layer"), {}, r"layers\(arch\) returned \[\]; it must return a sequence of supernet\.layers\.Layer"),
    ("one_layer", TINY.replace("return [Layer", "return (Layer").replace("bias=True)]", "bias=True))"), {}, r"layers\(arch\) returned Layer\(.*must return a sequence"),
    ("wrong_layer", TINY.replace("return [Layer", "return [3, Layer"), {}, r"layers\(arch\) returned \[3, Layer"),
    ("wrong_op", TINY.replace('"conv"', '"cnov"'), {}, r"layer classifier: unknown op 'cnov'\. Did you mean 'conv'\?"),
    ("wrong_size", TINY.replace("1, len", "1.5, len"), {}, r"layer classifier: channels, sizes, kernel and stride are whole numbers from 1"),
    ("no_net", TINY.replace("return torch", "return str(7) or torch"), {}, r"no_net:Net\.network\(arch\) returned str; it must return a torch\.nn\.Module"),
    ("fails_in_layers", TINY.replace("return [Layer", "return [arch['depth'], Layer"), {}, r"fails_in_layers:Net\.layers of arch r4 fails with KeyError: 'depth' in .*fails_in_layers\.py, line 12"),
    ("wrong_segments", TINY + "    segments = (1,)\n", {}, r"segments is \(1,\), and must be a sequence of supernet\.layers\.Segment"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "text", "network", "said"), SAID, ids=[row[0] for row in SAID])
def test_what_is_wrong_with_a_class_is_told(
    module: str, text: str, network: dict, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        opened(tmp_path, module, text, {"classes": ["a", "b"], **network})


def test_an_extract_that_gives_no_module_is_told(tmp_path: Path) -> None:
    supernet = opened(
        tmp_path, "extracts_nothing", TINY + "\n    def extract(self, arch):\n        return None\n"
    )
    with pytest.raises(InputError, match=r"extracts_nothing:Net\.extract\(arch\) returned NoneType"):
        supernet.family.elastic()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("mobilenet_v4", r"unknown family in .*: 'mobilenet_v4'\. Did you mean 'mobilenet_v3'\?.*; a class of yours is given as module:Class"),
        ("nowhere_at_all:Net", r"family nowhere_at_all:Net: there is no module 'nowhere_at_all', neither in /.* nor where Python looks"),
    ],
)  # fmt: skip
def test_a_family_that_is_not_there_is_told(given: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        open_supernet(write_own(tmp_path, given))


@pytest.mark.parametrize("classes", [None, ["one"], [1, 2], 3])
def test_classes_are_names(classes: object, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"network\.classes: got .*; give the names of the network's outputs in order"
    ):
        open_supernet(write_own(tmp_path, WHOLE, network={**SMALL, "classes": classes}))


def test_classes_may_be_a_list_that_ships(tmp_path: Path) -> None:
    assert (
        len(open_supernet(write_own(tmp_path, WHOLE, network={**SMALL, "classes": "imagenet"})).classes)
        == 1000
    )
