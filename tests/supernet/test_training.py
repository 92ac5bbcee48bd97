"""Training on a few real images: resumable, seeded, and it learns."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from supernet import documents, training, training_job
from supernet.calibration import recalibrate
from supernet.catalog import Supernet
from supernet.data import Dataset
from supernet.errors import InputError
from supernet.preprocessing import prepare
from supernet.recipes import Phase, Recipe, read_recipe
from supernet.training import TrainingProgress, augment, learning_rate, phase_archs, train

RECIPE = Recipe(
    phases=(Phase("largest", 1, ("resolution",)), Phase("expand", 1, ("resolution", "kernel", "depth", "expand"))),
    batch_size=20, random_subnets=1, learning_rate=0.05, momentum=0.9, weight_decay=1e-4, warmup_steps=2,
    clip_norm=2.0, shift_pixels=2, seed=3, threads=1,
)  # fmt: skip


class Killed(Exception):
    pass


def weights_after(
    supernet: Supernet, few: Dataset, checkpoint, kill_at: int | None = None, alone=None
) -> dict:
    """Weights of a short training, which may be killed after a step and taken up again."""
    images, labels = few.calibration.pixels[:80], few.calibration.labels[:80]

    def once(report) -> dict:
        torch.manual_seed(RECIPE.seed)
        net = supernet.family.elastic() if alone is None else supernet.family.static(alone)
        train(
            RECIPE,
            supernet.space,
            net,
            images,
            labels,
            few.preprocessing,
            checkpoint,
            report,
            alone,
            report_every=1,
        )
        return net.state_dict()

    def die(progress: TrainingProgress) -> None:
        if progress.step == kill_at:
            raise Killed

    if kill_at is not None:
        with pytest.raises(Killed):
            once(die)
    return once(lambda progress: None)


@pytest.mark.parametrize("kill_at", [3, 5])
def test_a_killed_training_ends_with_the_same_weights(supernet, few, tmp_path, kill_at) -> None:
    straight = weights_after(supernet, few, tmp_path / "a.checkpoint")
    resumed = weights_after(supernet, few, tmp_path / "b.checkpoint", kill_at)
    for name, tensor in straight.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=0, atol=0)
    assert not list(tmp_path.glob("*.partial"))


def test_another_recipes_checkpoint_is_refused(supernet, few, tmp_path) -> None:
    weights_after(supernet, few, tmp_path / "a.checkpoint")
    with pytest.raises(InputError, match="belongs to another recipe or arch"):
        weights_after(supernet, few, tmp_path / "a.checkpoint", alone=supernet.space.smallest())


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

    hidden = dataclasses.replace(few, report=Forbidden())
    images = (few.calibration.pixels[:80], few.calibration.labels[:80])
    monkeypatch.setattr(training_job, "load_dataset", lambda *_: hidden)
    monkeypatch.setattr(training_job, "read_recipe", lambda _: ("fmnist_mbv3", RECIPE))
    monkeypatch.setattr(training_job.fashion_mnist, "load_official", lambda *_, **__: images)
    monkeypatch.setattr(
        training_job.fashion_mnist, "split_of_training_images", lambda _: np.ones(80, dtype=bool)
    )
    trained = training_job.run(tmp_path / "recipe.yaml", tmp_path, alone, lambda progress: None)
    sizes = training_job.SIZES if alone is None else (alone,)
    assert tuple(trained.validation) == sizes
    for size in sizes:
        arch = training_job.arch_of_size(supernet.space, size)
        subnet = supernet.family.static(arch)
        if alone is None:
            net = supernet.family.elastic()
            net.load_state_dict(load_file(trained.weights))
            subnet = net.extract(arch)
        else:
            subnet.load_state_dict(load_file(trained.weights))
        recalibrate(subnet, prepare(few.calibration.pixels, arch.resolution, few.preprocessing))
        with torch.no_grad():
            best = subnet(prepare(few.validation.pixels, arch.resolution, few.preprocessing)).argmax(1)
        right = float((best == few.validation.labels).float().mean())
        assert trained.validation[size].split == "validation"
        assert trained.validation[size].top1 == pytest.approx(right, abs=1 / 300 + 1e-9)


def test_a_subnet_alone_learns_its_images(supernet, few, tmp_path) -> None:
    losses: list[float] = []
    images, labels = few.calibration.pixels[:80], few.calibration.labels[:80]
    recipe = Recipe(**{**RECIPE.__dict__, "phases": (Phase("alone", 12, ("resolution",)),)})
    torch.manual_seed(0)
    net = supernet.family.static(supernet.space.smallest())
    train(
        recipe, supernet.space, net, images, labels, few.preprocessing, tmp_path / "c", lambda p: losses.append(p.loss),
        alone=supernet.space.smallest(), report_every=8,
    )  # fmt: skip
    assert losses[-1] < losses[0] / 2


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
    name, recipe = read_recipe(documents.find("training", "fmnist_mbv3"))
    assert name == "fmnist_mbv3"
    assert [phase.name for phase in recipe.phases] == ["largest", "kernel", "depth", "expand"]
    text = documents.find("training", "fmnist_mbv3").read_text()
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text.replace("momentum: 0.9", "momentum: 1.9"))
    with pytest.raises(InputError, match=r"momentum: got '1.9'; Input should be less than 1"):
        read_recipe(wrong)


def test_a_loss_that_is_no_number_stops_the_training(supernet, few, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(
        training.F, "cross_entropy", lambda *_: torch.tensor(float("nan"), requires_grad=True)
    )
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        weights_after(supernet, few, tmp_path / "a.checkpoint")
