"""Networks of a user's own: a class that a supernet's YAML names as its family, or an object given in Python.

It has ``space`` (a :class:`SearchSpace`), ``layers(arch)`` (its :class:`Layer`\\ s in order) and ``network(arch)`` (the
static torch module of an arch). With ``extract(arch)`` it cuts a subnet with its weights out of itself; without, the modules
that ``network`` gives have the weights already. ``segments`` (:mod:`supernet.archs.layers`) take the place of those that are
derived from the walk. With ``has_weights`` true, its weights come with the object, and from no file.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from supernet.archs.arch import Arch
from supernet.archs.derived_segments import derive_segments
from supernet.archs.layers import OPERATIONS, Layer, Segment
from supernet.archs.space import SearchSpace
from supernet.errors import InputError, prefixed, short, unknown
from supernet.families.catalog import Elastic, Family, label_names
from supernet.own_code import blamed, import_class

if TYPE_CHECKING:
    from torch import nn

CLASS_HAS: Mapping[str, str] = {
    "space": "space, an oncefit.SearchSpace",
    "layers": "layers(arch), the layers of an arch in order",
    "network": "network(arch), the static torch module of an arch",
}
"""What a class must have, in words."""
PAGE = "see docs/own-network.md"


def parser_of(path: str, folder: Path) -> Callable[[str, Mapping[str, Any], str], Family]:
    """The ``parse`` of a class at ``module:Class``, which may be in ``folder``; see :data:`supernet.families.catalog.FAMILIES`."""
    return partial(parse_own, path, folder)


def parse_own(path: str, folder: Path, name: str, network: Mapping[str, Any], where: str) -> Family:
    """The family of a class that gets the ``network`` key of a supernet's YAML as keyword arguments.

    Its ``classes`` are given as their names, in order. Raises InputError for a class that cannot be made so, or lacks
    something.
    """
    made_by = import_class(path, folder, f"{where}: family {path}")
    called = f"{where}: {path}"
    classes = class_names(network, where)
    arguments = {**network, "classes": classes}
    check_arguments(made_by, arguments, f"{where}: network")

    def make() -> Any:
        try:
            with blamed(f"{called}(...)"):
                return made_by(**copy.deepcopy(arguments))
        except InputError as error:
            raise prefixed(error, called) from error

    own = with_fixed_seed(make)
    check_parts(own, called)
    family = described_by(own, classes, called, make)
    if family.space.name != name:
        raise InputError(
            f"{called}: its space is called {family.space.name!r}, and the supernet {name!r}; give both one name: archs "
            "bear that of their space, and are found by it"
        )
    if "resolution" not in family.space.index:
        raise InputError(
            f"{called}: its space has no dimension 'resolution', the side of the images in pixels; add one first, as "
            'Dimension("resolution", (32,)), and any others behind it'
        )
    return family


def class_names(network: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The ``classes`` of a ``network`` key: their names, or the name of a list in ``configs/labels``."""
    given = network.get("classes")
    if isinstance(given, str):
        return label_names(given)
    if not isinstance(given, Sequence) or len(given) < 2 or not all(isinstance(name, str) for name in given):
        raise InputError(
            f"{where}: network.classes: got {short(given)}; give the names of the network's outputs in order, at least two, "
            "or the name of a list of classes"
        )
    return tuple(given)


def check_arguments(made_by: type, arguments: Mapping[str, Any], where: str) -> None:
    """Raises InputError for keys that a class does not take, and for those that it needs."""
    try:
        signature = inspect.signature(made_by)
    except (TypeError, ValueError):
        return  # of a class in C, which says so when it is called
    kinds = inspect.Parameter
    named = [
        p for p in signature.parameters.values() if p.kind not in (kinds.VAR_KEYWORD, kinds.VAR_POSITIONAL)
    ]
    if len(named) == len(signature.parameters):
        for key in arguments:
            if key not in signature.parameters:
                raise InputError(
                    f"{where}: {unknown(f'key of {made_by.__name__}', key, signature.parameters)}"
                )
    lacking = [p.name for p in named if p.default is p.empty and p.name not in arguments]
    if lacking:
        raise InputError(f"{where}: the key {lacking[0]!r} is missing, which {made_by.__name__} needs")


