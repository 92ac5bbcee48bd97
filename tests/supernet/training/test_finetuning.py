"""The loop of a fine-tuning against closed forms and torch's own, and that a stopped one goes on as if it never stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torch.optim.swa_utils import AveragedModel

from supernet.errors import InputError
from supernet.families.catalog import Supernet
from supernet.images.data import Dataset
from supernet.networks.inverted_residual_networks import ElasticNet
from supernet.training.finetuning import (
    Learner,
    Tuned,
    finetune,
    targets,
    torch_device,
)
from supernet.training.finetuning_recipe import SHIPPED_RECIPE, FinetuningRecipe, read_finetuning_recipe
from supernet.training.optimizers import averaging, learning_rate, make_optimizer
from supernet.training.processes import Processes
from supernet.training.training_batches import Batches
from supernet.training.training_state import Diverged, TrainingProgress

CPU = Processes(torch.device("cpu"))
RECIPE = read_finetuning_recipe(None, {"epochs": 3, "batch_size": 20, "learning_rate": 0.003, "seed": 4})


def changed(**keys: object) -> FinetuningRecipe:
    return RECIPE.model_copy(update=keys)


def tune(
    supernet: Supernet,
    net: ElasticNet,
    few: Dataset,
    checkpoint: Path,
    recipe: FinetuningRecipe = RECIPE,
    top1: Iterator[float] | None = None,
    report: Callable[[TrainingProgress], None] = lambda _: None,
    taught: bool = False,
) -> Tuned:
    """The smallest subnet on 80 images; validation accuracies are made up."""
    arch, largest = supernet.space.smallest(), supernet.space.largest()
    given = top1 or iter(range(100))
    resolutions = (arch.resolution, *([largest.resolution] if taught else []))
    batches = Batches(few.calibration.picked(range(80)), few.preprocessing, recipe, resolutions)
    teacher = net.extract(largest) if taught else None

    def validate(tuned: nn.Module) -> float:
        tuned.eval()
        return next(given)

    subnet = net.extract(arch)
    return finetune(subnet, batches, teacher, CPU, checkpoint, {"a": "1"}, validate, report)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# -- the parts of the recipe -------------------------------------------------------


@pytest.mark.parametrize(("warmup", "steps"), [(7, 40), (1, 12), (0, 9)])
def test_the_learning_rate_is_that_of_torchs_schedulers(warmup: int, steps: int) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    cosine = CosineAnnealingLR(optimizer, steps - warmup)
    scheduler = cosine
    if warmup:
        linear = LinearLR(optimizer, 1 / warmup, 1.0, max(1, warmup - 1))
        scheduler = SequentialLR(optimizer, [linear, cosine], [warmup])
    for step in range(steps):
        assert learning_rate(0.3, warmup, step, steps) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("decay", [0.05, 0.9])
def test_the_average_of_weights_is_its_closed_form(decay: float) -> None:
    """sum over i of w_i (1 - d_i) d_(i+1) ... d_n with d_1 = 0, and d_i the lesser of decay and i / (9 + i)."""
    weights = np.random.default_rng(0).normal(size=12)
    net = nn.Linear(1, 1, bias=False).double()
    average = AveragedModel(net, multi_avg_fn=averaging(decay))
    for weight in weights:
        nn.init.constant_(net.weight, float(weight))
        average.update_parameters(net)
    kept = [0.0] + [min(decay, i / (9 + i)) for i in range(2, 13)]
    expected = sum(
        w * (1 - d) * math.prod(kept[i + 1 :]) for i, (w, d) in enumerate(zip(weights, kept, strict=True))
    )
    assert average.module.weight.item() == pytest.approx(expected, rel=1e-12)


def test_targets_are_torchs_smoothed_labels() -> None:
    labels, logits = torch.tensor([2, 0, 1]), torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    found = F.cross_entropy(logits, targets(labels, 4, 0.1, None, 0.5))
    torch.testing.assert_close(found, F.cross_entropy(logits, labels, label_smoothing=0.1))


def test_a_teacher_counts_where_it_is_right() -> None:
    labels = torch.tensor([2, 0])
    answers = torch.tensor([[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]])
    found = targets(labels, 3, 0.0, answers, 0.25)
    torch.testing.assert_close(found, torch.tensor([[0.025, 0.05, 0.925], [1.0, 0.0, 0.0]]))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_norms_and_biases_do_not_decay(supernet: Supernet, optimizer: str) -> None:
    net = supernet.family.static(supernet.space.middle())
    made = make_optimizer(net, changed(optimizer=optimizer))
    decayed = {id(p) for group in made.param_groups if group["weight_decay"] > 0 for p in group["params"]}
    weights = {id(m.weight) for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    assert decayed == weights
    assert {id(p) for group in made.param_groups for p in group["params"]} == set(map(id, net.parameters()))


def test_gradients_are_clipped(
    supernet: Supernet, random_net: ElasticNet, few: Dataset, tmp_path: Path
) -> None:
    """SGD without momentum and decay: no step is longer than learning rate times the norm that is allowed."""
    recipe = changed(optimizer="sgd", momentum=0.0, weight_decay=0.0, clip_norm=0.01, warmup=0.0)
    subnet = random_net.extract(supernet.space.smallest())
    learner = Learner.begun(subnet, recipe, CPU, tmp_path / "none")
    before = [p.detach().clone() for p in subnet.parameters()]
    batch = Batches(few.calibration, few.preprocessing, recipe, (18,)).batch(0)
    learner.learn(batch.inputs, batch.labels, None, 0.5)
    moved = torch.cat([(p - b).flatten() for p, b in zip(subnet.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(0.5 * 0.01, rel=1e-3)


# -- the loop ----------------------------------------------------------------------


class Killed(Exception):
    pass


@pytest.mark.parametrize("taught", [False, True])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("kill_at", [1, 6])
def test_a_stopped_fine_tuning_ends_with_the_same_weights(
    supernet: Supernet,
    random_net: ElasticNet,
    few: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kill_at: int,
    optimizer: str,
    taught: bool,
) -> None:
    """Saved after every step; accuracies rise, so that the last average is kept."""
    monkeypatch.setattr("supernet.training.finetuning.SECONDS_BETWEEN_SAVES", -1)
    recipe = changed(optimizer=optimizer)

    def die(now: TrainingProgress) -> None:
        if now.step == kill_at:
            raise Killed

    straight = tune(supernet, random_net, few, tmp_path / "a", recipe, taught=taught)
    scripted = iter([0.1, 0.2, 0.3, 0.4])
    with pytest.raises(Killed):
        tune(supernet, random_net, few, tmp_path / "b", recipe, scripted, die, taught)
    resumed = tune(supernet, random_net, few, tmp_path / "b", recipe, scripted, taught=taught)
    assert (straight.steps, straight.best_epoch, straight.epochs) == (12, 3, 3)
    assert (resumed.steps, resumed.best_epoch) == (12, 3)
    assert equal(straight.state, resumed.state)
    again = tune(supernet, random_net, few, tmp_path / "b", recipe, iter(()), taught=taught)
    assert equal(again.state, resumed.state), "what is done is not done again"


def test_it_stops_early_and_keeps_the_best(
    supernet: Supernet, random_net: ElasticNet, few: Dataset, tmp_path: Path
) -> None:
    recipe = changed(epochs=9, patience=2)
    states = []
    top1 = iter([0.1, 0.5, 0.6, 0.6, 0.55])

    def keep(now: TrainingProgress) -> None:
        if now.step % 4 == 0:
            states.append(torch.load(tmp_path / "c", weights_only=True)["best"])

    found = tune(supernet, random_net, few, tmp_path / "c", recipe, top1, keep)
    assert (found.best_epoch, found.epochs, found.steps) == (2, 4, 16)
    assert found.top1 == (0.1, 0.5, 0.6, 0.6, 0.55)
    assert equal(found.state, states[1])
    assert not equal(states[0], states[1])


def test_where_no_epoch_is_better_the_weights_are_as_before(
    supernet: Supernet, random_net: ElasticNet, few: Dataset, tmp_path: Path
) -> None:
    found = tune(supernet, random_net, few, tmp_path / "c", top1=iter([0.9, 0.5, 0.6, 0.7]))
    assert found.best_epoch == 0
    subnet = random_net.extract(supernet.space.smallest())
    before = dict(subnet.named_parameters())
    assert all(torch.equal(found.state[name], before[name]) for name in before)


def test_a_loss_that_is_no_number_stops_it_and_keeps_the_last_good_state(
    supernet: Supernet,
    random_net: ElasticNet,
    few: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = 0
    plain = F.cross_entropy

    def breaks(*given: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return plain(*given) * (float("nan") if calls == 7 else 1)

    monkeypatch.setattr("supernet.training.finetuning.F.cross_entropy", breaks)
    path = tmp_path / "c.checkpoint"
    with pytest.raises(
        Diverged, match=r"loss at step 6 is nan.*last good state is kept in .*c\.checkpoint; give a lower"
    ):
        tune(supernet, random_net, few, path)
    state = torch.load(path, weights_only=True)
    assert state["step"] == 4
    kept = {**state["net"], **state["best"]}
    assert all(bool(t.isfinite().all()) for t in kept.values() if t.is_floating_point())


def test_an_infinite_gradient_stops_it_too(supernet: Supernet, random_net: ElasticNet, few: Dataset, tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(
        "supernet.training.finetuning.nn.utils.clip_grad_norm_", lambda *_: torch.tensor(math.inf)
    )
    with pytest.raises(Diverged, match="or its gradient is no number"):
        tune(supernet, random_net, few, tmp_path / "c")


def test_another_fine_tunings_checkpoint_is_refused(
    supernet: Supernet, random_net: ElasticNet, few: Dataset, tmp_path: Path
) -> None:
    learner = Learner.begun(random_net.extract(supernet.space.smallest()), RECIPE, CPU, tmp_path / "c")
    learner.judge(0.5)
    learner.save({"a": "2", "b": "3"})
    with pytest.raises(InputError, match=r"is of another fine-tuning, which was stopped: a differed"):
        tune(supernet, random_net, few, tmp_path / "c")
    (tmp_path / "c").write_bytes(b"cut short")
    with pytest.raises(InputError, match="c is no checkpoint or damaged"):
        tune(supernet, random_net, few, tmp_path / "c")


def test_it_learns(supernet: Supernet, random_net: ElasticNet, few: Dataset, tmp_path: Path) -> None:
    losses: list[float] = []
    tune(
        supernet, random_net, few, tmp_path / "c", changed(epochs=12, patience=99),
        report=lambda now: losses.append(now.loss),
    )  # fmt: skip
    assert np.mean(losses[-4:]) < 0.7 * np.mean(losses[:4])


# -- devices and the recipe --------------------------------------------------------


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        assert torch_device("auto").type == ("cuda" if there else "cpu")
    assert torch_device("cpu").type == "cpu"
    with pytest.raises(InputError, match="torch finds no device of type cuda here; it finds cpu"):
        torch_device("cuda")
    with pytest.raises(InputError, match="unknown device type 'gpu'"):
        torch_device("gpu")


def test_a_recipe_is_the_shipped_one_but_for_what_a_file_and_options_say(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("mirror: false\nepochs: 7\n")
    shipped = read_finetuning_recipe(None, {})
    assert read_finetuning_recipe(path, {"epochs": None, "seed": 3}) == shipped.model_copy(
        update={"mirror": False, "epochs": 7, "seed": 3}
    )
    assert read_finetuning_recipe(path, {"epochs": 5}).epochs == 5
    assert read_finetuning_recipe(SHIPPED_RECIPE, {}) == shipped
    path.write_text("learning_rat: 0.1\n")
    with pytest.raises(
        InputError, match=r"mine\.yaml: unknown key 'learning_rat'\. Did you mean 'learning_rate'"
    ):
        read_finetuning_recipe(path, {})
