"""Multilayer perceptrons on one-hot choices, as OFA publishes them for its supernets (Cai et al., ICLR 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from search.predictors.protocol import Prediction, PredictorCard
from supernet.archs.arch import Choice
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats, Slopes, SlopesOf
from supernet.errors import InputError

KIND = "mlp"
INPUTS = "inputs"
"""Setting of the card: pairs of a dimension and its choices, in the order of the network's inputs."""

SPACES_KEPT = 4
"""Spaces whose layout is kept, besides the last."""

PREDICTED_AT_ONCE = 1024
"""Archs at a time: their activations stay in the processor's cache."""

NEGLIGIBLE = 1e-12
"""A weight below it adds less than a rounding error to a sum of numbers near 1."""

Inputs = tuple[tuple[str, tuple[Choice, ...]], ...]
Matrix = npt.NDArray[np.float32]
InputLayout = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


@dataclass(frozen=True)
class Mlp:
    """Layers (out, in) with biases (out,), rectified linear units between them, and one output."""

    card: PredictorCard
    inputs: Inputs
    weights: tuple[Matrix, ...]
    biases: tuple[Matrix, ...]

    def predict(self, space: SearchSpace, codes: Codes) -> Prediction:
        """In float32, as ``ofa`` does; no deviation is known."""
        weights, biases = self._lean
        top1 = np.empty(len(codes))
        for start in range(0, len(codes), PREDICTED_AT_ONCE):
            x = one_hot(self, space, codes[start : start + PREDICTED_AT_ONCE])
            for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
                x = x @ weight.T
                x += bias
                np.maximum(x, 0, out=x)
            top1[start : start + PREDICTED_AT_ONCE] = x @ weights[-1][0] + biases[-1][0]
        return Prediction(top1, None)

    def slopes(self, space: SearchSpace, codes: Codes) -> tuple[Floats, SlopesOf]:
        """Top-1, and what each choice adds to it: its input's derivative, since inputs are 0 or 1."""
        weights, biases = self._lean
        x, heard = one_hot(self, space, codes), []
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            x = x @ weight.T
            x += bias
            np.maximum(x, 0, out=x)
            heard.append(x)
        columns, places = self.layout(space)

        def of(rows: npt.NDArray[np.intp]) -> Slopes:
            back = np.repeat(weights[-1], len(rows), axis=0)
            for weight, units in zip(reversed(weights[:-1]), reversed(heard), strict=True):
                back = (back * (units[rows] > 0)) @ weight
            found = np.zeros((len(rows), len(space.dimensions), places.shape[1]), dtype=np.float32)
            found[:, columns] = np.where(places >= 0, back[:, np.maximum(places, 0)], 0)
            return found

        return (x @ weights[-1][0] + biases[-1][0]).astype(np.float64), of

    def layout(self, space: SearchSpace) -> InputLayout:
        """:func:`layout` of a space, kept: a search asks for it hundreds of times, and hashing a space takes as long."""
        for known, found in self._layouts:
            if known is space:
                return found
        made = layout(self.inputs, space)
        self._layouts[:] = [*self._layouts[-SPACES_KEPT:], (space, made)]
        return made

    @cached_property
    def _layouts(self) -> list[tuple[SearchSpace, InputLayout]]:
        return []

    @cached_property
    def _lean(self) -> tuple[list[Matrix], list[Matrix]]:
        """Weights and biases without what cannot change a prediction.

        Weight decay has left OFA's predictor for ResNet50 with 97 % of its weights at 1e-30 or less; such
        numbers, which processors multiply very slowly, would take nearly all of a prediction's time.
        """
        weights = [np.where(np.abs(weight) < NEGLIGIBLE, np.float32(0), weight) for weight in self.weights]
        biases = list(self.biases)
        for i in range(len(weights) - 1, 0, -1):
            heard = (weights[i] != 0).any(axis=0)
            weights[i] = np.ascontiguousarray(weights[i][:, heard])
            weights[i - 1], biases[i - 1] = weights[i - 1][heard], biases[i - 1][heard]
        return weights, biases

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        numbered = enumerate(zip(self.weights, self.biases, strict=True))
        return {f"{i}.{name}": t for i, pair in numbered for name, t in zip(PARTS, pair, strict=True)}


PARTS = ("weight", "bias")


