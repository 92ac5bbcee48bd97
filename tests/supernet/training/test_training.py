"""Training on a few real images: resumable, seeded, and it learns."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from supernet import documents
from supernet.archs.arch import Arch
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from supernet.families.trainable import trainable
from supernet.images.data import Dataset, Images
from supernet.images.preprocessing import prepare
from supernet.networks.calibration import recalibrate
from supernet.training import elastic_training as training
from supernet.training import training_job
from supernet.training.augmentation import augment
from supernet.training.elastic_batches import ElasticBatch, ElasticBatches
from supernet.training.elastic_training import phase_archs, step_archs, train
from supernet.training.learning_curve import CurvePoint
from supernet.training.optimizers import learning_rate
from supernet.training.processes import Processes
from supernet.training.recipes import Phase, Recipe, read_recipe
from supernet.training.supernet_template import read_template
from supernet.training.training_batches import Batches
from supernet.training.training_state import Diverged, TrainingProgress
from tests.helpers.plain_training import plainly_trained

CPU = Processes(torch.device("cpu"))
RECIPE = Recipe(
    phases=(Phase("largest", 1, ("resolution",)), Phase("expand", 1, ("resolution", "kernel", "depth", "expand"))),
    batch_size=20, random_subnets=1, learning_rate=0.05, momentum=0.9, weight_decay=1e-4, warmup_steps=2,
    clip_norm=2.0, shift_pixels=2, seed=3, threads=1,
)  # fmt: skip
AVERAGED = replace(RECIPE, phases=(Phase("sandwich", 2, None),), ema_decay=0.9, label_smoothing=0.1)


class Killed(Exception):
    pass


def begin(
    supernet: Supernet,
    few: Dataset,
    checkpoint: Path,
    report: Callable[[TrainingProgress], None] = lambda _: None,
    recipe: Recipe = RECIPE,
    alone: Arch | None = None,
    points: Callable[[list[CurvePoint]], None] = lambda _: None,
) -> nn.Module:
    """A short training on 80 images; its accuracy is made up."""
    images = Images(few.calibration.pixels[:80], few.calibration.labels[:80])
    torch.manual_seed(recipe.seed)
    net = supernet.family.elastic() if alone is None else supernet.family.static(alone)

    def archs(epoch: int, rng: np.random.Generator) -> tuple[Arch, ...]:
        return step_archs(recipe, supernet.space, epoch, rng) if alone is None else (alone,)

    batches = ElasticBatches(Batches(images, few.preprocessing, recipe), archs)
    return train(
        recipe, net, batches, CPU, checkpoint, {"recipe": str(replace(recipe, threads=0)), "arch": str(alone)},
        lambda _: {"small": 0.25, "large": 0.5}, report, points, alone,
    )  # fmt: skip


def weights_after(
    supernet: Supernet, few: Dataset, checkpoint: Path, kill_at: int | None = None, recipe: Recipe = RECIPE
) -> dict[str, torch.Tensor]:
    """Weights of a short training, which may be killed after a step and taken up again."""

    def die(progress: TrainingProgress) -> None:
        if progress.step == kill_at:
            raise Killed

    if kill_at is not None:
        with pytest.raises(Killed):
            begin(supernet, few, checkpoint, die, recipe)
    return begin(supernet, few, checkpoint, recipe=recipe).state_dict()


def test_the_shipped_recipe_trains_as_it_did(supernet: Supernet, few: Dataset, tmp_path: Path) -> None:
    """Bit by bit what a plain loop of its method does, on the same machine."""
    found = weights_after(supernet, few, tmp_path / "a.checkpoint")
    expected = plainly_trained(RECIPE, supernet, few.calibration.pixels[:80], few.calibration.labels[:80])
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


def test_sandwich_steps_are_of_the_largest_the_smallest_and_random_ones(supernet: Supernet) -> None:
    space = supernet.space
    drawn = set()
    for seed in range(20):
        first, second, *others = step_archs(AVERAGED, space, 0, np.random.default_rng(seed))
        assert (first, second, len(others)) == (space.largest(), space.smallest(), 1)
        drawn.update(others)
    assert len(drawn) > 15
    assert {arch.resolution for arch in drawn} == {18, 23, 28}


def test_the_average_of_weights_is_what_is_kept(supernet: Supernet, few: Dataset, tmp_path: Path) -> None:
    """By the closed form: after the first step it has that step's weights, later ones come in with a growing memory."""
    seen: list[torch.Tensor] = []

    def look(_: TrainingProgress) -> None:
        state = torch.load(tmp_path / "c", weights_only=True)
        seen.append(state["net"]["classifier.weight"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("supernet.training.elastic_training.SECONDS_BETWEEN_SAVES", -1)
        kept = begin(supernet, few, tmp_path / "c", look, AVERAGED)
    average = seen[0]
    for k, weights in enumerate(seen[1:], 1):
        memory = min(AVERAGED.ema_decay, (1 + k) / (10 + k))
        average = memory * average + (1 - memory) * weights
    torch.testing.assert_close(kept.classifier.weight.detach(), average)


@pytest.mark.parametrize(("method", "kill_at"), [("progressive", 3), ("progressive", 5), ("sandwich", 5)])
def test_a_killed_training_ends_with_the_same_weights(
    supernet, few, tmp_path, kill_at, method, monkeypatch
) -> None:
    recipe = RECIPE if method == "progressive" else AVERAGED
    straight = weights_after(supernet, few, tmp_path / "a.checkpoint", recipe=recipe)
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SAVES", -1)
    resumed = weights_after(supernet, few, tmp_path / "b.checkpoint", kill_at, recipe)
    for name, tensor in straight.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=0, atol=0)
    assert not list(tmp_path.glob("*.partial"))


def test_another_recipes_checkpoint_is_refused(supernet, few, tmp_path) -> None:
    weights_after(supernet, few, tmp_path / "a.checkpoint")
    other = replace(RECIPE, learning_rate=0.1, threads=2)
    with pytest.raises(InputError, match="is of another training, which was stopped: recipe differed"):
        begin(supernet, few, tmp_path / "a.checkpoint", recipe=other)
    begin(supernet, few, tmp_path / "a.checkpoint", recipe=replace(RECIPE, threads=1))


def test_a_damaged_checkpoint_is_named(supernet, few, tmp_path) -> None:
    (tmp_path / "checkpoint").write_bytes(b"cut short")
    with pytest.raises(InputError, match=r"checkpoint is no checkpoint or damaged; remove the file"):
        weights_after(supernet, few, tmp_path / "checkpoint")


@pytest.mark.parametrize("alone", [None, "small"])
def test_a_training_ends_with_validation_accuracy_and_never_sees_the_report_split(
    supernet, few, tmp_path, monkeypatch, alone
) -> None:
    class Forbidden:
        def __getattribute__(self, name: str) -> None:
            raise AssertionError("training touched the report split")

    hidden = replace(few, report=Forbidden())
    images = (few.calibration.pixels[:80], few.calibration.labels[:80])
    monkeypatch.setattr(training_job, "load_dataset", lambda *_: hidden)
    monkeypatch.setattr(training_job.fashion_mnist, "load_official", lambda *_, **__: images)
    monkeypatch.setattr(
        training_job.fashion_mnist, "split_of_training_images", lambda _: np.ones(80, dtype=bool)
    )
    task = training_job.TrainingTask(read_template("fmnist_mbv3"), RECIPE, "fashion_mnist", tmp_path, alone)
    trained = training_job.run_training(task, CPU, lambda progress: None, lambda told: None)
    sizes = training_job.SIZES if alone is None else (alone,)
    assert tuple(trained.validation) == sizes
    described = open_supernet(str(tmp_path / "supernet.yaml")) if alone is None else None
    for size in sizes:
        arch = training_job.arch_of_size(supernet.space, size)
        subnet = supernet.family.static(arch)
        if described is not None:
            assert described.family.classes == supernet.classes
            assert (described.data, described.fingerprint) == ("fashion_mnist", supernet.fingerprint)
            subnet = described.load().extract(arch)
        else:
            subnet.load_state_dict(load_file(trained.weights))
        recalibrate(subnet, prepare(few.calibration.pixels, arch.resolution, few.preprocessing))
        with torch.no_grad():
            best = subnet(prepare(few.validation.pixels, arch.resolution, few.preprocessing)).argmax(1)
        right = float((best == few.validation.labels).float().mean())
        assert trained.validation[size].split == "validation"
        assert trained.validation[size].top1 == pytest.approx(right, abs=1 / 300 + 1e-9)
    with trained.curve.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["images"]) for row in rows] == [("1", "80"), ("2", "160")]
    assert float(rows[-1][f"validation_top1_{sizes[-1]}"]) == pytest.approx(
        trained.validation[sizes[-1]].top1, abs=1e-4
    )


