"""Bundles: a subnet that runs on a device, with all that is known about it, in one folder.

``weights.safetensors`` and ``arch.json`` rebuild the subnet in torch,
``model.onnx`` runs in ONNX Runtime (``model-int8.onnx`` beside it, where the bundle is
in int8), ``card.json`` describes both; see :mod:`supernet.bundles.bundle_card`. ``predict.py`` and ``network.py`` need no oncefit
(:mod:`supernet.bundles.bundled_programs`), and ``formats/`` holds what a bundle was
converted to (:mod:`supernet.formats`).
"""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from supernet import documents
from supernet.accuracy import Accuracy
from supernet.archs.arch import Arch
from supernet.atomic import make_folder, partial_of, remove_left, swap, unwritable
from supernet.bundles.bundle_card import (
    ARCH,
    CARD,
    FILES,
    FORMATS_FOLDER,
    INT8_MODEL,
    MODEL,
    REMEDY,
    WEIGHTS,
    Card,
    DeviceKeys,
    TunedFrom,
    UpdateKeys,
    describe,
    read_card,
    render,
)
from supernet.bundles.bundled_programs import PROGRAMS, write_programs
from supernet.bundles.formats_again import formats_left, told_gone
from supernet.bundles.onnx_export import INPUT, OUTPUT, export_onnx
from supernet.errors import InputError, some
from supernet.evaluating.evaluation import accuracy_of_logits, logits_of, specialise
from supernet.families.catalog import Elastic, PreprocessingKeys, Supernet, open_supernet
from supernet.images.data import Dataset, Images
from supernet.images.image_folder import ImageFiles
from supernet.messages import Say
from supernet.weights.checkpoints import load_weights, read_checked, save_weights, sha256_of

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MAX_DIFFERENCE = 1e-4
"""Of a logit between ONNX Runtime and torch, where rounding alone makes no larger one."""
ROUNDING_ERRORS = 10
"""How many times torch's own error, which float64 shows, a difference may be: deep networks round more."""
COMPARED_IMAGES = 256
"""Report images, evenly spread over the split, whose logits are compared."""

RANDOM_INPUTS = 32
"""Compared where a bundle is of no images."""


class Disagreement(InputError, RuntimeError):
    """ONNX Runtime and torch give different answers for the same subnet."""


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose files had the card's hashes when it was opened.

    ``supernet`` is the one to rebuild the subnet with, where it has a description of the user's own.
    """

    folder: Path
    card: Card
    arch: Arch
    supernet: Supernet | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.classes

    @property
    def preprocessing(self) -> PreprocessingKeys:
        return self.card.preprocessing.keys

    def subnet(self) -> nn.Module:
        """The static subnet in torch, in eval mode. Raises InputError where its supernet is unknown here."""
        supernet = self.described
        if self.card.finetuning is not None:
            supernet = supernet.of_classes(self.classes)
        subnet = supernet.family.static(supernet.space.from_dict(self.arch.to_dict()))
        load_weights(subnet, self.folder / WEIGHTS, self.card.files[WEIGHTS], REMEDY)
        return subnet.eval()

    @property
    def described(self) -> Supernet:
        """The supernet that it was cut out of. Raises InputError where it is unknown here, or another one."""
        supernet = self.supernet or open_supernet(self.card.supernet.name)
        if supernet.fingerprint != self.card.supernet.fingerprint:
            raise InputError(
                f"{self.folder} is of a supernet {self.card.supernet.name} with the network "
                f"{self.card.supernet.fingerprint}, but {supernet.name} here has the network "
                f"{supernet.fingerprint}; use the oncefit {self.card.versions['oncefit']} that wrote it"
            )
        return supernet

    def session(self, threads: int = 1, name: str | None = None) -> InferenceSession:
        """ONNX Runtime on the CPU with ``threads`` threads: ``images`` (n, c, r, r) to ``logits`` (n, classes).

        It runs what the bundle deploys, or another of its files.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        name = name or self.card.deployed
        model = read_checked(self.folder / name, self.card.files[name], REMEDY)
        try:
            return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base but this
            raise InputError(f"ONNX Runtime cannot load {self.folder / name}: {error}") from error


