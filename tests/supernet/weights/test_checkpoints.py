"""Weights come from disk whole and unchanged, or not at all."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from supernet.documents import write_text
from supernet.errors import InputError
from supernet.weights import checkpoints
from supernet.weights.checkpoints import load_weights, save_weights, sha256_of


@pytest.fixture
def saved(tmp_path: Path) -> tuple[nn.Module, Path, str]:
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    path = tmp_path / "weights.safetensors"
    return net, path, save_weights(net, path)


def test_round_trip(saved):
    net, path, sha256 = saved
    other = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    load_weights(other, path, sha256)
    state = load_file(path)  # the library's own reader
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
        assert torch.equal(tensor, state[name])
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_missing(saved, tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*none.safetensors \(No such file.*install"):
        load_weights(saved[0], tmp_path / "none.safetensors", saved[2])


def test_truncated(saved):
    net, path, sha256 = saved
    content = path.read_bytes()
    path.write_bytes(content[:100])
    with pytest.raises(InputError) as error:
        load_weights(net, path, sha256)
    for part in (str(path), "cut short or changed", sha256_of(content[:100]), sha256, "100 bytes"):
        assert part in str(error.value)


def test_tampered(saved):
    net, path, sha256 = saved
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="cut short or changed"):
        load_weights(net, path, sha256)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize("content", [pickle.dumps(Bomb()), b"", b"\x08" + bytes(7) + b"not json"])
def test_other_formats_are_refused_whatever_their_hash(saved, content):
    net, path, _ = saved
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a safetensors file"):
        load_weights(net, path, sha256_of(content))


def test_weights_of_another_network(saved):
    _, path, sha256 = saved
    with pytest.raises(InputError, match="are of another network"):
        load_weights(nn.Linear(2, 2), path, sha256)


def test_the_supernet_refuses_wrong_weights(supernet, tmp_path):
    path = tmp_path / "changed.safetensors"
    path.write_bytes(b"x" * 50)
    changed = dataclasses.replace(supernet, stored=dataclasses.replace(supernet.weights, path=path))
    with pytest.raises(InputError, match="cut short or changed"):
        changed.load()


@pytest.mark.parametrize("write", [save_weights, lambda net, path: write_text(path, "text")])
def test_a_folder_that_cannot_be_written(saved, tmp_path, write):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match=r"cannot write .*below: .*; choose another folder"):
        write(saved[0], tmp_path / "file" / "below")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(saved, tmp_path, monkeypatch):
    _, path, sha256 = saved

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("supernet.atomic.os.replace", no_space)
    with pytest.raises(InputError, match="No space left on device"):
        save_weights(nn.Linear(2, 2), path)
    with pytest.raises(InputError, match="No space left on device"):
        write_text(tmp_path / "notes.txt", "text")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    checkpoints.read_checked(path, sha256)