def test_the_learning_curve_goes_on_after_a_kill(supernet, few, tmp_path) -> None:
    """Every second epoch and the last; seconds only grow."""
    recipe = replace(AVERAGED, phases=(Phase("sandwich", 3, None),), validate_every=2)
    kept: list[CurvePoint] = []

    def die(progress: TrainingProgress) -> None:
        if progress.step == 10:
            raise Killed

    with pytest.raises(Killed):
        begin(supernet, few, tmp_path / "c", die, recipe, points=kept.extend)
    assert [point.epoch for point in kept] == [2]
    kept.clear()
    begin(supernet, few, tmp_path / "c", recipe=recipe, points=kept.extend)
    points = kept[-2:]
    assert [(p.epoch, p.images, p.top1) for p in points] == [
        (epoch, 80 * epoch, {"small": 0.25, "large": 0.5}) for epoch in (2, 3)
    ]
    assert 0 < points[0].processor_seconds < points[1].processor_seconds


def test_a_subnet_alone_learns_its_images(supernet, few, tmp_path) -> None:
    losses: list[float] = []
    recipe = replace(RECIPE, phases=(Phase("alone", 12, ("resolution",)),))
    begin(supernet, few, tmp_path / "c", lambda p: losses.append(p.loss), recipe, supernet.space.smallest())
    assert losses[-1] < losses[3] / 2


