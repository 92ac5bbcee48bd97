"""How tensors of one file became those of another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from supernet.bundles.onnx_export import export_onnx
from supernet.sizes import becoming
from supernet.sizes.becoming import changes
from supernet.sizes.registry import model_files
from supernet.sizes.stored_tensor import UNKNOWN_DTYPE, StoredTensor
from tests.helpers.model_files import tiny_net

Found = Mapping[str, list[tuple[str, str]]]
State = dict[str, torch.Tensor]


def became(first: State | Path, second: State | Path, folder: Path) -> Found:
    """Pairs of names by how one became the other, empty for none."""
    paths = []
    for i, given in enumerate((first, second)):
        if isinstance(given, dict):
            save_file(
                {name: t.contiguous().clone() for name, t in given.items()}, folder / f"{i}.safetensors"
            )
        paths.append(folder / f"{i}.safetensors" if isinstance(given, dict) else given)
    (before,), (after,) = map(model_files, paths)
    found = changes(before.tensors, after.tensors)
    for side, tensors in (("before", before.tensors), ("after", after.tensors)):
        told = [one.name for change in found for one in getattr(change, side)]
        assert sorted(told) == sorted(one.name for one in tensors), "each is in one change"
    return {
        change.how: [
            (change.before[i].name if change.before else "", change.after[i].name if change.after else "")
            for i in range(max(len(change.before), len(change.after)))
        ]
        for change in found
    }


def write_safetensors_of(state: State, path: Path) -> Path:
    save_file({name: t.contiguous().clone() for name, t in state.items()}, path)
    return path


def random(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32))


@pytest.fixture
def weights() -> State:
    return {"conv": random(16, 16, 3, 3), "linear": random(10, 20), "bias": random(10)}


def test_other_names_and_other_layouts(weights: State, tmp_path: Path) -> None:
    after = {
        "a": weights["conv"].permute(0, 2, 3, 1),
        "linear": weights["linear"].t(),
        "c": weights["bias"],
        "d": weights["bias"],
    }
    found = became(weights, after, tmp_path)
    assert found == {
        becoming.SAME: [("bias", "c")],
        becoming.MOVED: [("linear", "linear"), ("conv", "a")],
        becoming.COPIED: [("", "d")],
    }


def test_what_was_made_of_a_tensor_and_stored_twice_is_a_copy_too(weights: State, tmp_path: Path) -> None:
    """As onnx2pytorch stores weights that batch norms were folded into."""
    folded = weights["conv"] * torch.linspace(0.1, 3, 16).reshape(16, 1, 1, 1)
    assert became({"conv": weights["conv"]}, {"a": folded, "b": folded}, tmp_path) == {
        becoming.SCALED: [("conv", "a")],
        becoming.COPIED: [("", "b")],
    }


def test_among_copies_the_one_of_the_same_name_is_the_same(tmp_path: Path) -> None:
    first = {"a": random(20), "b": random(20), "c": random(20)}
    second = {"c": random(20), "b": random(20)}
    assert became(first, second, tmp_path) == {
        becoming.SAME: [("b", "b"), ("c", "c")],
        becoming.GONE: [("a", "")],
    }


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rounded_and_moved(dtype: torch.dtype, weights: State, tmp_path: Path) -> None:
    after = {"conv": weights["conv"].permute(2, 3, 1, 0).to(dtype), "linear": weights["linear"].to(dtype)}
    found = became({name: weights[name] for name in after}, after, tmp_path)
    assert sorted(found[becoming.CAST]) == [("conv", "conv"), ("linear", "linear")]
    assert set(found) == {becoming.CAST}


@pytest.mark.parametrize("levels", [7, 127])
@pytest.mark.parametrize("zero_point", [0, 100])
def test_quantised_and_restored(levels: int, zero_point: int, weights: State, tmp_path: Path) -> None:
    """By a scale for each channel and a zero point, with weights scaled as a batch norm does before."""
    conv = weights["conv"] * torch.linspace(0.1, 3, 16).reshape(16, 1, 1, 1)
    scale = conv.abs().amax((1, 2, 3), keepdim=True) / levels
    whole = torch.round(conv / scale)
    stored = (whole + zero_point).to(torch.int16) if zero_point else whole.to(torch.int8)
    first, second = {"conv": weights["conv"]}, {"q": stored.permute(0, 2, 3, 1)}
    assert became(first, second, tmp_path) == {becoming.TO_INTEGERS: [("conv", "q")]}
    assert became(second, first, tmp_path) == {becoming.FROM_INTEGERS: [("q", "conv")]}


def test_weights_of_an_unknown_dtype_may_be_the_same_in_another_order(tmp_path: Path) -> None:
    """As a delegate of ExecuTorch keeps them under a name."""
    weight = random(4, 5)
    [known] = model_files(write_safetensors_of({"w": weight}, tmp_path / "w.safetensors"))
    moved = weight.t().contiguous().numpy().tobytes()
    unknown = StoredTensor("key", UNKNOWN_DTYPE, (len(moved),), lambda: (moved,))
    [change] = changes(known.tensors, [unknown])
    assert change.how == becoming.MOVED


def test_what_has_nothing_to_do_with_each_other(tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(3)
    first = {"w": random(16, 16, 3, 3), "v": random(4, 4)}
    second = {
        "w": torch.randn(16, 16, 3, 3, generator=rng),
        "q": torch.randint(-127, 127, (16, 16, 3, 3), generator=rng, dtype=torch.int8),
    }
    assert set(became(first, second, tmp_path)) == {becoming.GONE, becoming.NEW}


def test_batch_norms_that_onnx_folds_in(tmp_path: Path) -> None:
    """Torch's weight times gamma / sqrt(var + eps), which the exporter computes."""
    net = tiny_net()
    export_onnx(net, 3, 8, tmp_path / "net.onnx")
    torch.save(net.state_dict(), tmp_path / "net.pth")
    found = became(tmp_path / "net.pth", tmp_path / "net.onnx", tmp_path)
    assert found[becoming.SAME] == [("5.weight", "5.weight"), ("5.bias", "5.bias")]
    [(before, after)] = found[becoming.SCALED]
    assert before == "0.weight"
    norm = net[1]
    assert isinstance(norm, nn.BatchNorm2d)
    factor = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
    (folded,) = (one for one in model_files(tmp_path / "net.onnx")[0].tensors if one.name == after)
    expected = net[0].weight.detach() * factor.reshape(-1, 1, 1, 1)
    assert folded.array() == pytest.approx(expected.numpy(), rel=1e-5)
    assert {name for name, _ in found[becoming.GONE]} == {
        f"1.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }


def test_many_tensors_with_the_same_bytes_take_no_comparison_of_all_with_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By counting: of 400 equal tensors, 200 have the same name, 100 are left for the others, and 100 are copies."""
    compared = 0

    def counting(one: StoredTensor, other: object) -> bool:
        nonlocal compared
        compared += 1
        return one is other

    monkeypatch.setattr(StoredTensor, "__eq__", counting)

    def equal(names: range) -> list[StoredTensor]:
        return [StoredTensor(f"t{i}", "float32", (2,), tuple, content="x") for i in names]

    found = changes(equal(range(300)), equal(range(100, 500)))
    assert {change.how: len(change.after) for change in found} == {becoming.SAME: 300, becoming.COPIED: 100}
    same = next(change for change in found if change.how == becoming.SAME)
    assert sum(a.name == b.name for a, b in zip(same.before, same.after, strict=True)) == 200
    assert compared == 0
