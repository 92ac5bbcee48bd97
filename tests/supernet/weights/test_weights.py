"""Weights of OFA's supernets: fetched from a real server or imported, kept, checked, equal to ``ofa``'s."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch
import yaml
from ofa.imagenet_classification.elastic_nn.networks import (
    OFAMobileNetV3,
    OFAProxylessNASNets,
    OFAResNets,
)
from safetensors.torch import save_file
from torch import Tensor, nn

from search.cli.weights import app
from supernet.conformance.subject import randomise
from supernet.errors import InputError
from supernet.families import fetched_weights as weights
from supernet.families.catalog import open_supernet
from supernet.weights import kept_weights
from supernet.weights.checkpoints import save_weights
from supernet.weights.conversion import load_checkpoint
from supernet.weights.kept_weights import Record
from tests.helpers.imports import HEAVY, loaded_after
from tests.helpers.loopback import Site, serving
from tests.helpers.ofa_settings import OFA_SUPERNETS, settings

NAME = "ofa_mbv3_w1.0"
TODAY = "2026-11-24"
SIDE = 64
State = dict[str, Tensor]
OFFICIAL = kept_weights.OFFICIAL


def ofa_class(name: str) -> nn.Module:
    """As ``ofa``'s model zoo makes it."""
    if name == "ofa_resnet50":
        return OFAResNets(
            dropout_rate=0, depth_list=[0, 1, 2], expand_ratio_list=[0.2, 0.25, 0.35],
            width_mult_list=[0.65, 0.8, 1.0],
        )  # fmt: skip
    made = OFAProxylessNASNets if "proxyless" in name else OFAMobileNetV3
    return made(
        dropout_rate=0, width_mult=float(name.partition("_w")[2]), ks_list=[3, 5, 7],
        expand_ratio_list=[3, 4, 6], depth_list=[2, 3, 4],
    )  # fmt: skip


def seeded(name: str) -> nn.Module:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(3)
        net = ofa_class(name).eval()
        randomise(net)
    return net


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return seeded(NAME)


