"""``oncefit.new_supernet``, ``oncefit supernet new`` and ``show``: the files, the first look, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save

import oncefit
from search.cli.app import main
from supernet import documents
from supernet.families.weights_size import DTYPE_NAMES, bytes_of_safetensors
from supernet.training.recipes import RecipeFile
from supernet.weights.checkpoints import save_weights
from tests.helpers import tiny

CLASSES = ("cat", "dog", "fox")
BOUNDS = {"max_macs": 3e6}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_images(
    folder: Path, mode: str = "RGB", side: int = 16, names: tuple[str, ...] = CLASSES
) -> np.ndarray:
    """Six images of noise of each class in ``train/``; gives their pixels (n, h, w) or (n, h, w, 3)."""
    rng = np.random.default_rng(0)
    pixels = []
    for name in names:
        (folder / "train" / name).mkdir(parents=True)
        for i in range(6):
            shape = (side, side, 3) if mode == "RGB" else (side, side)
            pixels.append(rng.integers(10 * i, 200, shape, np.uint8))
            Image.fromarray(pixels[-1]).save(folder / "train" / name / f"{i}.png")
    return np.stack(pixels)


def run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as end:
        main(["supernet", *arguments])
    return end.value.code


def test_the_files_describe_the_supernet_and_its_training() -> None:
    made = oncefit.new_supernet("mine", image_size=32, classes=CLASSES, **BOUNDS)
    assert made.classes == CLASSES
    assert made.space.by_name["resolution"].choices == (24, 28, 32)
    assert made.described.preprocessing.stored == 32
    assert 2.85e6 <= made.costs(made.largest())["macs"] <= 3e6
    recipe = documents.read(Path("mine.training.yaml"), RecipeFile)
    assert recipe.supernet == "mine.yaml"
    assert oncefit.open_supernet(recipe.supernet).described.fingerprint == made.described.fingerprint
    assert recipe.shift_pixels == 4
    assert "expand" in Path("mine.training.yaml").read_text()


def test_its_subnets_can_be_built_and_run() -> None:
    made = oncefit.new_supernet("mine", image_size=8, channels=1, classes=CLASSES, **BOUNDS)
    net = made.described.family.elastic()
    for arch in (made.smallest(), made.largest()):
        side = arch.resolution
        assert net.extract(arch)(torch.zeros(2, 1, side, side)).shape == (2, 3)


def test_large_images_are_cropped() -> None:
    made = oncefit.new_supernet("mine", image_size=96, classes=CLASSES, max_macs=2e7)
    assert made.described.preprocessing.stored is None
    assert made.described.preprocessing.crop == 0.875


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
def test_images_say_size_colour_classes_mean_and_std(mode: str, channels: int) -> None:
    pixels = write_images(Path("photos"), mode) / 255
    made = oncefit.new_supernet("mine", data="photos", **BOUNDS)
    how = made.described.preprocessing
    axes = (0, 1, 2)
    assert how.stored == 16
    assert made.classes == CLASSES
    assert how.mean == pytest.approx(np.atleast_1d(pixels.mean(axes)), abs=6e-4)
    assert how.std == pytest.approx(np.atleast_1d(pixels.std(axes)), abs=6e-4)
    assert len(how.mean) == channels
    assert "18 of 18 training images" in Path("mine.yaml").read_text()
    recipe = documents.read(Path("mine.training.yaml"), RecipeFile)
    assert recipe.batch_size == 2  # not one batch of all


def test_a_list_of_classes_by_name() -> None:
    made = oncefit.new_supernet("mine", image_size=64, classes="imagenet", max_macs=5e7)
    assert len(made.classes) == 1000


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "fmnist_mbv3"}, "is a supernet that ships"),
        ({"name": "ofa_mbv3_d234_e346_k357_w1.0"}, "is a supernet that ships"),
        ({"name": "../mine"}, "no name for a supernet"),
        ({"name": "mine.yaml"}, "no name for a supernet"),
        ({"out": "mine.txt"}, "a supernet is a .yaml file"),
        ({"image_size": 1}, "--image-size: got 1; 8 to 1,024"),
        ({"image_size": None}, "say how large the images are"),
        ({"channels": 2}, "--channels: got 2; 1"),
        ({"classes": None}, "say which there are"),
        ({"classes": "cat,dog,cat"}, "given more than once: cat"),
        ({"classes": "cat,,dog"}, "name is empty"),
        ({"classes": ["cat"]}, "at least two classes apart, got cat"),
        ({"classes": "a/b,a_b"}, "a/b and a_b"),
        ({"classes": "imagenette"}, "unknown list of classes .* or give two classes or more"),
        ({"classes": ["cat", "d\0og"]}, r"no text may hold: 'd\\x00og'"),
        ({"classes": ["cat", "d\udcffog"]}, r"no text may hold: 'd\\udcffog'"),
        ({"max_macs": 10.0}, "too few"),
        ({"max_macs": 1e15}, "too many"),
        ({"data": "nowhere"}, "there is no folder nowhere"),
        ({"data": "."}, "has no train/"),
    ],
)
def test_what_is_refused(given: dict[str, object], said: str) -> None:
    settings = {"name": "mine", "image_size": 32, "classes": CLASSES, **BOUNDS} | given
    with pytest.raises(oncefit.InputError, match=said):
        oncefit.new_supernet(**settings)  # type: ignore[arg-type]
    assert not list(Path().glob("*.yaml"))


def test_images_of_other_classes_and_no_images_are_refused() -> None:
    write_images(Path("photos"))
    with pytest.raises(oncefit.InputError, match="dgo"):
        oncefit.new_supernet("mine", data="photos", classes="cat,dgo,fox", **BOUNDS)
    for file in Path("photos/train").rglob("*.png"):
        file.unlink()
    with pytest.raises(oncefit.InputError, match="holds no image"):
        oncefit.new_supernet("mine", data="photos", **BOUNDS)


def test_files_that_are_there_stay() -> None:
    oncefit.new_supernet("mine", image_size=32, classes=CLASSES, **BOUNDS)
    before = Path("mine.yaml").read_text()
    with pytest.raises(oncefit.InputError, match="is there already"):
        oncefit.new_supernet("mine", image_size=16, classes=CLASSES, **BOUNDS)
    Path("mine.yaml").unlink()
    with pytest.raises(oncefit.InputError, match=r"mine\.training\.yaml is there already"):
        oncefit.new_supernet("mine", image_size=16, classes=CLASSES, **BOUNDS)
    assert "side" not in before


def test_the_first_look_is_of_all_subnets(tmp_path: Path) -> None:
    supernet = tiny.open_tiny(tmp_path)
    archs = tiny.all_archs(supernet)
    look = oncefit.open_supernet(tmp_path / "tiny.yaml").first_look()
    assert look.subnets == len(archs)
    for name, of_layers in (("macs", "macs"), ("params", "params")):
        every = [sum(getattr(layer, of_layers) for layer in supernet.layers(arch)) for arch in archs]
        spread = look.costs[name]
        assert (spread.least, spread.greatest) == (min(every), max(every))
        assert min(every) < spread.median < max(every)
    assert sum(stage.macs for stage in look.stages) == look.costs["macs"].greatest
    assert [stage.name for stage in look.stages] == ["stem", "stage1", "stage2", "head"]
    assert look.stages[2].choices == {"depth": (1, 2), "kernel": (3, 5), "expand": (2, 3)}


def test_the_weights_are_as_large_as_they_will_be(tmp_path: Path) -> None:
    supernet = tiny.open_tiny(tmp_path)
    look = oncefit.open_supernet(tmp_path / "tiny.yaml").first_look()
    file = tmp_path / "weights.safetensors"
    save_weights(supernet.family.elastic(), file)
    assert look.weights_bytes == file.stat().st_size
    held = load_file(file)
    assert look.weights == sum(
        t.numel() for n, t in held.items() if "running" not in n and "num_batches" not in n
    )


def test_a_file_of_any_dtypes_is_as_large_as_safetensors_makes_it() -> None:
    """Names whose header ends at each place of eight, and some that are not ASCII."""
    for more in range(8):
        named = {
            f"{'é' * more}{dtype}".replace("torch.", ""): torch.zeros(3, more, dtype=dtype)
            for dtype in DTYPE_NAMES
        }
        assert bytes_of_safetensors(named) == len(save(named))


def test_the_command_writes_and_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("new", "mine", "--image-size", "16", "--max-macs", "4e6", "--classes", "cat, dog") == 0
    printed = capsys.readouterr()
    assert "wrote mine.yaml, mine.training.yaml" in printed.err
    for shown in ("subnets for RGB images of 2 classes, side 12, 14, 16", "MACs (M)", "stage3",
                  "oncefit train mine.training.yaml --data DIR"):  # fmt: skip
        assert shown in printed.out
    assert run("show", "mine.yaml", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["costs"]["macs"]["greatest"] <= 4e6
    assert found["resolutions"] == [12, 14, 16]


@pytest.mark.parametrize("name", ["fmnist_mbv3", "ofa_proxyless_w1.3"])
def test_any_supernet_is_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", name) == 0
    printed = capsys.readouterr().out
    assert name in printed
    assert "expand" in printed


def test_an_unknown_one_is_told_the_closest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "fmnist_mbv") == 2
    assert "Did you mean 'fmnist_mbv3'" in capsys.readouterr().err
