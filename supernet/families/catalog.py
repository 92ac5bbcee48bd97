"""Supernets by name: their description (free of torch) and their weights.

A family is a function ``parse(name, network, where) -> Family`` and one line in
:data:`FAMILIES` that names its module and it; a supernet is a YAML file in ``configs/supernets``. A YAML of a user's own
may name a class of theirs as its family, see :mod:`supernet.families.own_networks`: such a file runs code, no other does.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, Field

from supernet import documents
from supernet.amounts import Count
from supernet.archs.arch import Arch, Choice
from supernet.archs.layers import Layer, Segment, layers
from supernet.archs.precisions import ascending, with_precisions
from supernet.archs.space import SearchSpace
from supernet.errors import InputError, unknown
from supernet.own_code import is_dotted
from supernet.printable import NO_NAME, check_names
from supernet.weights.stored_weights import PRETRAINED, REINSTALL, StoredWeights

if TYPE_CHECKING:
    from torch import nn

FAMILIES: Mapping[str, str] = {
    "mobilenet_v3": "supernet.families.mobilenet_v3:parse",
    "ofa_mobilenet_v3": "supernet.families.ofa_mobile:parse_mobilenet_v3",
    "ofa_proxyless": "supernet.families.ofa_mobile:parse_proxyless",
    "ofa_resnet": "supernet.families.ofa_resnet:parse",
    "residual": "supernet.families.residual:parse",
}

DATA_SETS = ("fashion_mnist",)
"""Names of data sets that ship; any other data set is a folder of images."""


class Elastic(Protocol):
    """A torch module with all weights of a supernet."""

    def extract(self, arch: Arch) -> nn.Module:
        """An independent static module with copies of the weights of ``arch``, in eval mode."""
        ...

    def eval(self) -> Any: ...


@dataclass(frozen=True)
class Family:
    """What the rest of oncefit knows of a network; ``elastic`` and ``static`` import torch when called.

    ``width`` is the multiplier of its widths, where there are supernets that differ by it alone. ``walk`` is what a
    user's own network says of whole archs, and ``carried`` that network, where its weights come with it.
    """

    classes: tuple[str, ...]
    space: SearchSpace
    segments: tuple[Segment, ...]
    elastic: Callable[[], Elastic]
    static: Callable[[Arch], nn.Module]
    width: float | None = None
    walk: Callable[[Arch], tuple[Layer, ...]] | None = None
    carried: Elastic | None = None

    @property
    def channels(self) -> int:
        """Of an image: 1 or 3."""
        return layers(self.segments, self.space.smallest())[0].in_channels

    def part(self, only: Mapping[str, Iterable[Choice]]) -> Family:
        """The same network, of whose choices only some count as its own: those that its weights were trained for."""
        return replace(self, space=self.space.restricted(only)) if only else self


LONGEST_SUPERNET_NAME = 100
"""Characters of a supernet's name: file systems take names of 255 bytes, and more is added to it."""

OWN_FAMILY = "supernet.families.own_networks:parser_of"
"""Of a class that a YAML names as its family: imported only where one does."""


class WeightsFile(documents.Document):
    """A safetensors file in the package's ``pretrained`` folder, or at a path, and its hash."""

    file: str
    sha256: str


