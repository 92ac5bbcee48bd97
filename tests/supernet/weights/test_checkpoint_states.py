"""Weights come out of whatever they were saved in, and which of several is taken is said."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from supernet.errors import InputError
from supernet.weights.conversion import load_checkpoint, read_tensors


def made(seed: int, width: int = 3) -> nn.Module:
    """A network with statistics, as those of supernets are, of seeded random weights."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        net = nn.Sequential()
        net.add_module("stem", nn.Sequential(nn.Conv2d(2, width, 3), nn.BatchNorm2d(width)))
        net.add_module("classifier", nn.Linear(width, 4))
        net.stem[1].running_mean.normal_()
    return net


NET, OTHER = made(1), made(2)
RAW, AVERAGE = NET.state_dict(), OTHER.state_dict()


class Module(nn.Module):
    """As Lightning users write them: the network and a loss with weights of its own."""

    def __init__(self, name: str, net: nn.Module, loss: bool = False) -> None:
        super().__init__()
        self.add_module(name, net)
        if loss:
            self.criterion = nn.CrossEntropyLoss(weight=torch.ones(4))


def optimizer_state() -> Mapping[str, object]:
    net = made(3)
    optimizer = torch.optim.AdamW(net.parameters())
    net.classifier(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def averaged(net: nn.Module) -> Mapping[str, Tensor]:
    return AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.999)).state_dict()


def lightning(module: nn.Module) -> Mapping[str, object]:
    return {
        "epoch": 3, "global_step": 90, "pytorch-lightning_version": "2.5.0", "state_dict": module.state_dict(),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 1}}}}, "callbacks": {},
        "optimizer_states": [optimizer_state()], "lr_schedulers": [], "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.1},
    }  # fmt: skip


WRAPPED: dict[str, Callable[[], object]] = {
    "bare": lambda: RAW,
    **{
        key: lambda key=key: {key: RAW, "optimizer": optimizer_state(), "epoch": 3}
        for key in ("state_dict", "model", "model_state_dict", "net", "weights", "module")
    },
    "two deep": lambda: {"checkpoint": {"model": RAW}, "scaler": {"scale": 2.0}},
    "DataParallel": lambda: {"state_dict": nn.DataParallel(NET).state_dict()},
    "torch.compile": lambda: torch.compile(NET).state_dict(),
    "DataParallel of torch.compile": lambda: nn.DataParallel(torch.compile(NET)).state_dict(),
    "an average alone": lambda: averaged(NET),
    "Lightning": lambda: lightning(Module("model", NET)),
    "Lightning with a loss": lambda: lightning(Module("net", torch.compile(NET), loss=True)),
    "a larger teacher beside it": lambda: lightning(Module("model", Module("student", NET))) | {
        "teacher": made(4, width=5).state_dict()
    },
    "options of a command line": lambda: {"model": RAW, "args": Namespace(lr=0.1, data="imagenet", drop=None)},
}  # fmt: skip


def saved(content: object, tmp_path: Path) -> Path:
    torch.save(content, tmp_path / "net.pth")
    return tmp_path / "net.pth"


