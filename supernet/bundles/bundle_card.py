"""The card of a bundle: what it is, what was predicted and measured, and the hash of every file.

``card.json`` names the hashes of the other files and ends with its own: the
sha256 of its bytes with 64 zeros in place of that hash. So every byte of a
bundle is covered.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from supernet import documents
from supernet.amounts import ShownName
from supernet.archs.arch import Arch
from supernet.bundles.onnx_export import INPUT, OUTPUT
from supernet.errors import InputError, some
from supernet.families.catalog import PreprocessingKeys, Supernet
from supernet.images.data import SPLITS, Dataset, WithPreprocessing
from supernet.images.preprocessing import shorter_side
from supernet.reading import read_at_most
from supernet.training.finetuning_recipe import FinetuningRecipe
from supernet.weights.checkpoints import sha256_of

CARD, ARCH, WEIGHTS, MODEL = "card.json", "arch.json", "weights.safetensors", "model.onnx"
FILES = (WEIGHTS, MODEL, ARCH)
"""What every bundle has beside the card."""
INT8_MODEL = "model-int8.onnx"
"""What a bundle in int8 has too: that is what it runs."""
FORMATS_FOLDER = "formats"
"""The folder of a bundle with what it was converted to, each format in a folder of its own."""
REMEDY = "export the bundle again or copy it once more"

VERSION, OLDEST = 3, 2
"""Of bundles, as their cards have it: that which is written, and the oldest that is read."""
CARD_FORMAT = "oncefit bundle"

PACKAGES = ("oncefit", "torch", "onnx", "onnxruntime", "numpy", "pillow", "safetensors", "ofa")
ZEROS = "0" * 64


class SupernetKeys(documents.Document):
    """Which supernet the weights were cut out of."""

    name: ShownName
    fingerprint: str
    weights_sha256: str


class DataKeys(documents.Document):
    """The images that statistics and figures are of; ``splits`` gives the number of files of each."""

    name: str
    sha256: str
    splits: dict[str, int]


class Preprocessing(documents.Document):
    """From an image to the model's input of ``resolution`` pixels square: RGB or grey, resized, normalised.

    For ``stored``, images are made squares of that many pixels first, and those resized. For ``crop``,
    the shorter side is resized to ``shorter_side`` pixels, which is resolution / crop ``rounded``, the longer
    one to ``longer_side``, and the square of ``resolution`` pixels that begins at ``offset`` is cut out. Then
    ``(pixel * scale - mean) / std``, with a mean and std for each channel. ``decoded`` and ``pixels`` tell what
    is resized: whole values of 8 bits, but for the second resizing of ``stored`` images. All of it is torchvision's
    ``Resize``, ``CenterCrop``, ``ToTensor`` and ``Normalize`` on Pillow's images.
    """

    resolution: int
    channels: int
    stored: int | None = None
    crop: float | None = None
    rounded: Literal["up", "down", "nearest"] | None = None
    shorter_side: int | None = None
    longer_side: Literal["shorter_side * longer / shorter, rounded down"] | None = None
    offset: Literal["(side - resolution) / 2, rounded to the nearest, halves to even"] | None = None
    decoded: Literal["first frame, as stored without EXIF rotation, transparency dropped"] = (
        "first frame, as stored without EXIF rotation, transparency dropped"
    )
    pixels: Literal["8 bits, Pillow", "8 bits to stored, Pillow; then float32"] | None = None
    resize: Literal["bilinear, antialiased"] = "bilinear, antialiased"
    scale: float = 1 / 255
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layout: Literal["NCHW"] = "NCHW"
    dtype: Literal["float32"] = "float32"

    @property
    def keys(self) -> PreprocessingKeys:
        """As a supernet's YAML has it."""
        given = {"mean": self.mean, "std": self.std, "stored": self.stored, "crop": self.crop}
        return PreprocessingKeys.model_validate(given | ({"rounded": self.rounded} if self.rounded else {}))


class Port(documents.Document):
    """An input or output of the ONNX model; ``n`` in the shape is the free batch dimension."""

    name: str
    shape: tuple[int | str, ...]
    dtype: Literal["float32"] = "float32"


