"""Fine-tuning as a person does it: from a bundle and a folder of images to a bundle that verifies."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

import oncefit
from search.runs.in_int8 import evaluate_int8
from supernet.accuracy import Accuracy, mcnemar
from supernet.bundles import finetuning_job
from supernet.bundles.bundle import write_bundle
from supernet.bundles.bundle_card import read_card
from supernet.errors import InputError
from supernet.families import catalog
from supernet.families.catalog import Supernet
from supernet.formats.conversion import add_formats
from supernet.formats.protocol import FormatRequest
from supernet.formats.registry import export_formats
from supernet.images.class_folders import folder_name
from supernet.images.data import Dataset, Images, load_dataset
from supernet.images.preprocessing import prepare
from supernet.training.training_images import TrainingData
from supernet.training.training_state import TrainingProgress
from supernet.weights.checkpoints import save_weights
from tests.helpers.digits import NAMES, write_digits
from tests.helpers.own_data import WNIDS, write_train_and_val
from tests.helpers.struck import struck

Saying = list[str]


@pytest.fixture(scope="module")
def parent(supernet: Supernet, few: Dataset, tmp_path_factory: pytest.TempPathFactory) -> oncefit.Bundle:
    """The smallest subnet with its trained weights, and a format."""
    folder = tmp_path_factory.mktemp("bundles") / "parent"
    figures = {"macs": 1.0, "latency_ms": 0.5, "top1": 0.9}
    write_bundle(
        folder, supernet, supernet.load(), supernet.space.smallest(), few, figures, {},
        extend=lambda made: add_formats(made, export_formats("onnx"), FormatRequest(2), None, None, lambda _: None),
    )  # fmt: skip
    return oncefit.open_bundle(folder)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("data") / "digits", 60, 60)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "digits.yaml"
    path.write_text("mirror: false\nepochs: 8\nlearning_rate: 0.003\n")
    return path


@pytest.fixture(scope="module")
def tuned(
    parent: oncefit.Bundle, digits: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """The bundle, and what was said."""
    said: Saying = []
    out = tmp_path_factory.mktemp("tuned") / "digits"
    bundle = oncefit.finetune(parent, digits, recipe=recipe, out=out, seed=1, say=said.append)
    return bundle, said


def write_fashion(
    data: Dataset,
    target: Path,
    split: str,
    images: Images,
    count: int,
    change: Callable[[np.ndarray], np.ndarray] = lambda pixels: pixels,
    names: dict[int, str] | None = None,
) -> None:
    """The first ``count`` images, changed, in the class folders of ``names``, or of all."""
    called = names or {label: folder_name(name) for label, name in enumerate(data.classes)}
    for i, (pixels, label) in enumerate(
        zip(images.pixels[:count], images.labels[:count].tolist(), strict=True)
    ):
        if label in called:
            path = target / split / called[label] / f"{i:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(change(pixels.numpy()))).save(path)


# -- other classes -----------------------------------------------------------------


def test_digits_are_learned_from_a_subnet_of_clothes(tuned: Any, parent: oncefit.Bundle) -> None:
    bundle, said = tuned
    assert bundle.classes == tuple(sorted(NAMES))
    report = bundle.card.figures.measured["report"]
    assert report["images"] == 10 * 48
    assert report["top1"] > 0.8, "guessing is 0.1"
    about = bundle.card.finetuning
    assert about.classes == {"kept": (), "new": tuple(sorted(NAMES)), "gone": parent.classes}
    assert about.before is about.paired is None, "the parent has no output for these"
    assert about.distilled_from is None
    assert (about.training_images, about.epochs, about.recipe.seed, about.recipe.mirror) == (600, 8, 1, False)
    assert about.parent_card_sha256 == parent.card.card_sha256
    assert bundle.card.supernet == parent.card.supernet
    told = "\n".join(said)
    assert "the head is replaced, classes are matched by name: 10 new (eight, five" in told


def test_the_bundle_is_one_as_any(tuned: Any, digits: Path) -> None:
    bundle, _ = tuned
    assert sorted(p.name for p in bundle.folder.iterdir()) == sorted(["card.json", *bundle.card.files])
    assert not list(bundle.folder.parent.glob("*.checkpoint")), "what was needed to go on is gone"
    opened = oncefit.open_bundle(bundle.folder)
    found = opened.verify()
    assert found["top1_torch"] == found["top1_onnxruntime"] == bundle.card.figures.measured["report"]["top1"]
    assert opened.verify(supernet="fmnist_mbv3")["images"] == 480
    assert opened.evaluate()["measured"]["accuracy"]["top1"] == found["top1_torch"]
    assert opened.evaluate(digits / "train")["measured"]["accuracy"]["images"] == 600


def test_formats_of_the_weights_before_are_gone_and_it_is_said_what_makes_them_again(tuned: Any) -> None:
    bundle, said = tuned
    assert bundle.card.formats is None
    assert not (bundle.folder / "formats").exists()
    again = {"onnx": "oncefit convert BUNDLE --format onnx --batch 2"}
    assert bundle.card.formats_gone == bundle.summary["formats_gone"] == again
    assert f"oncefit convert {bundle.folder} --format onnx --batch 2" in said[-1]


def test_statistics_are_those_of_the_calibration_images(tuned: Any, digits: Path) -> None:
    """By the first batch norm: mean and variance of its convolution's outputs, in equal batches of at most 100."""
    bundle, _ = tuned
    subnet, side = bundle.subnet(), bundle.arch.resolution
    files = sorted((digits / "train").rglob("*.png"))
    assert len(files) == 600, "fewer than 2,000, so all of train/ calibrates"
    pixels = torch.from_numpy(np.stack([np.asarray(Image.open(file)) for file in files]))
    with torch.no_grad():
        maps = subnet.stem.conv(prepare(pixels, side, bundle.card.preprocessing.keys))
    torch.testing.assert_close(subnet.stem.bn.running_mean, maps.mean((0, 2, 3)), rtol=1e-4, atol=1e-4)


