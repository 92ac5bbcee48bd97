"""Classes matched by name, and a head whose kept rows answer as before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from supernet.families.catalog import open_supernet
from supernet.images.class_folders import labels_of
from supernet.images.wnids import names_by_wnid
from supernet.training.heads import ClassMatch, match_classes, put_weights

KNOWN = ("T-shirt/top", "Trouser", "Bag", "crane", "crane")


def test_known_classes_keep_their_order_and_new_ones_follow_sorted() -> None:
    match = match_classes(KNOWN, ["Bag", "T-shirt_top", "ant", "bee"])
    assert match.after == ("T-shirt/top", "Bag", "ant", "bee")
    assert (match.kept, match.new) == (("T-shirt/top", "Bag"), ("ant", "bee"))
    assert match.gone == ("Trouser", "crane", "crane")
    assert match.told == (
        "the head is replaced, classes are matched by name: 2 kept (T-shirt/top, Bag), 2 new (ant, bee), "
        "3 gone (Trouser, crane, crane)"
    )


def test_a_name_of_two_classes_is_a_new_class() -> None:
    assert match_classes(KNOWN, ["Bag", "crane"]).after == ("Bag", "crane")


def test_imagenets_folders_are_its_classes() -> None:
    """Some with another beside them, whose name is in no table, and all of them."""
    imagenet, wnids = open_supernet("ofa_mbv3_w1.2").classes, list(names_by_wnid())
    match = match_classes(imagenet, ["n01443537", "n01440764", "n99999999", "hen"])
    assert match.after == ("tench", "goldfish", "hen", "n99999999")
    assert (match.kept, match.new) == (("tench", "goldfish", "hen"), ("n99999999",))
    found = labels_of(Path("train"), ["hen", "n01440764", "n01443537", "n99999999"], match.after)
    assert found.labels == {"hen": 2, "n01440764": 0, "n01443537": 1, "n99999999": 3}
    assert match_classes(imagenet, wnids).told.startswith("the head is kept")
    assert match_classes(("tench", "n01440764"), ["n01440764"]).after == ("n01440764",), (
        "its own name goes first"
    )


def test_the_same_classes_leave_the_head_as_it_is() -> None:
    match = match_classes(("b", "a"), ["a", "b"])
    assert match.after == match.before == ("b", "a")
    assert match.told == "the head is kept: the images are of the network's 2 classes"


@pytest.mark.parametrize("name", ["fmnist_mbv3", "ofa_proxyless_w1.3", "ofa_resnet50"])
def test_kept_classes_have_the_logits_that_they_had(name: str) -> None:
    """In another order and beside new classes, in every way that a family builds its head."""
    supernet = open_supernet(name)
    arch, names = supernet.space.smallest(), supernet.classes
    after = (names[4], "new one", names[1], names[0], "new two", names[7])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        subnet = supernet.family.static(arch).eval()
        for module in subnet.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
        target = supernet.of_classes(after).family.static(arch).eval()
        x = torch.randn(3, supernet.layers(arch)[0].in_channels, 64, 64)
    new_rows = [part.clone() for part in list(target.parameters())[-2:]]
    put_weights(subnet.state_dict(), target, ClassMatch(names, after))
    with torch.no_grad():
        before, now = subnet(x), target(x)
    assert now.shape == (3, 6)
    torch.testing.assert_close(now[:, [0, 2, 3, 5]], before[:, [4, 1, 0, 7]], rtol=0, atol=1e-5)
    for part, as_drawn in zip(list(target.parameters())[-2:], new_rows, strict=True):
        assert torch.equal(part[[1, 4]], as_drawn[[1, 4]])


def test_a_network_of_other_classes_has_other_outputs_and_no_weights() -> None:
    supernet = open_supernet("fmnist_mbv3")
    other = supernet.of_classes(("a", "b", "c"))
    arch = supernet.space.largest()
    assert other.classes == ("a", "b", "c")
    assert other.layers(arch)[-1].out_channels == 3
    assert other.layers(arch)[:-1] == supernet.layers(arch)[:-1]
    assert other.fingerprint != supernet.fingerprint
    assert other.stored is None
    assert supernet.of_classes(supernet.classes) is supernet


def test_a_head_without_a_bias_has_none_afterwards() -> None:
    given, target = (nn.Sequential(nn.Linear(3, classes, bias=False)) for classes in (2, 3))
    put_weights(given.state_dict(), target, ClassMatch(("a", "b"), ("b", "a", "c")))
    torch.testing.assert_close(target[0].weight[:2], given[0].weight[[1, 0]], rtol=0, atol=0)