class DeviceKeys(documents.Document):
    """The device that costs are predicted for, and the cross-validated error of its latency model.

    ``power_meter`` is the meter that its power figures were fitted to: energy and CO2e are then estimated from measured
    power. What is not known of it is absent.
    """

    name: ShownName
    cpu: str | None = None
    runtime: str | None = None
    versions: dict[str, str] = {}
    threads: int | None = None
    region: str | None = None
    date: str | None = None
    latency_error_percent: float | None = None
    power_meter: str | None = None


class Figures(documents.Document):
    """``predicted`` by cost models, by the costs' names; ``measured`` on images and on a machine.

    ``validation_corrected_for_choice`` is an estimate: the validation accuracy without what having been chosen by it
    added, with its 95 % interval, and among how many candidates. It is absent where nothing was chosen by it.
    """

    predicted: dict[str, float]
    measured: dict[str, Any]
    validation_corrected_for_choice: dict[str, float] | None = None


class Finetuning(documents.Document):
    """How weights were trained on, from those of the bundle whose card has ``parent_card_sha256``.

    ``classes`` are names of the head's outputs: kept with their rows, new, and gone. ``before`` is the top-1 of the
    parent as it was on the same report images, with its interval, and ``paired`` on how many only one of the two is
    right, and McNemar's p-value; a parent that was not calibrated is so first. They are absent where there are new classes, which the parent has no output for.
    With ``precision`` int8 the training simulated 8 bits, and ``before`` and ``paired`` are of both in int8.
    """

    parent_card_sha256: str
    recipe: FinetuningRecipe
    training_images: int
    training_images_sha256: str
    epochs: int
    best_epoch: int
    steps: int
    device_type: str
    processes: int
    distilled_from: str | None = None
    classes: dict[str, tuple[str, ...]]
    before: dict[str, Any] | None = None
    paired: dict[str, Any] | None = None
    precision: Literal["int8"] | None = None


class UpdateKeys(documents.Document):
    """Weights that were changed elsewhere, by whom is not known: the bundle that they were of, and which tensors changed."""

    parent_card_sha256: str
    weights_file: str
    weights_sha256: str
    tensors: int
    changed: tuple[str, ...]


class Int8Keys(documents.Document):
    """Of a format in 8 bits: how it was made and how it compares with float32; ``method`` was chosen on validation images.

    ``in_float`` is what is left in float32, and why. ``weights_in_8_bits`` is a share of weights. ``agreement`` is the
    share of report images whose best class is torch's in float32, whose ``float32_accuracy`` is beside it, and
    ``paired`` on how many only one of the two is right, with McNemar's p-value. ``float32_latency`` is that of the
    same runtime on the same machine in float32, ``bound`` what the format had to meet.
    """

    method: str
    calibration_images: int
    in_float: dict[str, str]
    tried: dict[str, float] | None = None
    validation_images: int | None = None
    weights_in_8_bits: float
    bound: dict[str, float]
    agreement: float | None = None
    float32_accuracy: dict[str, Any] | None = None
    paired: dict[str, Any] | None = None
    float32_bytes: int | None = None
    float32_latency: dict[str, Any] | None = None


class FormatKeys(documents.Document):
    """What a format is and how it was found: ``files`` are of the bundle, and their hashes are in the card's ``files``.

    ``batch`` is how many images it takes at once, or any. ``max_abs_difference`` is of a logit from torch's on
    ``compared`` inputs, and at most ``allowed``; ``accuracy`` is that on the report split, ``latency`` that of one call
    on the machine that wrote it, with ``threads`` threads. ``not_run`` says why there are none of them.
    """

    files: tuple[str, ...]
    bytes: int
    seconds: float
    batch: int | Literal["dynamic"]
    image_size: int
    opset: int | None = None
    versions: dict[str, str]
    compared: int | None = None
    compared_with: Literal["validation images", "random inputs"] | None = None
    max_abs_difference: float | None = None
    allowed: float | None = None
    accuracy: dict[str, Any] | None = None
    latency: dict[str, Any] | None = None
    threads: int | None = None
    not_run: str | None = None
    int8: Int8Keys | None = None