def test_costs_are_those_of_the_new_head(tuned: Any, parent: oncefit.Bundle, supernet: Supernet) -> None:
    predicted = tuned[0].card.figures.predicted
    assert predicted["params"] == sum(p.numel() for p in tuned[0].subnet().parameters())
    assert "top1" not in predicted, "that was of the weights before"
    assert predicted["latency_ms"] == 0.5, "as many outputs as before"


def test_a_fine_tuned_bundle_is_fine_tuned_again(
    tuned: Any, digits: Path, recipe: Path, tmp_path: Path
) -> None:
    """On fewer classes and a new one: rows go with their names, and before is not defined."""
    data = tmp_path / "data"
    shutil.copytree(digits, data)
    for split in ("train", "val"):
        shutil.rmtree(data / split / "zero")
        (data / split / "nine").rename(data / split / "another")
    again = oncefit.finetune(
        tuned[0], data, recipe=recipe, epochs=1, out=tmp_path / "out", say=lambda _: None
    )
    kept = tuple(name for name in tuned[0].classes if name not in ("nine", "zero"))
    assert again.classes == (*kept, "another")
    assert again.card.finetuning.classes == {"kept": kept, "new": ("another",), "gone": ("nine", "zero")}
    assert again.card.finetuning.parent_card_sha256 == tuned[0].card.card_sha256
    assert again.verify()["images"] == 9 * 48


# -- the same classes, or some of them ---------------------------------------------


@pytest.mark.slow
def test_a_short_fine_tuning_helps_on_shifted_images(
    supernet: Supernet, parent: oncefit.Bundle, data: Dataset, tmp_path: Path
) -> None:
    """Clothes lying on their side. The largest subnet is a teacher where it is right."""

    def lying(pixels: np.ndarray) -> np.ndarray:
        return np.rot90(pixels)

    write_fashion(data, tmp_path / "own", "train", data.calibration, 1000, lying)
    write_fashion(data, tmp_path / "own", "calibration", data.calibration, 500, lying)
    write_fashion(data, tmp_path / "own", "validation", data.validation, 300, lying)
    write_fashion(data, tmp_path / "own", "report", data.report, 1000, lying)
    said: Saying = []
    bundle = oncefit.finetune(
        parent, tmp_path / "own", epochs=6, distil=True, out=tmp_path / "out", say=said.append
    )
    about, after = bundle.card.finetuning, Accuracy(**bundle.card.figures.measured["report"])
    before = Accuracy(**about.before)
    assert before.images == after.images == 1000
    assert after.top1 > before.top1 + 0.15
    assert after.top1_low > before.top1_high
    assert about.classes == {"kept": data.classes, "new": (), "gone": ()}
    assert bundle.classes == data.classes, "in the order of the network, which sorted folders are not in"
    assert about.distilled_from == supernet.space.largest().id
    # the paired figures are those of the two bundles' own answers
    right = [answers_right(one, tmp_path / "own", data) for one in (parent, bundle)]
    only_before, only_after = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    assert about.paired["only_before"] == only_before
    assert about.paired["only_after"] == only_after
    assert about.paired["p_value"] == mcnemar(only_before, only_after).p_value < 1e-6
    assert before.top1 == pytest.approx(float(right[0].float().mean()))
    assert any("the head is kept" in one for one in said)
    assert any("answers of the largest subnet of fmnist_mbv3" in one for one in said)