def with_fixed_seed(make: Callable[[], Any]) -> Any:
    """What is made, with random weights that are the same each time and that nothing else's depend on."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def check_parts(own: object, called: str) -> None:
    """Raises InputError for an object that lacks something, or has something else in its place."""
    lacking = [told for name, told in CLASS_HAS.items() if not hasattr(own, name)]
    if lacking:
        raise InputError(f"{called} has no {', no '.join(lacking)}; {PAGE}")
    if not isinstance(own.space, SearchSpace):  # type: ignore[attr-defined]
        raise InputError(
            f"{called}: space is {type(own.space).__name__}, and must be an oncefit.SearchSpace; {PAGE}"  # type: ignore[attr-defined]
        )
    for name in ("layers", "network"):
        if not callable(getattr(own, name)):
            raise InputError(f"{called}: {name} is no method; it must be {CLASS_HAS[name]}; {PAGE}")


def described_by(
    own: Any, classes: tuple[str, ...], called: str, make: Callable[[], Any] | None = None
) -> Family:
    """The family of an object. Its weights are those of a file loaded into what ``make`` makes, else its own.

    Only one that ``make`` makes needs all of :data:`CLASS_HAS`. Raises InputError for methods that return something else
    than they should.
    """
    walk = partial(walked_layers, own, called) if hasattr(own, "layers") else None
    segments = own_segments(own, called)
    if walk is not None:
        walk(own.space.smallest())
        segments = segments or derive_segments(own.space, walk, called)
    if make is not None:
        static_network(own, called, own.space.smallest())
    carries = make is None or getattr(own, "has_weights", False) or not hasattr(own, "load_state_dict")
    return Family(
        classes=classes,
        space=own.space,
        segments=segments,
        elastic=partial(fresh_elastic, make, called)
        if make is not None
        else partial(missing, called, "extract"),
        static=partial(static_network, own, called),
        walk=walk,
        carried=as_elastic(own, called) if carries else None,
    )


def missing(called: str, method: str, *_: object) -> Any:
    """In the place of a method that an object has not."""
    raise InputError(
        f"{called} has no {method}(arch), so its subnets cannot be had here; give it one, or accuracy=function"
    )


def own_segments(own: object, called: str) -> tuple[Segment, ...]:
    """The segments that an object has; none if it has none. Raises InputError for what are none."""
    found = getattr(own, "segments", ())
    if not isinstance(found, Sequence) or not all(isinstance(one, Segment) for one in found):
        raise InputError(
            f"{called}: segments is {short(found)}, and must be a sequence of supernet.layers.Segment; without it they are "
            "derived from layers(arch)"
        )
    return tuple(found)


def walked_layers(own: Any, called: str, arch: Arch) -> tuple[Layer, ...]:
    """What ``layers(arch)`` of an object says. Raises InputError for what are no layers."""
    with blamed(f"{called}.layers of arch {arch}"):
        found = own.layers(arch)
        layers = tuple(found) if isinstance(found, Iterable) and not isinstance(found, str) else ()
    if not layers or not all(isinstance(layer, Layer) for layer in layers):
        raise InputError(
            f"{called}.layers(arch) returned {short(found)}; it must return a sequence of supernet.layers.Layer, at least one; "
            f"{PAGE}"
        )
    for layer in layers:
        check_layer(layer, called)
    return layers


def check_layer(layer: Layer, called: str) -> None:
    """Raises InputError for an operation that no cost knows, and for sizes that no map has."""
    if layer.op not in OPERATIONS:
        raise InputError(f"{called}.layers(arch): layer {layer.name}: {unknown('op', layer.op, OPERATIONS)}")
    sizes = (layer.in_channels, layer.out_channels, layer.in_size, layer.out_size, layer.kernel, layer.stride)
    if not all(isinstance(size, int) and size > 0 for size in sizes) or not isinstance(layer.held, int):
        raise InputError(
            f"{called}.layers(arch): layer {layer.name}: channels, sizes, kernel and stride are whole numbers from 1, got "
            f"{short(layer)}"
        )


def static_network(own: Any, called: str, arch: Arch) -> nn.Module:
    """What ``network(arch)`` of an object gives; a copy, where it may share the object's own weights."""
    if not hasattr(own, "network"):
        missing(called, "network")
    with blamed(f"{called}.network of arch {arch}"):
        found = own.network(arch)
    net = as_module(found, f"{called}.network(arch)")
    return net if hasattr(own, "extract") else copy.deepcopy(net)


def as_module(found: object, called: str) -> nn.Module:
    """What was returned, if it is a network. Raises InputError for anything else."""
    from torch import nn

    if not isinstance(found, nn.Module):
        raise InputError(
            f"{called} returned {type(found).__name__}; it must return a torch.nn.Module; {PAGE}"
        )
    return found


def fresh_elastic(make: Callable[[], Any], called: str) -> Elastic:
    """A new object with all weights. Raises InputError where its ``extract`` gives no module."""
    own = make()
    found, smallest = as_elastic(own, called), own.space.smallest()
    if found is None:
        missing(called, "network")
    elif found is own:
        with blamed(f"{called}.extract of arch {smallest}"):
            as_module(found.extract(smallest), f"{called}.extract(arch)")
    return cast("Elastic", found)


def as_elastic(own: Any, called: str) -> Elastic | None:
    """The object itself where it has ``extract``; what stands in for that where it has ``network`` only."""
    if callable(getattr(own, "extract", None)):
        return cast("Elastic", own)
    return Networks(own, called) if hasattr(own, "network") else None


@dataclass(frozen=True, eq=False)
class Networks:
    """An object without ``extract``, whose ``network(arch)`` gives modules with the weights of the supernet."""

    own: Any
    called: str

    def extract(self, arch: Arch) -> nn.Module:
        """An independent module. Raises InputError where the weights are others each time."""
        import torch

        found, again = (static_network(self.own, self.called, arch).eval() for _ in range(2))
        state = again.state_dict()
        if not all(torch.equal(value, state[name]) for name, value in found.state_dict().items()):
            raise InputError(
                f"{self.called}.network(arch) gives other weights each time, as a new network has, and there is no "
                "extract(arch), which would give the subnet with those of the supernet; add it, or let network give them"
            )
        return found

    def eval(self) -> Networks:
        return self

    def __getattr__(self, name: str) -> Any:
        """Its weights are the object's: ``state_dict``, ``load_state_dict``, where it has them."""
        if name == "own":  # while it is copied
            raise AttributeError(name)
        return getattr(self.own, name)