class PreprocessingKeys(documents.Document):
    """From an image file to a network's input: pixels scaled to 0..1, ``mean`` and ``std`` of each channel.

    Images are either ``stored`` as squares of so many pixels, grey for one channel, and resized
    to the arch's resolution, or resized so that the shorter side is resolution / ``crop``, and
    the middle is cut out, as ImageNet networks are evaluated. That side is ``rounded`` up as OFA does, down as
    timm does, or to the nearest: a pixel more or less is a point or two of top-1 at small resolutions.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    stored: Count | None = None
    crop: float | None = Field(default=None, gt=0, le=1)
    rounded: Literal["up", "down", "nearest"] = "up"

    @property
    def told(self) -> str:
        """All that applies, in a line."""
        keys = self.model_dump(
            mode="json", exclude_none=True, exclude={"rounded"} if self.crop is None else None
        )
        return ", ".join(f"{key} {value}" for key, value in keys.items())


def as_file_name(name: str) -> str:
    """The name of a supernet, after which files of it are called in the cache, in runs and in bundles."""
    if (
        not name
        or len(name) > LONGEST_SUPERNET_NAME
        or name.startswith(".")
        or re.search(r"[/\\]", name)
        or NO_NAME.search(name)
    ):
        raise ValueError(
            f"Input should be a name of 1 to {LONGEST_SUPERNET_NAME} characters on one line, without / and \\ and no dot before it"
        )
    return name


class SupernetFile(documents.Document):
    """``configs/supernets/*.yaml``.

    ``family`` is a name of :data:`FAMILIES`, or ``module:Class``, which is in the folder ``code`` or beside the file.
    ``also`` are other names of it. ``data`` is absent where no images ship, ``weights`` where they come from
    ``oncefit weights``. ``space`` are the choices that its weights were trained for, where those are not all.
    """

    name: Annotated[str, AfterValidator(as_file_name)]
    also: tuple[str, ...] = ()
    family: str
    code: str | None = None
    data: str | None = None
    preprocessing: PreprocessingKeys
    weights: WeightsFile | None = None
    space: dict[str, tuple[Choice, ...]] = Field(default_factory=dict)
    network: dict[str, Any]


class LabelFile(documents.Document):
    """``configs/labels/*.yaml``; ``wnids`` are the names' WordNet ids in the same order, where they have some."""

    names: tuple[str, ...]
    wnids: tuple[str, ...] = ()


def label_names(given: str | tuple[str, ...]) -> tuple[str, ...]:
    """Class names in the order of a network's outputs: as given, or those of a file in ``configs/labels``."""
    if isinstance(given, str):
        return documents.read(documents.find("labels", given), LabelFile).names
    return given


@dataclass(frozen=True)
class Supernet:
    """A described supernet; :meth:`load` gives its weights. ``only`` limits its choices, ``precisions`` adds one.

    ``data`` and ``stored`` are None where no images and no weights come with it. ``net`` is a network that is in
    memory already, in place of weights in a file. ``with_outputs`` describes the same network for other classes, which
    one that was given in Python cannot.
    """

    name: str
    data: str | None
    preprocessing: PreprocessingKeys
    stored: StoredWeights | None
    family: Family
    only: tuple[tuple[str, tuple[Choice, ...]], ...] = ()
    precisions: tuple[str, ...] = ()
    net: Elastic | None = None
    with_outputs: Callable[[tuple[str, ...]], Family] | None = field(default=None, compare=False)

    @cached_property
    def space(self) -> SearchSpace:
        """The choices there are, or those that :meth:`restricted` left; with the precision where it is one."""
        return with_precisions(self.family.space.restricted(dict(self.only)), self.precisions)

    def restricted(self, only: Mapping[str, Iterable[Choice]]) -> Supernet:
        """The same supernet with fewer choices: ``{"resolution": (160, 176)}``, or with free ones: ``(48, 256)``.

        Its archs, its network and so its fingerprint are those of the whole one.
        """
        return replace(self, only=tuple((name, tuple(choices)) for name, choices in only.items()))

    def at_precisions(self, names: Iterable[str]) -> Supernet:
        """The same supernet whose archs say their precision, one of ``names``; without names they say none.

        Its network and so its fingerprint are the same. Raises InputError for a precision that is not known.
        """
        return replace(self, precisions=ascending(names))

    @property
    def of_networks(self) -> Supernet:
        """The same supernet whose archs are networks alone, without a precision."""
        return self.at_precisions(()) if self.precisions else self

    def of_classes(self, classes: tuple[str, ...]) -> Supernet:
        """The same network with an output for each of ``classes``; of others than its own there are no weights."""
        if classes == self.classes:
            return self
        if self.is_given:
            raise InputError(
                f"{self.name} was given in Python, and nothing is known of it with other classes"
            )
        assert self.with_outputs is not None
        return replace(self, family=self.with_outputs(classes), data=None, stored=None, net=None)

    @property
    def is_given(self) -> bool:
        """Whether an object of the caller's describes it, and no file that can be read again elsewhere."""
        return self.with_outputs is None

    def with_arch(self, arch: Arch) -> Supernet:
        """The same supernet, whose space has the choices of ``arch`` alone where it takes free ones.

        So that costs, which are in tables of a space's choices, are had of an arch at a free resolution.
        """
        choices = arch.values
        known = all(choices[d.name] in d.choices for d in self.space.dimensions if d.name in choices)
        return self if known else self.restricted({name: (choice,) for name, choice in arch.choices})

    @cached_property
    def fingerprint(self) -> str:
        """Names the network: its choices, and the layers of its largest, middle and smallest subnet.

        Latency models, predictors, studies and bundles carry it and refuse another. Weights have
        a hash of their own.
        """
        space = self.family.space
        choices = [(d.name, d.choices, d.needs) for d in space.dimensions]
        ends = (space.largest(), space.middle(), space.smallest())
        built = [[asdict(layer) for layer in self.layers(arch)] for arch in ends]
        return hashlib.sha256(json.dumps([space.name, choices, built]).encode()).hexdigest()[:16]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the network's outputs, in order."""
        return self.family.classes

    @property
    def segments(self) -> tuple[Segment, ...]:
        return self.family.segments

    @property
    def weights(self) -> StoredWeights:
        """Where its weights are. Raises InputError that says how to get them where they are not here."""
        if self.stored is not None:
            return self.stored
        from supernet.weights.kept_weights import locate

        return locate(self.name)

    @cached_property
    def weights_sha256(self) -> str:
        """Of its weights, in a file or in memory. Raises InputError where they are not here."""
        if self.net is None:
            return self.weights.sha256
        space, digest = self.family.space, hashlib.sha256()
        has_state = hasattr(self.net, "state_dict")
        parts: list[Any] = (
            [self.net] if has_state else [self.net.extract(a) for a in (space.smallest(), space.largest())]
        )
        for name, tensor in (pair for part in parts for pair in sorted(part.state_dict().items())):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def layers(self, arch: Arch) -> tuple[Layer, ...]:
        return layers(self.segments, arch)

    def load(self) -> Elastic:
        """The elastic network with its weights, in eval mode. Raises InputError for wrong files."""
        if self.net is not None:
            return self.net
        from supernet.weights.checkpoints import load_weights

        stored = self.weights
        net: Any = self.family.elastic()
        load_weights(net, stored.path, stored.sha256, stored.remedy)
        return net.eval()  # type: ignore[no-any-return]


def open_supernet(name_or_path: str) -> Supernet:
    """The supernet of a name in ``configs/supernets``, or of a YAML file of the user's."""
    return parse_supernet(documents.find("supernets", other_names().get(name_or_path, name_or_path)))


@lru_cache(maxsize=1)
def other_names() -> Mapping[str, str]:
    """The names that other packages give the shipped supernets, to ours."""
    found = {}
    for name in documents.names("supernets"):
        document = documents.read(documents.find("supernets", name), SupernetFile)
        found.update(dict.fromkeys(document.also, name))
    return found


@lru_cache(maxsize=8)
def parse_supernet(path: Path) -> Supernet:
    """The supernet that a YAML file describes."""
    return described_supernet(documents.read(path, SupernetFile), path)


def described_supernet(document: SupernetFile, path: Path) -> Supernet:
    """The supernet of a document that is, or will be, in the file ``path``, from whose folder its paths start."""
    described = family_of_outputs(document.family, document.name, path, document.code)
    parsed = described(document.network).part(document.space)
    check_names(parsed.classes, f"{path}: classes")
    channels = parsed.channels
    if len(document.preprocessing.mean) != channels:
        raise InputError(
            f"{path}: preprocessing.mean has {len(document.preprocessing.mean)} numbers, but the network takes "
            f"images of {channels} channel{'s' if channels > 1 else ''}; give one for each"
        )
    data = document.data
    if data is not None and data not in DATA_SETS:
        data = documents.from_folder(path.parent, data)
    return Supernet(
        name=document.name,
        data=data,
        preprocessing=document.preprocessing,
        stored=stored_weights(document, path) if document.weights is not None else None,
        family=parsed,
        net=parsed.carried if document.weights is None else None,
        with_outputs=lambda classes: described(document.network | {"classes": list(classes)}).part(
            document.space
        ),
    )


def family_of_outputs(
    family: str, name: str, path: Path, code: str | None = None
) -> Callable[[Mapping[str, Any]], Family]:
    """From the ``network`` key of a supernet's file to its family. Raises InputError for a family that is not known."""
    parse = family_parser(family, path, code)
    return lambda network: parse(name, network, str(path))


def family_parser(
    family: str, path: Path, code: str | None = None
) -> Callable[[str, Mapping[str, Any], str], Family]:
    """The ``parse`` of a family's name, or of a class of the user's own, which may be in :func:`code_folder`."""
    if family in FAMILIES:
        found: Callable[[str, Mapping[str, Any], str], Family] = load_named(FAMILIES[family])
        return found
    if not is_dotted(family):
        raise InputError(
            f"{unknown(f'family in {path}:', family, FAMILIES)}; a class of yours is given as module:Class, see "
            "docs/own-network.md"
        )
    own: Callable[[str, Mapping[str, Any], str], Family] = load_named(OWN_FAMILY)(
        family, code_folder(path, code)
    )
    return own


def code_folder(path: Path, code: str | None) -> Path:
    """Where a class of the user's own is looked for: in ``code``, if that is there, else beside the YAML file ``path``."""
    folder = path.resolve().parent / code if code is not None else path.parent
    return folder if folder.is_dir() else path.parent


def load_named(place: str) -> Any:
    """What is at ``module:name`` of ours."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def stored_weights(document: SupernetFile, path: Path) -> StoredWeights:
    """The file that a supernet's YAML names: in the package's folder of weights, or from its own folder."""
    assert document.weights is not None
    file = PRETRAINED / documents.from_folder(path.parent, document.weights.file)
    ours = file.parent == PRETRAINED
    edit = f"put the file back, or set weights.file and weights.sha256 in the YAML of {document.name}"
    remedy = REINSTALL if ours else edit
    return StoredWeights(file, document.weights.sha256, remedy)