def answers_right(bundle: oncefit.Bundle, folder: Path, data: Dataset) -> torch.Tensor:
    """Of each report image, in the order of its number."""
    files = sorted((folder / "report").rglob("*.png"), key=lambda path: path.name)
    names = [folder_name(name) for name in bundle.classes]
    pixels = torch.from_numpy(np.stack([np.asarray(Image.open(file)) for file in files]))
    labels = torch.tensor([names.index(file.parent.name) for file in files])
    with torch.no_grad():
        logits = bundle.subnet()(prepare(pixels, bundle.arch.resolution, data.preprocessing))
    return logits.argmax(1) == labels


def test_of_some_classes_before_is_the_parents_choice_among_them(
    parent: oncefit.Bundle, data: Dataset, tmp_path: Path
) -> None:
    names = {8: "Bag", 1: "Trouser", 9: "Ankle boot", 0: "T-shirt_top"}
    for split, images, count in (("train", data.calibration, 200), ("val", data.report, 400)):
        write_fashion(data, tmp_path / "own", split, images, count, names=names)
    bundle = oncefit.finetune(parent, tmp_path / "own", epochs=1, out=tmp_path / "out", say=lambda _: None)
    assert bundle.classes == ("T-shirt/top", "Trouser", "Bag", "Ankle boot")
    about = bundle.card.finetuning
    assert about.classes["gone"] == ("Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker")
    assert about.distilled_from is None
    assert about.before["top1"] > 0.9
    assert "latency_ms" not in bundle.card.figures.predicted, "it was of another number of outputs"