@pytest.fixture(scope="module")
def checkpoint(net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """As the published ones: a pickle of tensors under ``state_dict``."""
    path = tmp_path_factory.mktemp("published") / "net"
    torch.save({"state_dict": net.state_dict()}, path, _use_new_zipfile_serialization=False)
    yield path
    path.unlink()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "cache"
    monkeypatch.setenv("ONCEFIT_CACHE", str(folder))
    yield folder
    shutil.rmtree(tmp_path)  # pytest keeps the folders of three runs, and these are gigabytes


@pytest.fixture(autouse=True)
def unpinned(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The official list as far as it does not say what the files hold: ours here are random."""
    shipped = yaml.safe_load(OFFICIAL.read_text())
    for entry in shipped["supernets"].values():
        entry.pop("checkpoint", None)
    path = tmp_path_factory.mktemp("list") / "official.yaml"
    path.write_text(yaml.safe_dump(shipped))
    monkeypatch.setattr(kept_weights, "OFFICIAL", path)


@pytest.fixture
def site(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as site:
        site.files["/net"] = checkpoint.read_bytes()
        yield site


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say that checkpoints are published elsewhere."""

    def publish(*addresses: str, checkpoint: Mapping[str, object] | None = None) -> None:
        path = tmp_path / f"published-{len(list(tmp_path.iterdir()))}.yaml"
        entry = {"addresses": list(addresses), "by_hand": ["https://example.org/by-hand"]}
        entry |= {"checkpoint": checkpoint} if checkpoint else {}
        path.write_text(yaml.safe_dump({"supernets": {NAME: entry}}))
        monkeypatch.setattr(kept_weights, "OFFICIAL", path)

    return publish


def fetch(site: Site | None = None, replace: bool = False, timeout_s: float = 20) -> Record:
    addresses = [f"{site.url}/net"] if site is not None else []
    return weights.fetch(
        NAME, TODAY, lambda _: None, lambda *_: None, None, addresses, replace, timeout_s
    )  # fmt: skip


def take(path: Path, replace: bool = False) -> Record:
    return weights.import_file(NAME, path, TODAY, lambda _: None, None, replace)


@torch.no_grad()
def assert_logits_are_those_of(net: nn.Module, name: str = NAME) -> None:
    supernet = open_supernet(name)
    loaded = supernet.load()
    images = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    for arch in (supernet.space.largest(), supernet.space.middle(), supernet.space.smallest()):
        net.set_active_subnet(**settings(supernet.space, arch))
        expected = net(images)
        assert float(expected.std()) > 0.01
        loaded.net.set_active_subnet(**settings(supernet.space, arch))
        assert torch.equal(loaded.net(images), expected)
        torch.testing.assert_close(loaded.extract(arch)(images), expected, rtol=0, atol=1e-5)


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files(cache: Path) -> list[str]:
    """What is kept, without the locks."""
    return sorted(path.name for path in (cache / "weights").iterdir() if path.suffix != ".lock")


def names_of(record: Record) -> list[str]:
    """The two files of a record."""
    return [f"{NAME}.{record.weights.sha256[:12]}.safetensors", f"{NAME}.yaml"]


# where they come from


def test_fetched_whole_they_give_the_logits_of_ofa(
    site: Site, net: nn.Module, checkpoint: Path, cache: Path
) -> None:
    record = fetch(site)
    assert (record.source, record.date) == (f"{site.url}/net", TODAY)
    assert record.checkpoint.model_dump() == {
        "size": checkpoint.stat().st_size,
        "sha256": sha256_of(checkpoint),
    }
    kept = kept_weights.locate(NAME).path
    assert kept.parent == cache / "weights"
    assert record.weights.model_dump() == {"size": kept.stat().st_size, "sha256": sha256_of(kept)}
    assert files(cache) == names_of(record)
    assert_logits_are_those_of(net)


def test_what_is_here_is_not_fetched_again(site: Site) -> None:
    first = fetch(site)
    said: list[str] = []
    again = weights.fetch(NAME, "2027-01-01", said.append, lambda *_: None)
    assert again == first
    assert len(site.seen) == 1
    assert said == [f"the weights of {NAME} are here since {TODAY}; --replace gets them again"]


def test_cut_short_and_resumed_by_the_next_fetch(
    site: Site, net: nn.Module, checkpoint: Path, cache: Path
) -> None:
    site.cut_after = 20_000_000
    with pytest.raises(InputError, match="20,000,000 bytes are kept, and the same command continues"):
        fetch(site)
    with pytest.raises(InputError, match="are not here"):
        kept_weights.locate(NAME)
    site.cut_after, site.sent = None, 0
    record = fetch(site)
    assert site.ranges_seen() == [None, "bytes=20000000-"]
    assert site.sent == checkpoint.stat().st_size - 20_000_000
    assert files(cache) == names_of(record)
    assert_logits_are_those_of(net)


def test_stalled(site: Site) -> None:
    site.stall_after = 1_000_000
    with pytest.raises(InputError, match=rf"nothing came for 0\.3 seconds.*import {NAME} FILE"):
        fetch(site, timeout_s=0.3)


def test_the_next_mirror_is_asked(site: Site, publish: Callable[..., None], net: nn.Module) -> None:
    site.files["/page"] = b"<html>sign in</html>"
    site.files["/short"] = site.files["/net"][:10_000]
    publish(*(f"{site.url}/{path}" for path in ("none", "page", "short", "net")))
    assert fetch().source == f"{site.url}/net"
    assert [path for path, _ in site.seen] == ["/none", "/page", "/short", "/net"]
    assert_logits_are_those_of(net)


def test_no_mirror_has_it(site: Site, publish: Callable[..., None], cache: Path) -> None:
    site.files["/page"] = b"<html>sign in</html>"
    publish(f"{site.url}/none", f"{site.url}/page")
    with pytest.raises(InputError) as error:
        fetch()
    message = str(error.value)
    assert f"{site.url}/none: HTTP 404 Not Found; {site.url}/page: it answered with a web page" in message
    assert f"in a browser: https://example.org/by-hand) and run oncefit weights import {NAME} FILE" in message
    assert "--replace" not in message
    assert "\n" not in message
    assert files(cache) == []


def test_a_published_sha256_is_kept_to(site: Site, publish: Callable[..., None], checkpoint: Path) -> None:
    damaged = bytearray(site.files["/net"])
    damaged[15_000_000] ^= 1
    site.files["/damaged"] = bytes(damaged)
    known = {"size": checkpoint.stat().st_size, "sha256": sha256_of(checkpoint)}
    publish(f"{site.url}/damaged", checkpoint=known)
    with pytest.raises(InputError, match=r"not the file that is known.*--replace takes it"):
        fetch()
    publish(f"{site.url}/damaged", f"{site.url}/net", checkpoint=known)
    assert fetch().source == f"{site.url}/net"


def test_a_checkpoint_that_changed_since_is_refused(site: Site, cache: Path, net: nn.Module) -> None:
    first = fetch(site)
    kept_weights.locate(NAME).path.unlink()
    changed = bytearray(site.files["/net"])
    changed[15_000_000] ^= 1
    site.files["/net"], site.etag = bytes(changed), '"two"'
    with pytest.raises(InputError, match=rf"with {first.checkpoint.sha256} are expected.*--replace takes it"):
        fetch(site)
    assert files(cache) == [f"{NAME}.yaml"]
    assert fetch(site, replace=True).checkpoint.sha256 == hashlib.sha256(changed).hexdigest()


def test_what_is_here_stays_when_its_replacement_is_no_good(site: Site, net: nn.Module) -> None:
    first = fetch(site)
    site.files["/net"], site.etag = b"something else", '"two"'
    with pytest.raises(InputError, match=r"the file is not a checkpoint( of plain weights)?, or is damaged"):
        fetch(site, replace=True)
    assert kept_weights.read_record(NAME) == first
    assert_logits_are_those_of(net)


# what is kept is checked


def test_kept_weights_that_changed_are_noticed_and_fetched_again(
    site: Site, cache: Path, net: nn.Module
) -> None:
    fetch(site)
    kept = kept_weights.locate(NAME).path
    damaged = bytearray(kept.read_bytes())
    damaged[-1] ^= 1
    kept.write_bytes(damaged)
    with pytest.raises(
        InputError, match=rf"cut short or changed.*oncefit weights fetch {NAME} downloads them"
    ):
        open_supernet(NAME).load()
    fetch(site)
    assert len(site.seen) == 2
    assert_logits_are_those_of(net)


def test_a_record_that_is_damaged_is_said(checkpoint: Path, cache: Path) -> None:
    take(checkpoint)
    (cache / "weights" / f"{NAME}.yaml").write_text("source: here\n")
    with pytest.raises(InputError, match=r"'date' is missing.*remove that file and get the weights again"):
        kept_weights.locate(NAME)
    take(checkpoint, replace=True)
    assert kept_weights.locate(NAME).path.is_file()


@pytest.mark.parametrize("name", OFA_SUPERNETS)
def test_what_to_do_without_weights_is_one_sentence(name: str) -> None:
    with pytest.raises(InputError) as error:
        open_supernet(name).load()
    assert str(error.value) == (
        f"the weights of {name} are not here: oncefit weights fetch {name} downloads them; without a "
        f"network copy the checkpoint from elsewhere and run oncefit weights import {name} FILE"
    )


def test_a_cache_that_cannot_be_written(checkpoint: Path, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(InputError, match=r"cannot write .*name another folder with --cache-dir"):
        take(checkpoint)


KILLED = """
import os, pathlib, signal, sys
from supernet import documents
from supernet.families import fetched_weights as weights

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

place = {"record": (documents, "write_text"), "name": (os, "replace"), "rest": (weights, "remove_others")}
owner, function = place[sys.argv[2]]
setattr(owner, function, killed)
weights.import_file(sys.argv[1], pathlib.Path(sys.argv[3]), "2027-01-01", print, None, True)
"""
"""Imports a file with --replace in a process that is killed at a place in ``keep``."""


@pytest.mark.parametrize(("place", "taken"), [("name", "old"), ("record", "old"), ("rest", "new")])
def test_a_kill_leaves_the_old_weights_or_the_new_ones(
    place: str, taken: str, checkpoint: Path, net: nn.Module, tmp_path: Path, cache: Path
) -> None:
    take(checkpoint)
    state = dict(net.state_dict())
    state["classifier.linear.bias"] = state["classifier.linear.bias"] + 1
    other = tmp_path / "other"
    torch.save(state, other)
    killed = subprocess.run([sys.executable, "-c", KILLED, NAME, place, str(other)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(files(cache)) == 3  # the record, the weights that it is of, and others
    loaded = open_supernet(NAME).load().net.state_dict()["classifier.linear.bias"]
    expected = {"old": net.state_dict(), "new": state}[taken]["classifier.linear.bias"]
    assert torch.equal(loaded, expected)
    record = take(checkpoint, replace=True)
    assert files(cache) == names_of(record)


def test_only_one_process_gets_the_weights_of_a_supernet(
    site: Site, checkpoint: Path, cache: Path, net: nn.Module
) -> None:
    """Whether they come from elsewhere, from another address or from a file."""
    code = (
        "import sys\nfrom supernet.families import fetched_weights as weights\n"
        f"with weights.alone_in_cache('{NAME}', None):\n    print('held', flush=True)\n    sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        said = rf"another process is getting the weights of {NAME} into {cache / 'weights'}; wait for it"
        with pytest.raises(InputError, match=said):
            take(checkpoint)
        with pytest.raises(InputError, match=said):
            fetch(site)
        with weights.alone_in_cache("ofa_mbv3_w1.2", None):
            pass  # another supernet's are no concern of it
        process.communicate()
    assert site.seen == []
    fetch(site)
    take(checkpoint)
    assert_logits_are_those_of(net)


def test_what_killed_processes_left_goes_and_what_others_write_stays(checkpoint: Path, cache: Path) -> None:
    folder = cache / "weights"
    folder.mkdir(parents=True)
    left = [f".{NAME}.17.checkpoint", f".{NAME}.17.safetensors", f"..{NAME}.17.safetensors.17.partial"]
    others = [
        f".{NAME}.5.17.checkpoint",
        f"{NAME}.5.{'0' * 12}.safetensors",
        f".{NAME}.checkpoint.ab.partial",
    ]
    for name in (*left, *others):
        (folder / name).touch()
    record = take(checkpoint)
    assert files(cache) == sorted([*names_of(record), *others])


# checkpoints of every kind


def renamed(state: State, pairs: list[tuple[str, str]]) -> State:
    found = {}
    for name, value in state.items():
        for new, old in pairs:
            name = name.replace(new, old)
        found[name] = value
    return found


def first_release(state: State) -> State:
    return {
        re.sub(r"^(blocks\.\d+)\.conv\.", r"\1.mobile_inverted_conv.", name): value
        for name, value in state.items()
    }


def of_a_static_net(state: State) -> State:
    """Names of the same layers in a network that is not elastic."""
    pairs = [(".bn.bn.", ".bn."), (".conv.conv.weight", ".conv.weight"), (".linear.linear.", ".linear.")]
    return renamed(state, pairs)


KINDS: dict[str, Callable[[State], State]] = {
    "as ofa has them today": dict,
    "of the first release": first_release,
    "of static layers": of_a_static_net,
    "of the first release and static layers": lambda state: of_a_static_net(first_release(state)),
    "of DataParallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "as we keep them": lambda state: {f"net.{name}": value for name, value in state.items()},
}


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_every_age_load(kind: str, net: nn.Module, tmp_path: Path) -> None:
    state = KINDS[kind](net.state_dict())
    assert len(state) == len(net.state_dict())
    path = tmp_path / "net.pth"
    torch.save(state, path)
    if kind.startswith("of the first") or kind.startswith("of static"):
        assert state.keys() != net.state_dict().keys()
        by_ofa = ofa_class(NAME)
        by_ofa.load_state_dict(state)  # ofa's own loader takes them
        assert same(by_ofa, net)
    found = open_supernet(NAME).family.elastic()
    load_checkpoint(found, path, "it")
    assert same(found.net, net)


def same(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("name", OFA_SUPERNETS[1:])
def test_the_other_supernets_load_too(name: str, tmp_path: Path) -> None:
    theirs = seeded(name)
    old = of_a_static_net(first_release(theirs.state_dict()))
    assert old.keys() != theirs.state_dict().keys()
    path = tmp_path / "net.pth"
    torch.save({"state_dict": first_release(theirs.state_dict()) if "resnet" not in name else old}, path)
    found = open_supernet(name).family.elastic()
    load_checkpoint(found, path, "it")
    assert same(found.net, theirs)


def test_safetensors_are_imported_and_give_the_logits_of_ofa(net: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, path)
    assert take(path).source == str(path)
    assert_logits_are_those_of(net)


def test_counters_of_batches_may_be_absent(net: nn.Module, tmp_path: Path) -> None:
    state = {name: v for name, v in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert len(state) < len(net.state_dict())
    torch.save(state, tmp_path / "net")
    take(tmp_path / "net")
    assert_logits_are_those_of(net)


def without(state: State, name: str) -> State:
    return {key: value for key, value in state.items() if key != name}


GAMMA = "blocks.3.conv.depth_conv.bn.bn.weight"
WRONG: dict[str, tuple[Callable[[State], object], str]] = {
    "lacks one": (lambda s: without(s, GAMMA), rf"lacks {GAMMA} of OFAMobileNetV3"),
    "lacks many": (lambda s: {GAMMA: s[GAMMA]}, r"lacks first_conv.conv.weight and 409 more of the 475 tensors"),
    "one too many": (lambda s: s | {"blocks.3.spy": s[GAMMA]}, r"another network: it holds blocks.3.spy, which"),
    "another shape": (lambda s: s | {GAMMA: s[GAMMA][:-1]}, rf"another network: {GAMMA} has the shape \[143\] in the file and \[144\] in the network\n?$"),
    "one twice": (
        lambda s: s | {GAMMA.replace(".bn.bn.", ".bn."): s[GAMMA] + 1},
        r"holds a tensor twice: as blocks.3.conv.depth_conv.bn",
    ),
    "not finite": (lambda s: s | {GAMMA: s[GAMMA] * torch.nan}, rf"damaged: {GAMMA} holds values"),
    "empty": (lambda s: {}, "lacks first_conv.conv.weight"),
    "a list": (lambda s: [s[GAMMA]], "holds list, where only tensors by name"),
    "not only tensors": (lambda s: s | {"epoch": 3}, "holds epoch, which is int, where only"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_every_tensor_is_accounted_for(wrong: str, net: nn.Module, tmp_path: Path, cache: Path) -> None:
    change, message = WRONG[wrong]
    torch.save(change(dict(net.state_dict())), tmp_path / "net")
    with pytest.raises(InputError, match=message) as error:
        take(tmp_path / "net")
    assert str(tmp_path / "net") in str(error.value)
    assert files(cache) == []


@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint", b"PK\x03\x04 cut", b"\x02\0\0\0\0\0\0\0{", b"\x80\x02."]
)
def test_what_is_no_checkpoint_at_all(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "net").write_bytes(content)
    with pytest.raises(InputError, match=r"net is not a checkpoint( of plain weights)?, or is damaged"):
        take(tmp_path / "net")


def test_torchs_advice_to_load_it_all_the_same_is_not_passed_on(tmp_path: Path) -> None:
    (tmp_path / "net").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError) as error:
        take(tmp_path / "net")
    assert "weights_only" in str(error.value.__cause__)
    assert "weights_only" not in str(error.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_that_was_cut_short(zipped: bool, net: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "net"
    torch.save(net.state_dict(), path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:20_000_000])
    with pytest.raises(InputError, match=r"net is not a checkpoint( of plain weights)?, or is damaged"):
        take(path)


class Trap:
    """Runs code when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def traps(marker: Path) -> dict[str, Callable[[Path], None]]:
    held = {"state_dict": {"first_conv.conv.weight": Trap(marker)}}
    return {
        "zip": lambda path: torch.save(held, path),
        "legacy": lambda path: torch.save(held, path, _use_new_zipfile_serialization=False),
        "pickle": lambda path: path.write_bytes(pickle.dumps(held, protocol=2)) and None,
        "new pickle": lambda path: path.write_bytes(pickle.dumps(held, protocol=5)) and None,
    }


ASKS = r"is refused: it asks for \S*mkdir, and loading that could run code"
UNREADABLE = r"is not a checkpoint of plain weights, or is damaged; nothing of it was run"


@pytest.mark.parametrize(
    ("form", "told"), [("zip", ASKS), ("legacy", ASKS), ("pickle", ASKS), ("new pickle", UNREADABLE)]
)
def test_a_pickle_that_would_run_code_is_refused(
    form: str, told: str, site: Site, tmp_path: Path, cache: Path
) -> None:
    marker, path = tmp_path / "it-ran", tmp_path / "net"
    traps(marker)[form](path)
    with pytest.raises(InputError, match=f"{path} {told}"):
        take(path)
    site.files["/net"] = path.read_bytes()
    with pytest.raises(InputError, match=f"{site.url}/net: the file {told}"):
        fetch(site)
    assert not marker.exists()
    assert files(cache) == []
    pickle.loads(pickle.dumps(Trap(marker)))
    assert marker.exists()  # the trap is a real one


# imports


def test_another_checkpoint_in_place_of_the_first(checkpoint: Path, net: nn.Module, tmp_path: Path) -> None:
    first = take(checkpoint)
    other = tmp_path / "other"
    torch.save(net.state_dict(), other)
    with pytest.raises(
        InputError, match=rf"was taken from {checkpoint} on {TODAY}.*--replace takes the new one"
    ):
        take(other)
    assert kept_weights.read_record(NAME) == first
    assert take(other, replace=True).checkpoint.sha256 == sha256_of(other)


def test_what_differs_from_the_published_checkpoint_is_said(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_weights, "OFFICIAL", OFFICIAL)
    said: list[str] = []
    weights.import_file(NAME, checkpoint, TODAY, said.append)
    assert said == [f"{checkpoint} is not, byte for byte, the checkpoint that was published"]


def test_a_supernet_of_ones_own_without_weights(net: nn.Module, tmp_path: Path) -> None:
    shipped = OFFICIAL.parent.parent / "supernets" / f"{NAME}.yaml"
    own = yaml.safe_load(shipped.read_text()) | {"name": "mine", "also": []}
    own["network"]["classes"] = [f"class {i}" for i in range(1000)]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(own))
    with pytest.raises(
        InputError, match="weights of mine are not here: oncefit weights import mine FILE takes"
    ):
        open_supernet(str(path)).load()
    with pytest.raises(InputError, match="no address is known for mine: give one with --from URL"):
        weights.fetch(str(path), TODAY, lambda _: None, lambda *_: None)
    torch.save(net.state_dict(), tmp_path / "net")
    weights.import_file(str(path), tmp_path / "net", TODAY, lambda _: None)
    assert same(open_supernet(str(path)).load().net, net)
    assert "mine" in kept_weights.kept_names()


def test_weights_that_ship_are_not_fetched() -> None:
    with pytest.raises(InputError, match="weights of fmnist_mbv3 need no fetching"):
        weights.fetch("fmnist_mbv3", TODAY, lambda _: None, lambda *_: None)


def test_an_address_is_http(cache: Path) -> None:
    with pytest.raises(InputError, match=r"--from: addresses.0: got 'file:///etc/passwd'"):
        weights.fetch(NAME, TODAY, lambda _: None, lambda *_: None, None, ["file:///etc/passwd"])


# the list of published checkpoints


def test_every_supernet_without_weights_is_published() -> None:
    assert set(kept_weights.read_published(OFFICIAL)) == set(OFA_SUPERNETS)


def test_the_addresses_are_those_of_ofa() -> None:
    """``ofa``'s own list, read as text: it cannot be imported."""
    spec = find_spec("ofa")
    assert spec is not None
    assert spec.origin is not None
    zoo = (Path(spec.origin).parent / "model_zoo.py").read_text()
    [base] = set(re.findall(r'url_base = "(https://\S+/ofa_nets/)"', zoo))
    by_hand = re.findall(r'url_base = "(https://drive\S+)"', zoo)
    for name, published in kept_weights.read_published(OFFICIAL).items():
        ids = re.findall(r'net_id == "(\w+\S*)"', zoo)
        [net_id] = [i for i in ids if open_supernet(i).name == name]
        if name == "ofa_resnet50":
            assert list(published.by_hand) == by_hand
        else:
            assert published.addresses[0] == base + net_id
        for address in published.addresses:
            assert urlsplit(address).scheme == "https"
            last = address.rpartition("/")[2]
            assert last.startswith(net_id)


@pytest.mark.parametrize("name", ["ofa_mbv3_w1.0", "ofa_resnet50"])
def test_a_published_size_is_that_of_the_tensors(name: str) -> None:
    known = kept_weights.read_published(OFFICIAL)[name].checkpoint
    assert known is not None
    tensors = ofa_class(name).state_dict().values()
    held = sum(value.numel() * value.element_size() for value in tensors)
    assert held < known.size < 1.01 * held


# the command line


def command(*arguments: str) -> None:
    app(list(arguments), standalone_mode=False)


def test_the_commands(
    site: Site, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("list", "--json")
    listed = json.loads(capsys.readouterr().out)["weights"]
    assert listed == {name: {"here": False} for name in OFA_SUPERNETS}

    command("fetch", "ofa_mbv3_d234_e346_k357_w1.0", "--from", f"{site.url}/net")
    out, err = capsys.readouterr()
    assert out == ""
    size = checkpoint.stat().st_size // 1_000_000
    assert f"downloading {size}/{size} MB" in err
    assert f"the weights of {NAME} are in {kept_weights.locate(NAME).path}" in err
    assert sha256_of(checkpoint) in err

    command("list")
    out = capsys.readouterr().out
    [line] = [line for line in out.splitlines() if NAME in line]
    assert "here since " in line
    assert sha256_of(checkpoint)[:12] in line
    assert f"{site.url}/net" in line
    assert out.count("not here") >= 3

    elsewhere = tmp_path / "elsewhere"
    command("import", NAME, str(checkpoint), "--cache-dir", str(elsewhere), "--json")
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["here"] is True
    assert Path(told["file"]).is_relative_to(elsewhere)
    assert told["checkpoint"]["sha256"] == sha256_of(checkpoint)
    assert f"set ONCEFIT_CACHE={elsewhere}" in err


def on_disk(cache: Path) -> int:
    return sum(path.stat().st_size for path in (cache / "weights").glob(".*.partial"))


def test_ctrl_c_keeps_what_came(site: Site, cache: Path, net: nn.Module) -> None:
    site.pause_s = 0.02
    code = (
        "import sys, pathlib, search.cli.app, supernet.weights.kept_weights\n"
        "supernet.weights.kept_weights.OFFICIAL = pathlib.Path(sys.argv[1])\n"
        "search.cli.app.main(sys.argv[2:])"
    )
    arguments = [str(kept_weights.OFFICIAL), "weights", "fetch", NAME, "--from", f"{site.url}/net"]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True)
    while on_disk(cache) < 1_000_000 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert "the same command continues" in said
    [partial] = (cache / "weights").glob(".*.partial")
    came = partial.stat().st_size
    assert came >= 1_000_000
    site.pause_s = 0
    fetch(site)
    assert site.ranges_seen() == [None, f"bytes={came}-"]
    assert_logits_are_those_of(net)


@pytest.mark.parametrize(
    "module",
    [
        "supernet.cache",
        "supernet.downloads",
        "supernet.weights.kept_weights",
        "supernet.families.fetched_weights",
    ],
)
def test_looking_for_weights_imports_nothing_heavy(module: str) -> None:
    code = f"import {module}\nfrom supernet.weights import kept_weights\nkept_weights.kept_names(); kept_weights.remedy('{NAME}')"
    assert not loaded_after(code) & HEAVY


def test_listing_imports_nothing_heavy(net: nn.Module, cache: Path) -> None:
    elastic = open_supernet(NAME).family.elastic()
    sha256 = save_weights(elastic, cache / "weights" / "net")
    (cache / "weights" / "net").rename(cache / "weights" / f"{NAME}.{sha256[:12]}.safetensors")
    content = {"size": 1, "sha256": sha256}
    record = {"source": "here", "date": TODAY, "checkpoint": content, "weights": content}
    (cache / "weights" / f"{NAME}.yaml").write_text(yaml.safe_dump(record))
    assert kept_weights.locate(NAME).path.is_file()
    code = "from search.cli.weights import app\napp(['list'], standalone_mode=False)"
    assert not loaded_after(code) & HEAVY


def test_of_two_in_a_checkpoint_the_command_takes_the_average_or_what_key_says(
    net: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As timm saves: raw weights and their moving average."""
    state = net.state_dict()
    average = state | {"classifier.linear.bias": state["classifier.linear.bias"] + 1}
    path = tmp_path / "last.pth.tar"
    torch.save({"state_dict": state, "state_dict_ema": average, "args": Namespace(lr=0.1)}, path)
    for key, expected, options in (
        ("state_dict_ema", average, []),
        ("state_dict", state, ["--key", "state_dict"]),
    ):
        app(["import", NAME, str(path), "--json", *options], standalone_mode=False)
        printed = capsys.readouterr()
        assert json.loads(printed.out)["key"] == key
        assert ("holds weights more than once; taken are those of state_dict_ema" in printed.err) != bool(
            options
        )
        loaded = open_supernet(NAME).load().net.state_dict()["classifier.linear.bias"]
        assert torch.equal(loaded, expected["classifier.linear.bias"])