def from_tensors(card: PredictorCard, tensors: Mapping[str, npt.NDArray[Any]]) -> Mlp:
    """The predictor of a file. Raises InputError for tensors that do not fit together."""
    try:
        inputs = tuple((str(name), tuple(choices)) for name, choices in card.settings[INPUTS])
        count = len(tensors) // 2
        weights, biases = (
            tuple(np.asarray(tensors[f"{i}.{part}"], dtype=np.float32) for i in range(count))
            for part in PARTS
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the predictor {card.name} is no {KIND}: {error!r} is missing or wrong") from error
    sizes = [sum(len(choices) for _, choices in inputs), *(bias.size for bias in biases)]
    shapes = [weight.shape for weight in weights]
    fitting = [(out, inp) for inp, out in pairwise(sizes)]
    if shapes != fitting or sizes[-1] != 1 or any(bias.ndim != 1 for bias in biases):
        raise InputError(
            f"the predictor {card.name} has layers {shapes} with biases {[bias.shape for bias in biases]}, which do "
            f"not fit {sizes[0]} inputs and one output"
        )
    return Mlp(card, inputs, weights, biases)


def one_hot(mlp: Mlp, space: SearchSpace, codes: Codes) -> Matrix:
    """Inputs (n, inputs): 1 for each choice that counts. Raises InputError for one that has no input."""
    columns, places = mlp.layout(space)
    chosen = places[np.arange(len(columns)), codes[:, columns]]
    counts = space.active(codes)[:, columns]
    if (counts & (chosen < 0)).any():
        raise no_input(mlp, space, codes, columns, counts & (chosen < 0))
    found = np.zeros((len(codes), mlp.weights[0].shape[1]), dtype=np.float32)
    rows, at = np.nonzero(counts)
    found[rows, chosen[rows, at]] = 1
    return found


def layout(inputs: Inputs, space: SearchSpace) -> InputLayout:
    """Columns of a space that are inputs, and the input of each of their choices, -1 where there is none."""
    columns, rows, first = [], [], 0
    for name, choices in inputs:
        if name not in space.index:
            raise InputError(f"the predictor has an input for {name}, which space {space.name} does not have")
        columns.append(space.index[name])
        mine = space.by_name[name].choices
        rows.append([first + choices.index(c) if c in choices else -1 for c in mine])
        first += len(choices)
    places = np.full((len(rows), max(map(len, rows))), -1, dtype=np.intp)
    for place, row in zip(places, rows, strict=True):
        place[: len(row)] = row
    return np.array(columns), places


def no_input(
    mlp: Mlp, space: SearchSpace, codes: Codes, columns: npt.NDArray[np.intp], missing: npt.NDArray[np.bool_]
) -> InputError:
    """What is said of the first choice that a predictor has no input for."""
    row, place = (int(found[0]) for found in np.nonzero(missing))
    name, known = mlp.inputs[place]
    dimension = space.dimensions[int(columns[place])]
    given = dimension.choices[int(codes[row, columns[place]])]
    seen = mlp.card.domain.get(name, known)
    shared = [choice for choice in seen if choice in dimension.choices] or "..."
    return InputError(
        f"the predictor {mlp.card.name} has no input for {name} {given}; it knows {', '.join(map(str, known))}. "
        f"Restrict the search in its YAML: space: {{{dimension.kind}: {shared}}}"
    )


# -- the published formats ---------------------------------------------------------

MOBILENET_RESOLUTIONS = tuple(range(112, 225, 16))
"""``(r - 112) // 16`` is the input of resolution r in ``ofa.tutorial.accuracy_predictor``."""
RESNET_RESOLUTIONS = (128, 144, 160, 176, 192, 224, 240, 256)
"""The ``image_size_list`` that OFA's own ResNet50 example gives its ``ResNetArchEncoder``."""

OFA_SPLIT = "10,000 held-out images of ImageNet's training set, without fine-tuning"
UNKNOWN_SPLIT = "images that its file does not name"


@dataclass(frozen=True)
class PublishedPredictor:
    """What is known of a file that OFA's authors published, and that it does not say itself."""

    name: str
    supernet: str
    trained: tuple[int, ...]
    """Resolutions that it was trained on."""


PUBLISHED = {
    # Resolutions are those that ofa.tutorial searches. It was trained on no others: the weights of its inputs
    # 112, 128 and 144 are those of torch's initialisation, and it rates 144 above 176.
    "48685122a3540636b06699af66cd816456b25f29b69563e2fda9bed4018eeba0": PublishedPredictor(
        "acc_predictor.pth", "ofa_mbv3_w1.2", (160, 176, 192, 208, 224)
    ),
    "68912b4b4be38feb504c5b773dc847af23a637984d5eaabf548de72cd0f79529": PublishedPredictor(
        "ofa_resnet50_acc_predictor.pth", "ofa_resnet50", RESNET_RESOLUTIONS
    ),
}
"""OFA's two files by their sha256."""

BASE = "base_acc"
"""The last layer's bias in the format for ResNet50: the mean of what it was trained on."""


def mobilenet_inputs(space: SearchSpace) -> Inputs:
    """Kernels of all blocks, then expand ratios, then the resolution."""
    blocks = [d for kind in ("kernel", "expand") for d in space.dimensions if d.kind == kind]
    return (*((d.name, d.choices) for d in blocks), ("resolution", MOBILENET_RESOLUTIONS))


def resnet_inputs(space: SearchSpace) -> Inputs:
    """The resolution, the stem's depth, widths, then expand ratios of all blocks."""
    stem = space.by_name["depth.0"]
    rest = [d for kind in ("width", "expand") for d in space.dimensions if d.kind == kind]
    return (
        ("resolution", RESNET_RESOLUTIONS),
        (stem.name, stem.choices),
        *((d.name, d.choices) for d in rest),
    )


def published_layers(
    state: Mapping[str, npt.NDArray[Any]], space: SearchSpace
) -> tuple[Inputs, list[Matrix], list[Matrix]]:
    """Inputs, weights and biases of a published state dict. Raises InputError for another format or space."""
    names = layer_names(state)
    expected = [name for pair in names for name in pair]
    wrong = [name for name in expected if name not in state] + [
        name for name in state if name not in expected
    ]
    if wrong:
        raise InputError(
            "the file is none of OFA's predictors, which hold 0.weight, 0.bias, 2.weight, ... (MobileNetV3) or base_acc, "
            f"layers.0.0.weight, ... (ResNet50): {wrong[0]} {'is too many' if wrong[0] in state else 'is missing'}"
        )
    weights, biases = (
        [np.asarray(state[name], np.float32) for name in of] for of in zip(*names, strict=True)
    )
    is_resnet = "depth.0" in space.index
    inputs = resnet_inputs(space) if is_resnet else mobilenet_inputs(space)
    count, given = sum(len(choices) for _, choices in inputs), sum(weights[0].shape[1:])
    if given != count or is_resnet != (BASE in state):
        raise InputError(
            f"the file is a predictor with {given} inputs in OFA's format for {'ResNet50' if BASE in state else 'MobileNetV3'}, "
            f"but one for {space.name} has {count}; give the supernet that it was made for with --supernet"
        )
    return inputs, weights, biases


def layer_names(state: Mapping[str, npt.NDArray[Any]]) -> list[tuple[str, str]]:
    """Names of the weight and the bias of each layer, in order, as one of the two formats has them."""
    if BASE in state:
        hidden = sum(name.endswith(".0.weight") for name in state)
        pairs = [(f"layers.{i}.0.weight", f"layers.{i}.0.bias") for i in range(hidden)]
        return [*pairs, (f"layers.{hidden}.weight", BASE)]
    layers = max(1, sum(name.endswith(".weight") for name in state))
    return [(f"{2 * i}.weight", f"{2 * i}.bias") for i in range(layers)]


def import_published(
    name: str,
    state: Mapping[str, npt.NDArray[Any]],
    space: SearchSpace,
    fingerprint: str,
    split: str | None,
    source: str,
    sha256: str | None = None,
) -> Mlp:
    """The predictor of a state dict in a published format, as arrays, for the supernet of ``space``.

    The split, where none is given, and the resolutions of training are known of OFA's two files alone, by
    ``sha256``. Raises InputError where one of these is of another supernet.
    """
    known = PUBLISHED.get(sha256 or "")
    if known is not None:
        check_published(known, space, fingerprint)
    inputs, weights, biases = published_layers(state, space)
    seen = known.trained if known is not None else dict(inputs)["resolution"]
    if split is None:
        split = OFA_SPLIT if known is not None else UNKNOWN_SPLIT
    card = PredictorCard(
        name=name, kind=KIND, supernet=space.name, fingerprint=fingerprint, split=split, source=source,
        domain={"resolution": tuple(r for r in seen if r in space.by_name["resolution"].choices)},
        settings={INPUTS: [[dimension, list(choices)] for dimension, choices in inputs]},
    )  # fmt: skip
    return from_tensors(
        card,
        {f"{i}.weight": w for i, w in enumerate(weights)} | {f"{i}.bias": b for i, b in enumerate(biases)},
    )


def check_published(known: PublishedPredictor, space: SearchSpace, fingerprint: str) -> None:
    """Raises InputError where one of OFA's files is to be the predictor of a supernet that it is not of."""
    from supernet.families.catalog import open_supernet

    theirs = open_supernet(known.supernet)
    if fingerprint != theirs.fingerprint:
        raise InputError(
            f"the file is OFA's {known.name}, the predictor of {theirs.name} (network {theirs.fingerprint}), not of "
            f"{space.name} ({fingerprint}); import it with --supernet {theirs.name}, or train one for "
            f"{space.name} with oncefit predictor train"
        )