def test_nothing_is_seen_of_the_report_images_before_the_end(
    parent: oncefit.Bundle, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    class Watched(Images):
        def __getattribute__(self, name: str) -> Any:
            if name in ("pixels", "batch", "picked"):
                events.append("report")
            return super().__getattribute__(name)

    def load(*given: Any) -> TrainingData:
        found = finetuning_job_load(*given)
        report = found.dataset.report
        watched = Watched(report.pixels, report.labels, report.origin)
        events.clear()
        return replace(found, dataset=replace(found.dataset, report=watched))

    finetuning_job_load = finetuning_job.load_training_data
    monkeypatch.setattr(finetuning_job, "load_training_data", load)
    oncefit.finetune(
        parent, digits, epochs=2, out=tmp_path / "out", say=lambda _: None, progress=lambda _: events.append("step")
    )  # fmt: skip
    last_step = len(events) - 1 - events[::-1].index("step")
    assert events.count("step") == 2 * (600 // 64)
    assert "report" not in events[: last_step + 1]
    assert "report" in events


def write_photo_supernet(folder: Path) -> Path:
    """A supernet of photos with random weights, whose classes are called like the folders."""
    choices = {"stride": 2, "act": "relu", "se": False, "depths": [1, 2], "kernels": [3], "expands": [2, 3]}
    network = {
        "classes": list(WNIDS), "in_channels": 3, "resolutions": [32, 48], "stem_width": 8, "stem_stride": 2,
        "first_width": 8, "first_stride": 1, "head_width": 32, "stages": [{"width": 16, **choices}],
    }  # fmt: skip
    keys = {
        "name": "photos", "family": "mobilenet_v3", "network": network,
        "preprocessing": {"crop": 0.875, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    }  # fmt: skip
    path = folder / "photos.yaml"
    path.write_text(yaml.safe_dump(keys))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        sha256 = save_weights(
            catalog.open_supernet(str(path)).family.elastic(), folder / "photos.safetensors"
        )
    catalog.parse_supernet.cache_clear()
    path.write_text(yaml.safe_dump({**keys, "weights": {"file": "photos.safetensors", "sha256": sha256}}))
    return path


def test_photos_are_read_as_they_are_needed(tmp_path: Path) -> None:
    """A supernet of one's own, folders as torchvision reads ImageNet, and files that are no images."""
    path = write_photo_supernet(tmp_path)
    supernet = catalog.open_supernet(str(path))
    images = write_train_and_val(tmp_path / "photos", 16, 16)
    arch = supernet.space.smallest()
    write_bundle(
        tmp_path / "parent", supernet, supernet.load(), arch, load_dataset(str(images), supernet), {}, {}
    )
    (tmp_path / "recipe.yaml").write_text("batch_size: 16\nlearning_rate: 0.01\nmirror: false\n")
    said: Saying = []
    bundle = oncefit.finetune(
        tmp_path / "parent", images, supernet=path, recipe=tmp_path / "recipe.yaml", epochs=6, distil=True,
        out=tmp_path / "out", say=said.append,
    )  # fmt: skip
    about = bundle.card.finetuning
    assert about.classes["kept"] == WNIDS
    assert about.distilled_from == supernet.space.largest().id
    report = bundle.card.figures.measured["report"]
    assert report["images"] == about.before["images"] == 7 * 12 - 1
    assert report["top1"] > 0.5 > about.before["top1"], "guessing is 0.14; the weights were random"
    [left_out] = [one for one in said if one.startswith("left out 2 images that cannot be decoded")]
    assert "train/n01443537/004.JPEG" in left_out
    assert oncefit.open_bundle(tmp_path / "out").verify(supernet=str(path))["images"] == 83
    with pytest.raises(InputError, match="cut out of the supernet photos, which does not ship"):
        oncefit.finetune(tmp_path / "parent", images, out=tmp_path / "other", say=said.append)


# -- the command -------------------------------------------------------------------


def command(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-W", "error", "-m", "search", *map(str, arguments)]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True)


@pytest.mark.slow
def test_a_killed_command_ends_with_the_same_weights(
    parent: oncefit.Bundle, digits: Path, recipe: Path, tmp_path: Path
) -> None:
    """Killed with -9 in the second epoch, and while the bundle is written."""
    given = ("finetune", parent.folder, "--data", digits, "--recipe", recipe, "--epochs", 3)
    straight = command(*given, "--out", "straight", "--json", cwd=tmp_path)
    assert straight.returncode == 0, straight.stderr
    for place, nth in (
        ("supernet.training.finetuning:Learner.learn", 15),
        ("supernet.bundles.bundle:export_onnx", 1),
    ):
        killed = struck(place, nth, signal.SIGKILL, *given, "--out", "killed", cwd=tmp_path)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert (tmp_path / "killed.checkpoint").is_file()
        assert not (tmp_path / "killed").exists()
    resumed = command(*given, "--out", "killed", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("straight", "killed"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not (tmp_path / "killed.checkpoint").exists()
    summary = json.loads(straight.stdout)
    assert Path(tmp_path, summary["folder"]) == tmp_path / "straight"
    assert summary["finetuning"]["epochs"] == 3
    assert read_card(tmp_path / "killed").figures.measured == summary["measured"]
    shown = resumed.stdout
    assert "top-1 (%), report split, before" in shown
    assert "-: it lacked classes" in shown


def test_a_run_gives_its_chosen_subnet(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bundle is exported where it is not there; a run that predicts has no images, and needs none."""
    monkeypatch.chdir(tmp_path)
    run = oncefit.search(
        "fmnist_mbv3", trials=2, budgets={"macs": 1e6}, accuracy=lambda arch: 0.5, sampler="random",
        out=tmp_path / "run", say=lambda _: None,
    )  # fmt: skip
    for _ in range(2):
        bundle = oncefit.finetune(run, digits, epochs=1, out="out", say=lambda _: None)
        assert bundle.arch == run.chosen
        [exported] = (tmp_path / "run" / "bundles").iterdir()
        assert read_card(exported).card_sha256 == bundle.card.finetuning.parent_card_sha256


def test_a_folder_that_is_there_is_not_written_over(
    parent: oncefit.Bundle, digits: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.png").write_bytes(b"")
    with pytest.raises(InputError, match="exists and is not a bundle alone"):
        oncefit.finetune(parent, digits, out=tmp_path / "mine", progress=lambda _: pytest.fail("it trained"))


def test_a_teacher_that_is_asked_for_must_be_able_to_teach(
    parent: oncefit.Bundle, digits: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        InputError, match="the largest subnet of fmnist_mbv3 cannot teach: it has no output for eight"
    ):
        oncefit.finetune(parent, digits, distil=True, out=tmp_path / "out", say=lambda _: None)


# -- in 8 bits ---------------------------------------------------------------------


def test_a_subnet_trained_in_simulated_8_bits_is_a_bundle_in_int8(
    parent: oncefit.Bundle, few: Dataset, tmp_path: Path
) -> None:
    folder, out = tmp_path / "clothes", tmp_path / "int8"
    write_fashion(few, folder, "train", few.calibration, 300)
    write_fashion(few, folder, "val", few.report, 200)
    bundle = oncefit.finetune(parent, folder, precision="int8", epochs=1, out=out, say=lambda _: None)
    card = bundle.card
    assert (card.precision, card.finetuning.precision, card.arch_id) == (
        "int8",
        "int8",
        parent.arch.id,
    )
    opened = oncefit.open_bundle(out)
    opened.verify()
    report = card.figures.measured["report"]
    assert opened.evaluate()["measured"]["accuracy"]["top1"] == report["top1"]
    before, paired = card.finetuning.before, card.finetuning.paired
    gained = paired["only_after"] - paired["only_before"]
    assert report["top1"] - before["top1"] == pytest.approx(gained / report["images"])
    images = load_dataset(folder, catalog.open_supernet("fmnist_mbv3"))
    was = evaluate_int8(parent.opened.subnet(), parent.arch, images, "report")
    assert was.top1 == before["top1"], "the parent, quantised as a search quantises it"


def test_training_in_simulated_8_bits_that_was_stopped_ends_with_the_same_weights(
    parent: oncefit.Bundle, few: Dataset, tmp_path: Path
) -> None:
    """Stopped in the second epoch, on negatives, which the parent has not seen."""
    folder, recipe, seen = tmp_path / "negatives", tmp_path / "recipe.yaml", []
    write_fashion(few, folder, "train", few.calibration, 192, lambda pixels: 255 - pixels)
    write_fashion(few, folder, "val", few.report, 200, lambda pixels: 255 - pixels)
    recipe.write_text("learning_rate: 0.003\nema_decay: 0.5\n")

    class StoppedError(Exception):
        pass

    def stop(progress: TrainingProgress) -> None:
        if progress.step > progress.steps / 2:
            raise StoppedError

    def tuned(out: str, show: Callable[[TrainingProgress], None]) -> oncefit.Bundle:
        return oncefit.finetune(
            parent, folder, precision="int8", recipe=recipe, epochs=2, out=tmp_path / out, progress=show,
            say=lambda _: None,
        )  # fmt: skip

    straight = tuned("straight", lambda _: None)
    with pytest.raises(StoppedError):
        tuned("stopped", stop)
    assert not (tmp_path / "stopped").exists()
    resumed = tuned("stopped", lambda progress: seen.append(progress.step))
    assert min(seen) > 1
    assert straight.card.finetuning.best_epoch > 0
    for name in ("weights.safetensors", "model-int8.onnx"):
        one, other = (tmp_path / out / name for out in ("straight", "stopped"))
        assert one.read_bytes() == other.read_bytes()
    assert resumed.card.figures.measured == straight.card.figures.measured


def test_costs_are_kept_where_they_are_still_true(parent: oncefit.Bundle) -> None:
    card = parent.card
    assert finetuning_job.costs_as(card, 10, in_int8=False)
    assert not finetuning_job.costs_as(card, 9, in_int8=False)
    assert not finetuning_job.costs_as(card, 10, in_int8=True)
    assert not finetuning_job.costs_as(card.model_copy(update={"precision": "int8"}), 10, in_int8=False)


def test_a_precision_that_is_not_known_is_refused(
    parent: oncefit.Bundle, digits: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="int4"):
        oncefit.finetune(parent, digits, precision="int4", out=tmp_path / "out")
