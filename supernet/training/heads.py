"""Another head for a subnet: outputs for the classes of other images, matched by name with those that it has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from supernet.errors import some
from supernet.images.class_folders import folder_name
from supernet.images.wnids import class_of_wnid


@dataclass(frozen=True)
class ClassMatch:
    """Classes of a network, ``before``, and those that it is to tell apart, ``after``."""

    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def kept(self) -> tuple[str, ...]:
        return tuple(name for name in self.after if name in self.before)

    @property
    def new(self) -> tuple[str, ...]:
        return tuple(name for name in self.after if name not in self.before)

    @property
    def gone(self) -> tuple[str, ...]:
        return tuple(name for name in self.before if name not in self.after)

    @property
    def told(self) -> str:
        """A sentence on the head, by class name."""
        if self.before == self.after:
            return f"the head is kept: the images are of the network's {len(self.after)} classes"
        parts = [
            f"{len(names)} {what} ({some(names)})"
            for names, what in ((self.kept, "kept"), (self.new, "new"), (self.gone, "gone"))
            if names
        ]
        return f"the head is replaced, classes are matched by name: {', '.join(parts)}"


def match_classes(before: tuple[str, ...], folders: Sequence[str]) -> ClassMatch:
    """Of class folders: those that are called like a class of the network in its order, then new ones in sorted order.

    ImageNet's ``n01440764`` is called like the class ``tench``. A name that several classes of the network have is a new
    class, as nothing says which of them it is.
    """
    counts = Counter(map(folder_name, before))
    called = {folder: class_called(folder, counts) for folder in folders}
    named = set(called.values())
    kept = tuple(name for name in before if folder_name(name) in named and counts[folder_name(name)] == 1)
    known = set(map(folder_name, kept))
    return ClassMatch(before, kept + tuple(sorted(name for name in folders if called[name] not in known)))


def class_called(folder: str, known: Container[str]) -> str:
    """The folder's own name, or that of the known class whose WordNet id it is."""
    of = folder_name(class_of_wnid(folder) or "")
    return of if folder not in known and of in known else folder


@torch.no_grad()
def put_weights(given: Mapping[str, Tensor], target: nn.Module, match: ClassMatch) -> None:
    """Give ``target``, a network with outputs for ``match.after``, all weights of the same with ``match.before``.

    Rows of the head go to the class of the same name; those of new classes stay as they are in ``target``. Networks are
    subnets, or supernets as a whole.
    """
    state, head = dict(given), head_of(target)
    places = [match.before.index(name) for name in match.kept]
    kept = [match.after.index(name) for name in match.kept]
    for part, own in target.get_submodule(head).named_parameters():  # without a bias where it has none
        rows = own.clone()
        rows[kept] = state[f"{head}.{part}"][places]
        state[f"{head}.{part}"] = rows
    target.load_state_dict(state)


def head_of(subnet: nn.Module) -> str:
    """The name of its last linear layer, which gives the logits in every family."""
    linear: list[str] = [name for name, module in subnet.named_modules() if isinstance(module, nn.Linear)]
    return linear[-1]