@dataclass(frozen=True)
class Verification:
    """How far ONNX Runtime and torch agree; ``max_difference`` is of logits, on ``compared_images``.

    ``allowed`` is what that may be, and ``other_classes`` the number of images whose best class differs
    although torch's best two logits are further apart than such differences could turn. Without images,
    as for a bundle that is not calibrated, ``compared_images`` counts random inputs, and there is no top-1.
    ``accuracy`` is what ONNX Runtime's top-1 is of, with its interval.
    """

    max_difference: float
    allowed: float
    compared_images: int
    images: int
    top1_torch: float | None
    top1_onnxruntime: float | None
    other_classes: int
    files: Mapping[str, str]
    calibrated: bool = True
    accuracy: Accuracy | None = None


def open_bundle(folder: Path, supernet: Supernet | None = None) -> Bundle:
    """The bundle in a folder. Raises InputError for another folder, and for a file with a changed byte.

    ``supernet`` is needed to rebuild the subnet in torch if it is not one of the shipped ones.
    """
    card = read_card(folder)
    contents = {name: read_checked(folder / name, card.files[name], REMEDY) for name in card.files}
    try:
        text = contents[ARCH].decode("utf-8")
        values = documents.json_object(text, str(folder / ARCH))["arch"]
        arch = Arch(values["space"], tuple(values["choices"].items()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder / ARCH} holds no arch: {error!r}; {REMEDY}") from error
    if arch.id != card.arch_id:
        raise InputError(f"{folder / ARCH} holds arch {arch.id}, but {CARD} is of {card.arch_id}")
    return Bundle(folder, card, arch, supernet)


def predictor(session: InferenceSession) -> Callable[[Tensor], Tensor]:
    """ONNX Runtime as a function of inputs (n, c, r, r) to logits (n, classes)."""

    def run(inputs: Tensor) -> Tensor:
        try:
            return torch.from_numpy(session.run([OUTPUT], {INPUT: inputs.contiguous().numpy()})[0])
        except Exception as error:  # ONNX Runtime's errors have no common base but this
            raise InputError(
                f"ONNX Runtime cannot run {MODEL} on inputs of the shape {tuple(inputs.shape)}: {error}"
            ) from error

    return run


def evaluate_bundle(bundle: Bundle, images: Images | ImageFiles, split: str = "report") -> Accuracy:
    """Accuracy of what is deployed: the ONNX model in ONNX Runtime; ``split`` is what the images are called.

    One thread a batch and several batches side by side.
    """
    return accuracy_of_logits(*logits_of_bundle(bundle, images), split)


def logits_of_bundle(bundle: Bundle, images: Images | ImageFiles) -> tuple[Tensor, Tensor]:
    """Logits (n, classes) of the ONNX model in ONNX Runtime, and labels (n,), of images that can be decoded."""
    predict = predictor(bundle.session())
    return logits_of(predict, images, bundle.card.preprocessing.resolution, bundle.preprocessing)


def verify_bundle(folder: Path, data: Dataset | None, supernet: Supernet | None = None) -> Verification:
    """Check every hash, rebuild the subnet, and compare it with the ONNX model on real images.

    A bundle that is not calibrated is of no images: without ``data`` random inputs are compared. Raises InputError for a changed file or another data set than the card's, and Disagreement where
    a logit of 256 images differs by more than 1e-4 and more than rounding explains, or the best class of
    any image of the report split is another one.
    """
    bundle = open_bundle(folder, supernet)
    check_classes(bundle)
    if bundle.card.data is not None and data is None:
        raise InputError(f"{folder} was measured on {bundle.card.data.name}; verify it with its own images")
    check_images_of(bundle, data)
    result = compare(bundle, data)
    require_agreement(result, folder)
    return result


def check_images_of(bundle: Bundle, data: Dataset | None) -> None:
    """Raises InputError for other images than those that a bundle was measured on."""
    known = bundle.card.data
    if known is not None and data is not None and data.sha256 != known.sha256:
        raise InputError(
            f"{bundle.folder} was measured on {known.name} with sha256 {known.sha256}, "
            f"but the data set given is {data.name} with {data.sha256}; verify it with its own images"
        )


def check_classes(bundle: Bundle) -> None:
    """Raises InputError where a bundle's supernet has its classes in another order now: one of them mislabels.

    One that was fine-tuned has classes of its own.
    """
    if (
        bundle.supernet is None
        or bundle.card.finetuning is not None
        or bundle.supernet.classes == bundle.classes
    ):
        return
    for output, (here, there) in enumerate(zip(bundle.classes, bundle.supernet.classes, strict=False)):
        if here != there:
            raise InputError(
                f"output {output} of {bundle.folder} is {here!r} by its card and {there!r} by {bundle.supernet.name}: their "
                "classes are in another order, or others, and one of the two mislabels every image; put the supernet's "
                "classes as they were, or export again"
            )


def compare(bundle: Bundle, data: Dataset | None) -> Verification:
    """Run torch and ONNX Runtime on the report split, each on the same inputs, decoded once; else on random ones."""
    in_torch = bundle.subnet().to(memory_format=torch.channels_last)  # twice as fast
    in_float64 = copy.deepcopy(in_torch).double()
    in_onnxruntime = predictor(bundle.session(name=MODEL))

    def both(inputs: Tensor) -> Tensor:
        return torch.stack([in_torch(inputs), in_onnxruntime(inputs)], dim=2)

    def both_and_exact(inputs: Tensor) -> Tensor:
        return torch.cat([both(inputs).double(), in_float64(inputs.double())[:, :, None]], dim=2)

    labels: Tensor | None = None
    if data is None:
        compared = random_logits(both_and_exact, bundle)
        logits = compared[:, :, :2]
    else:
        images, resolution = data.report, bundle.card.preprocessing.resolution
        logits, labels = logits_of(both, images, resolution, bundle.preprocessing)
        some = images.picked(
            torch.linspace(0, len(images) - 1, min(COMPARED_IMAGES, len(images))).long().tolist()
        )
        compared, _ = logits_of(both_and_exact, some, resolution, bundle.preprocessing)
    torch_logits, ort_logits = logits.unbind(2)
    of_torch, of_ort, exact = compared.unbind(2)
    allowed = max(MAX_DIFFERENCE, ROUNDING_ERRORS * float((of_torch - exact).abs().max()))
    best, second = torch_logits.topk(2, dim=1).values.unbind(1)
    other = (torch_logits.argmax(1) != ort_logits.argmax(1)) & (best - second > 2 * allowed)
    return Verification(
        max_difference=float((of_torch - of_ort).abs().max()),
        allowed=allowed,
        compared_images=len(compared),
        images=len(labels) if labels is not None else 0,
        top1_torch=top1_of(torch_logits, labels),
        top1_onnxruntime=top1_of(ort_logits, labels),
        other_classes=int(other.sum()),
        files=dict(bundle.card.files),
        calibrated=bundle.card.calibrated,
        accuracy=accuracy_of_logits(ort_logits, labels, "report") if labels is not None else None,
    )


def top1_of(logits: Tensor, labels: Tensor | None) -> float | None:
    return accuracy_of_logits(logits, labels, "report").top1 if labels is not None else None


@torch.inference_mode()
def random_logits(predict: Callable[[Tensor], Tensor], bundle: Bundle) -> Tensor:
    """Of normal inputs, which are spread as normalised images are, always the same ones."""
    generator = torch.Generator().manual_seed(0)
    side, channels = bundle.card.preprocessing.resolution, bundle.card.preprocessing.channels
    inputs = torch.randn(RANDOM_INPUTS, channels, side, side, generator=generator)
    return torch.cat([predict(batch) for batch in torch.split(inputs, 8)])


def require_agreement(result: Verification, folder: Path) -> None:
    if not result.max_difference <= result.allowed or result.other_classes:
        if result.top1_onnxruntime is None:
            raise Disagreement(
                f"{folder}: ONNX Runtime and torch disagree: logits differ by up to {result.max_difference:.3g} "
                f"on {result.compared_images} random inputs (allowed: {result.allowed:g}), and the best class of "
                f"{result.other_classes} of them (allowed: 0)"
            )
        raise Disagreement(
            f"{folder}: ONNX Runtime and torch disagree: logits differ by up to {result.max_difference:.3g} "
            f"on {result.compared_images} images (allowed: {result.allowed:g}), and the best class of "
            f"{result.other_classes} of {result.images} report images (allowed: 0); top-1 is "
            f"{result.top1_onnxruntime:.4%} and {result.top1_torch:.4%}"
        )


def write_bundle(
    folder: Path,
    supernet: Supernet,
    net: Elastic | None,
    arch: Arch,
    data: Dataset | None,
    predicted: Mapping[str, float],
    measured: Mapping[str, object],
    *,
    corrected: Mapping[str, float] | None = None,
    updated: UpdateKeys | None = None,
    subnet: nn.Module | None = None,
    device: DeviceKeys | None = None,
    measure_latency: Callable[[Path], object] | None = None,
    quantise: Callable[[Path], None] | None = None,
    tuned: TunedFrom | None = None,
    created: datetime | None = None,
    extend: Callable[[Bundle], object] | None = None,
    parent: Card | None = None,
    say: Say = lambda _: None,
) -> Bundle:
    """Write the bundle of ``arch``, read it again, verify it, and only then let it appear as ``folder``.

    Give ``subnet``, already specialised, where the measured figures are of exactly those weights; else
    it is cut out of ``net`` and recalibrated, or left as it is where there is no ``data``: such a bundle is not
    calibrated, and says so. ``corrected`` is the validation accuracy without what having been chosen by it added. ``say`` is told what goes on. ``device`` is the one that ``predicted`` is for;
    ``measure_latency`` is given the ONNX file, and what it returns is the card's measured latency. ``quantise`` writes the
    file in int8 of a bundle that deploys that, and all figures are of it. ``tuned`` says how
    the weights of ``subnet`` were trained on, which may have other classes then, and ``updated`` of which bundle they were.
    ``extend`` may add to the bundle, and to its card, before it is in place. Formats of the bundle that it is made of,
    whose card is ``parent``, and of one that it replaces are not taken over, which the card says.
    A bundle that is there already is replaced. Raises InputError where ``folder`` cannot be written or holds something else, and Disagreement as
    :func:`verify_bundle` does; nothing is left behind then.
    """
    folder = folder.resolve()
    check_replaceable(folder)
    if subnet is None:
        if net is None:
            raise ValueError("give the supernet's net or the subnet of the arch")
        subnet = specialise(net, arch, data) if data is not None else net.extract(arch)
    partial = partial_of(folder)
    try:
        make_folder(folder.parent)
        remove_left(folder)
        partial.mkdir()
        save_weights(subnet, partial / WEIGHTS)
        say("writing the ONNX model")
        export_onnx(subnet, supernet.layers(arch)[0].in_channels, arch.resolution, partial / MODEL)
        about: dict[str, object] = {
            "supernet": supernet.name,
            "fingerprint": supernet.fingerprint,
            "id": arch.id,
        }
        about |= {} if data is not None else {"calibrated": False}
        documents.write_text(partial / ARCH, json.dumps(about | {"arch": arch.to_dict()}, indent=2) + "\n")
        how = data.preprocessing if data is not None else supernet.preprocessing
        deployed = (INT8_MODEL,) if quantise is not None else ()
        if quantise is not None:
            say("writing the ONNX model in int8")
            quantise(partial / INT8_MODEL)
        programs = write_programs(
            partial, subnet, supernet, arch, how, say, partial / INT8_MODEL if deployed else None
        )
        files = {name: sha256_of((partial / name).read_bytes()) for name in (*FILES, *deployed, *programs)}
        if measure_latency is not None:
            say("measuring latency on this machine")
            measured = {**measured, "latency": measure_latency(partial / (*deployed, MODEL)[0])}
        now = created or datetime.now(UTC)
        about_weights = (corrected, tuned, updated)
        card = describe(supernet, arch, data, predicted, measured, files, now, device, *about_weights)
        card = card.model_copy(update={"formats_gone": formats_left(parent, folder) or None})
        documents.write_text(partial / CARD, render(card))
        on = f"{len(data.report):,} report images" if data is not None else f"{RANDOM_INPUTS} random inputs"
        say(f"comparing ONNX Runtime with torch on {on}")
        made = open_bundle(partial, supernet)
        require_agreement(compare(made, data), folder)
        if extend is not None:
            extend(made)
        replace_folder(partial, folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    written = open_bundle(folder, supernet)
    if (told := told_gone(written.card, folder)) is not None:
        say(told)
    return written


def check_replaceable(folder: Path) -> None:
    """Raises InputError where ``folder`` is there and is neither empty nor a bundle, intact or not."""
    try:
        found = {entry.name for entry in folder.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise unwritable(folder, error) from error
    foreign = sorted(found - {CARD, FORMATS_FOLDER, INT8_MODEL, *FILES, *PROGRAMS})
    if foreign or (found and CARD not in found):
        raise InputError(
            f"{folder} exists and is not a bundle alone: it holds {some(foreign or sorted(found))}; "
            "it was left as it is: choose another folder with --out"
        )


def replace_folder(new: Path, folder: Path) -> None:
    """Rename ``new`` to ``folder``; what was there is then called ``new``, or gone.

    Where the system cannot exchange the two, what was there is put aside first, and put back if that fails.
    """
    if not folder.exists():
        new.rename(folder)
        return
    if swap(new, folder):
        return
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    folder.rename(aside)
    try:
        new.rename(folder)
    except OSError:
        with suppress(OSError):
            aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)