def assert_same(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    found = net.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


@pytest.mark.parametrize("kind", WRAPPED)
def test_weights_come_out_of_what_they_are_wrapped_in(kind: str, tmp_path: Path) -> None:
    net = made(9)
    choice = load_checkpoint(net, saved(WRAPPED[kind](), tmp_path), "it")
    assert_same(net, RAW)
    assert choice.others == ()


def test_what_is_left_out_of_a_module_is_said(tmp_path: Path) -> None:
    choice = load_checkpoint(made(9), saved(lightning(Module("net", NET, loss=True)), tmp_path), "it")
    assert choice.told("it") == ["it: left out of the weights, as no part of the network: criterion.weight"]


TIMM = {
    "epoch": 5, "arch": "ofa", "state_dict": RAW, "optimizer": optimizer_state(), "version": 2,
    "args": Namespace(model_ema=True), "amp_scaler": {"scale": 65536.0}, "state_dict_ema": AVERAGE, "metric": 76.1,
}  # fmt: skip
PAIRS: dict[str, tuple[object, str, str]] = {
    "timm": (TIMM, "state_dict_ema", "state_dict"),
    "model_ema": ({"model_ema": AVERAGE, "model": RAW}, "model_ema", "model"),
    "torch's average": ({"model": RAW, "ema": averaged(OTHER)}, "ema", "model"),
    "one Lightning module": (
        lightning(Module("net", NET)) | {"state_dict": {
            **{f"net.{name}": value for name, value in RAW.items()},
            **{f"net_ema.{name}": value for name, value in AVERAGE.items()},
        }}, "state_dict.net_ema", "state_dict.net",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PAIRS)
def test_of_two_the_average_is_taken_and_the_other_by_its_key(kind: str, tmp_path: Path) -> None:
    content, average, raw = PAIRS[kind]
    path, net = saved(content, tmp_path), made(9)
    choice = load_checkpoint(net, path, "it")
    assert_same(net, AVERAGE)
    assert choice.told("it")[0] == (
        f"it holds weights more than once; taken are those of {average}, the moving average, as timm does; "
        f"--key {raw} takes others (there are: {raw})"
    )
    for key, state in ((raw, RAW), (average, AVERAGE)):
        choice = load_checkpoint(net, path, "it", key)
        assert_same(net, state)
        assert choice.taken.key == key
        assert not any("more than once" in line for line in choice.told("it"))


def test_of_two_without_an_average_the_usual_key_is_taken(tmp_path: Path) -> None:
    net = made(9)
    choice = load_checkpoint(net, saved({"best": AVERAGE, "model": RAW}, tmp_path), "it")
    assert_same(net, RAW)
    assert choice.told("it") == [
        "it holds weights more than once; taken are those of model; --key best takes others (there are: best)"
    ]


def test_an_average_that_does_not_fit_is_not_taken_unless_it_is_asked_for(tmp_path: Path) -> None:
    path, net = saved({"state_dict": RAW, "state_dict_ema": made(4, width=5).state_dict()}, tmp_path), made(9)
    assert load_checkpoint(net, path, "it").taken.key == "state_dict"
    with pytest.raises(InputError, match=r"it is a checkpoint of another network: .* has the shape"):
        load_checkpoint(net, path, "it", "state_dict_ema")


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    path = saved(TIMM, tmp_path)
    expected = r"unknown key in it: 'state_dict_em'\. Did you mean 'state_dict_ema'\? Known: state_dict, state_dict_ema$"
    with pytest.raises(InputError, match=expected):
        load_checkpoint(made(9), path, "it", "state_dict_em")
    with pytest.raises(InputError, match="it holds the weights of one network under no key; leave --key out"):
        load_checkpoint(made(9), saved(RAW, tmp_path), "it", "ema")


def test_safetensors_of_two_are_told_apart(tmp_path: Path) -> None:
    both = {
        f"{key}.{name}": value
        for key, state in (("raw", RAW), ("ema", AVERAGE))
        for name, value in state.items()
    }
    save_file(both, tmp_path / "net.safetensors")
    net = made(9)
    assert load_checkpoint(net, tmp_path / "net.safetensors", "it").taken.key == "ema"
    assert_same(net, AVERAGE)


def test_tensors_of_no_known_network_are_not_guessed(tmp_path: Path) -> None:
    assert (
        read_tensors(saved({"model": nn.DataParallel(NET).state_dict()}, tmp_path), "it").keys() == RAW.keys()
    )
    with pytest.raises(
        InputError, match="it holds tensors more than once: under state_dict, state_dict_ema; save"
    ):
        read_tensors(saved(TIMM, tmp_path), "it")


class Options(Namespace):
    """Not argparse's own class."""


@pytest.mark.parametrize("kind", ["subclass", "code"])
def test_nothing_but_plain_options_is_built(kind: str, tmp_path: Path) -> None:
    marker = tmp_path / "it-ran"

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(marker),)

    held = Options(a=1) if kind == "subclass" else Trap()
    path = saved({"model": RAW, "args": Namespace(lr=held)}, tmp_path)
    with pytest.raises(
        InputError, match=r"it is refused: it asks for \S+(Options|mkdir), and loading that could run"
    ):
        load_checkpoint(made(9), path, "it")
    assert not marker.exists()


def test_a_state_dict_without_tensors_is_refused(tmp_path: Path) -> None:
    path = saved({"state_dict": {}}, tmp_path)
    with pytest.raises(InputError, match="it holds no tensors"):
        load_checkpoint(made(1), path, "it")