def test_phases_train_only_what_is_elastic(supernet) -> None:
    phase = Phase("kernel", 1, ("resolution", "kernel"))
    for arch in phase_archs(RECIPE, phase, supernet.space, np.random.default_rng(0)):
        values = arch.values
        assert [values[f"depth.{s}"] for s in (1, 2, 3)] == [2, 4, 4]
        assert {value for name, value in values.items() if name.startswith("expand")} == {4}
    smallest = next(phase_archs(RECIPE, phase, supernet.space, np.random.default_rng(0)))
    assert {v for name, v in smallest.values.items() if name.startswith("kernel")} == {3}


def test_sorting_channels_leaves_the_largest_subnet_as_it_was(supernet, random_net, few) -> None:
    import copy

    net = copy.deepcopy(random_net)
    net.sort_channels()
    largest, smallest = supernet.space.largest(), supernet.space.smallest()
    x = torch.randn(4, 1, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(
            net(x, largest.values), random_net(x, largest.values), rtol=1e-3, atol=1e-3
        )
        assert not torch.allclose(net(x, smallest.values), random_net(x, smallest.values), atol=1e-3)


def test_augmentation_is_a_shift_and_a_mirror() -> None:
    image = torch.from_numpy(np.random.default_rng(0).integers(1, 255, (1, 28, 28), dtype=np.uint8))
    padded = np.pad(image[0].numpy(), 2)
    allowed = []
    for row in range(5):
        for column in range(5):
            window = padded[row : row + 28, column : column + 28]
            allowed += [
                window.tobytes(),
                np.asarray(Image.fromarray(window).transpose(Image.Transpose.FLIP_LEFT_RIGHT)).tobytes(),
            ]
    seen = {augment(image, 2, np.random.default_rng(seed))[0].numpy().tobytes() for seed in range(200)}
    assert seen <= set(allowed)
    assert len(seen) > 30


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    rates = [learning_rate(0.05, 2, step, 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.025)
    assert max(rates) == pytest.approx(0.05)
    assert rates[100] == pytest.approx(0)


def test_the_shipped_recipe_reads_and_a_wrong_one_says_where(tmp_path) -> None:
    named = read_recipe(documents.find("training", "fmnist_mbv3"))
    recipe = named.recipe
    assert (named.supernet, named.data) == ("fmnist_mbv3", None)
    assert [phase.name for phase in recipe.phases] == ["largest", "kernel", "depth", "expand"]
    text = documents.find("training", "fmnist_mbv3").read_text()
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text.replace("momentum: 0.9", "momentum: 1.9"))
    with pytest.raises(InputError, match=r"momentum: got '1.9'; Input should be less than 1"):
        read_recipe(wrong)


def test_a_loss_that_is_no_number_stops_the_training(supernet, few, tmp_path, monkeypatch) -> None:
    """At the sixth step; the state of the fourth, at the end of an epoch, stays as it was."""
    begin(supernet, few, tmp_path / "good", recipe=replace(RECIPE, phases=RECIPE.phases[:1]))
    losses = iter([1.0] * 5 + [float("nan")] * 9)
    first = training.ElasticLearner.accumulate

    def broken(self: training.ElasticLearner, batch: ElasticBatch) -> torch.Tensor:
        return first(self, batch) * next(losses)

    monkeypatch.setattr(training.ElasticLearner, "accumulate", broken)
    with pytest.raises(
        Diverged, match=r"loss at step 5 is nan.*last good state is kept in .*c; give a lower"
    ):
        begin(supernet, few, tmp_path / "c")
    state = torch.load(tmp_path / "c", weights_only=True)
    assert state["step"] == 4
    assert all(bool(tensor.isfinite().all()) for tensor in state["net"].values())


def test_a_network_that_cannot_be_trained_is_refused() -> None:
    with pytest.raises(
        InputError,
        match=r"mine cannot be trained: its network is a Linear, and it lacks sort_channels, extract",
    ):
        trainable(nn.Linear(1, 1), "mine")


def test_a_supernet_in_place_of_a_recipe_is_told_as_one() -> None:
    with pytest.raises(InputError, match="describes a supernet; oncefit train takes a recipe"):
        read_recipe(documents.find("supernets", "fmnist_mbv3"))