class Card(documents.Document):
    """``card.json``; ``calibrated`` is false, and ``data`` absent, where no images were at hand.

    Batch norms then have the supernet's statistics, which are of other subnets, and no accuracy is measured.
    ``supernet`` is what the weights were cut out of; with ``finetuning`` they are others, and so may the classes be.
    ``formats_gone`` are those that the bundle before this one had, with what to type for each.
    With ``precision`` int8 all figures are of ``model-int8.onnx``; ``model.onnx`` and the weights are the network in
    float32 that it was quantised from.
    """

    format: Literal["oncefit bundle 2", "oncefit bundle 3"] = "oncefit bundle 3"
    created: str
    supernet: SupernetKeys
    arch_id: str
    arch: str
    precision: Literal["int8"] | None = None
    device: DeviceKeys | None = None
    calibrated: bool = True
    finetuning: Finetuning | None = None
    updated: UpdateKeys | None = None
    figures: Figures
    data: DataKeys | None = None
    preprocessing: Preprocessing
    classes: tuple[ShownName, ...]
    input: Port
    output: Port
    versions: dict[str, str]
    formats: dict[str, FormatKeys] | None = None
    formats_gone: dict[str, str] | None = None
    files: dict[str, str]
    card_sha256: str = ZEROS

    @property
    def version(self) -> int:
        return int(self.format.removeprefix(CARD_FORMAT))

    @property
    def deployed(self) -> str:
        """The file that figures are of, and that runs on the device."""
        return MODEL if self.precision is None else INT8_MODEL


class TunedFrom(NamedTuple):
    """Of a subnet that was fine-tuned: the supernet that it was cut out of, whose weights need not be here, and how."""

    supernet: SupernetKeys
    finetuning: Finetuning


def describe(
    supernet: Supernet,
    arch: Arch,
    data: Dataset | None,
    predicted: Mapping[str, float],
    measured: Mapping[str, object],
    files: Mapping[str, str],
    created: datetime,
    device: DeviceKeys | None = None,
    corrected: Mapping[str, float] | None = None,
    tuned: TunedFrom | None = None,
    updated: UpdateKeys | None = None,
) -> Card:
    """The card of a subnet, which is calibrated where there is ``data``, and fine-tuned where it is ``tuned``.

    Raises InputError where it has another number of outputs than there are classes.
    """
    images: WithPreprocessing = data if data is not None else supernet
    network = supernet.of_classes(images.classes) if tuned is not None else supernet
    layers, resolution, how = network.layers(arch), arch.resolution, images.preprocessing
    channels, outputs = layers[0].in_channels, layers[-1].out_channels
    if outputs != len(images.classes):
        named = f"data set {data.name}" if data is not None else "its YAML"
        raise InputError(
            f"{supernet.name} has {outputs} outputs, but {named} has {len(images.classes)} classes"
        )
    return Card(
        created=created.isoformat(timespec="seconds"),
        supernet=tuned.supernet
        if tuned is not None
        else SupernetKeys(
            name=supernet.name,
            fingerprint=supernet.fingerprint,
            weights_sha256=supernet.weights.sha256,
        ),
        arch_id=arch.id,
        arch=str(arch),
        device=device,
        figures=Figures(
            predicted=plain_figures(predicted),
            measured=plain_figures(measured),
            validation_corrected_for_choice=plain_figures(corrected) if corrected else None,
        ),
        calibrated=data is not None,
        finetuning=tuned.finetuning if tuned is not None else None,
        updated=updated,
        data=DataKeys(
            name=data.name,
            sha256=data.sha256,
            splits={split: len(getattr(data, split)) for split in SPLITS},
        )
        if data is not None
        else None,
        preprocessing=describe_preprocessing(resolution, channels, how),
        classes=images.classes,
        input=Port(name=INPUT, shape=("n", channels, resolution, resolution)),
        output=Port(name=OUTPUT, shape=("n", outputs)),
        versions=versions_of_packages(),
        files=dict(files),
        precision="int8" if INT8_MODEL in files else None,
    )


def describe_preprocessing(resolution: int, channels: int, how: PreprocessingKeys) -> Preprocessing:
    """All the arithmetic from an image to an input."""
    made = Preprocessing(
        resolution=resolution, channels=channels, stored=how.stored, crop=how.crop, mean=how.mean, std=how.std
    )
    if how.crop is None:
        return made.model_copy(update={"pixels": "8 bits to stored, Pillow; then float32"})
    return made.model_copy(
        update={
            "rounded": how.rounded,
            "shorter_side": shorter_side(resolution, how),
            "longer_side": "shorter_side * longer / shorter, rounded down",
            "offset": "(side - resolution) / 2, rounded to the nearest, halves to even",
            "pixels": "8 bits, Pillow",
        }
    )


def versions_of_packages() -> dict[str, str]:
    """Of Python and of the packages that made a bundle."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def render(card: Card) -> str:
    """The text of ``card.json``, with its own hash as the last value."""
    values = card.model_dump(mode="json", exclude_none=True) | {"card_sha256": ZEROS}
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.replace(hash_entry(ZEROS), hash_entry(sha256_of(text.encode())))


def hash_entry(sha256: str) -> str:
    return f'"card_sha256": "{sha256}"'


def read_card(folder: Path) -> Card:
    """The card of a bundle. Raises InputError for a folder that is no bundle or a card that was changed."""
    path = folder / CARD
    if not path.is_file():
        why = (
            f"it has no {CARD}"
            if folder.is_dir()
            else "it is a file"
            if folder.exists()
            else "it is not there"
        )
        raise InputError(
            f"{folder} is no bundle: {why}; a bundle is a folder that oncefit export "
            f"wrote, with {CARD}, {', '.join(FILES)}"
        )
    try:
        content = read_at_most(path, documents.LARGEST_FILE)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    return parse_card(content, path)


def parse_card(content: bytes, path: Path) -> Card:
    """The card in the bytes of ``path``. Raises InputError where any of them was changed."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} was changed: expected UTF-8, found {error}; {REMEDY}") from error
    found = re.search(hash_entry("([0-9a-f]{64})"), text)
    if found is None:
        raise InputError(
            f'{path} is not the card of a bundle: expected an entry "card_sha256" with '
            f"64 hex digits and found none; {REMEDY}"
        )
    actual = sha256_of(text.replace(found[0], hash_entry(ZEROS)).encode())
    if actual != found[1]:
        raise InputError(f"{path} was changed: its sha256 is {actual}, expected {found[1]}; {REMEDY}")
    check_version(text, path)
    try:
        card = documents.check_json(text, Card, str(path))
    except InputError as error:
        raise InputError(f"{error}; {REMEDY}") from error
    check_files_listed(card, path)
    return card


def check_version(text: str, path: Path) -> None:
    """Raises InputError for a card of a version that is not read here, and says what to do."""
    values = documents.json_object(text, str(path))
    found = re.fullmatch(rf"{CARD_FORMAT} (\d+)", str(values.get("format")))
    number = int(found[1]) if found is not None else VERSION
    if OLDEST <= number <= VERSION:
        return
    versions = values.get("versions")
    wrote = versions.get("oncefit", "that wrote it") if isinstance(versions, dict) else "that wrote it"
    here = f"{path} is of version {number} of bundles, and oncefit {version('oncefit')} reads {OLDEST} to {VERSION}"
    if number > VERSION:
        raise InputError(
            f"{here}: upgrade it (pip install --upgrade oncefit), at least to the oncefit {wrote}"
        )
    raise InputError(
        f"{here}: export the subnet again from its run (oncefit export RUN), or use the oncefit {wrote}"
    )


def check_files_listed(card: Card, path: Path) -> None:
    """Raises InputError for a card without the files of every bundle, and for one of files outside of it."""
    if not set(FILES) <= set(card.files):
        raise InputError(f"{path} must list {', '.join(FILES)}, but lists {some(card.files)}")
    for name in card.files:
        parts = PurePosixPath(name).parts
        if PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name or not parts:
            raise InputError(f"{path} lists {name!r}, which is no file within a bundle; {REMEDY}")
    for name, about in (card.formats or {}).items():
        if foreign := [file for file in about.files if file not in card.files]:
            raise InputError(f"{path} has no hash of {foreign[0]}, a file of its format {name}; {REMEDY}")


def plain_figures(figures: Mapping[str, object]) -> dict[str, Any]:
    """Figures as JSON can hold them: dataclasses as mappings, NumPy numbers as Python's.

    Raises ValueError for a number that is not finite: an unknown figure is left out, never NaN.
    """

    def convert(value: object) -> object:
        if is_dataclass(value) and not isinstance(value, type):
            return asdict(value)
        if hasattr(value, "tolist"):
            return value.tolist()
        raise TypeError(f"a figure of type {type(value).__name__} cannot be written as JSON")

    result: dict[str, Any] = json.loads(json.dumps(dict(figures), default=convert, allow_nan=False))
    return result
