"""From a run to a bundle, and what the commands say of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cost_models import profiling
from cost_models.at_hand import setup_of, why_not_here
from cost_models.device import Device
from cost_models.energy import ranges
from cost_models.protocol import Target
from cost_models.registry import build
from search.problem.limits import within
from search.reports.on_device import advice, verdict
from search.reports.report import corrected_figures, measured_latency, predicted_figures, range_figures
from search.runs.front import pick
from search.runs.measuring import MeasuredAccuracy
from search.runs.opening import free_costs
from search.runs.results import Result, check_images
from search.runs.study import Candidate, judged, save
from supernet import documents
from supernet.accuracy import Accuracy
from supernet.archs.arch import FLOAT32, INT8, Arch
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from supernet.messages import Say, say
from supernet.ofa_format.given import Given, called, is_inline, within_space

if TYPE_CHECKING:
    from torch import nn

    from supernet.bundles.bundle import Bundle
    from supernet.bundles.bundle_card import Card, DeviceKeys
    from supernet.evaluating.confusion import Confusion
    from supernet.images.data import Dataset

    Extend = Callable[[Bundle, Dataset | None], None]
    """Adds to a bundle that is not in place yet, which is of these images."""

BUNDLES = "bundles"


UNCALIBRATED = "uncalibrated"


def export_picked(
    result: Result,
    which: Given,
    out: Path | None,
    say: Say,
    calibrated: bool = True,
    extend: Extend | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Export a candidate of a run, see :func:`picked`; returns the bundle's folder and its figures.

    A bundle that is not calibrated has a folder that says so. Raises InputError where weights are missing, and
    images that are needed, and where these are not those of a run that measured.
    """
    check_material(result.run.supernet, result.run.accuracy.data_name, calibrated)
    if calibrated and result.run.measures:
        check_images(result.run)
    candidate = picked(result, which)
    target = out or result.run.folder / BUNDLES / bundle_folder_name(candidate.arch, calibrated)
    return target, export_candidate(result, candidate, target, say, calibrated, extend)


def bundle_folder_name(arch: Arch, calibrated: bool) -> str:
    return arch.id if calibrated else f"{arch.id}-{UNCALIBRATED}"


def picked(result: Result, which: Given) -> Candidate:
    """``best``, ``knee`` or the start of an arch id, among the front and the chosen; or any arch, in any encoding.

    An arch that the run has no figures of gets its costs, and its predicted accuracy where the run predicts. Raises
    InputError for another name, and for an arch over a budget.
    """
    if which == "best":
        check_not_over(result)
        return result.chosen
    if isinstance(which, str) and not names_arch(which):
        return pick(result.shown, result.run.axes, which)
    run, arch = result.run, within_space(which, result.run.supernet)
    if (known := next((c for c in result.candidates if c.arch == arch), None)) is not None:
        return known
    costs = {name: cost(arch) for name, cost in run.costs.items()}
    if not within(costs, run.config.budgets):
        over = {
            name: f"{costs[name]:g} > {limit:g}"
            for name, limit in run.config.budgets.items()
            if costs[name] > limit
        }
        raise InputError(
            f"{called(which)}: arch {arch.id} is over a budget of {run.folder}, "
            f"{', '.join(f'{name} {how}' for name, how in over.items())}; a run hands out nothing that is: export it "
            f"of the supernet, {run.config.supernet}, which has no budgets"
        )
    return judged(-1, arch, costs, run.judge(arch) if run.predictor is not None else None)


def check_not_over(result: Result) -> None:
    """Raises InputError where every candidate that was timed on the device is over the budget: there is no best."""
    verified = result.verified
    if verified is not None and verified.holds is False:
        raise InputError(
            f"{result.run.folder} has no winner. {verdict(verified, result.run.where)} {advice(verified)} "
            f"What holds it by prediction only is picked by its arch id, as {result.chosen.arch.id}"
        )


def names_arch(which: str) -> bool:
    """Whether a text is an arch or its file, and not an arch id or how to pick one."""
    return is_inline(which) or "/" in which or "." in which or Path(which).is_file()


def check_material(supernet: Supernet, data_name: str | None, calibrated: bool) -> None:
    """Raises InputError where weights are missing, and images that are needed."""
    if supernet.is_given:
        raise InputError(
            f"{supernet.name} was given in Python, and a bundle is rebuilt from a supernet that a YAML file "
            "describes; extract() gives the subnet as a torch module"
        )
    if supernet.net is None:
        _ = supernet.weights  # says how to get them where they are not here
    if calibrated and data_name is None:
        raise InputError(
            f"{supernet.name} ships no images: give --data FOLDER (train/ and val/, one folder of images a "
            f"class) to calibrate batch norms and measure accuracy on, or --{UNCALIBRATED} to go without both"
        )


def export_candidate(
    result: Result,
    candidate: Candidate,
    target: Path,
    say: Say = lambda _: None,
    calibrated: bool = True,
    extend: Extend | None = None,
) -> dict[str, Any]:
    """Write the bundle of one candidate with its accuracy on the report split.

    That is measured once for each arch of a run that measures, and kept in its study. What is not ``calibrated``
    is not measured.
    """
    run, arch = result.run, candidate.arch

    def keep(report: Accuracy) -> None:
        if run.measures:  # else the study knows neither weights nor images, which may be others next time
            save(run.study(), arch, report)

    known = KnownFigures(
        {**candidate.costs, **range_figures(run.ranges(candidate)), **predicted_figures(candidate)},
        candidate.validation, corrected_figures(result, candidate), result.reports.get(arch.id), keep,
        measured_latency(result, candidate),
    )  # fmt: skip
    return write_arch(run.accuracy, arch, run.device_of(arch), known, target, say, calibrated, extend)


def export_arch(
    measuring: MeasuredAccuracy,
    arch: Arch,
    device: Device | None,
    out: Path | None,
    say: Say,
    calibrated: bool = True,
    extend: Extend | None = None,
) -> tuple[Path, dict[str, Any]]:
    """The same of an arch of a supernet that nothing was searched in; costs are those that are known of it."""
    supernet = measuring.supernet
    check_material(supernet, measuring.data_name, calibrated)
    target = Target(supernet.with_arch(arch), device)
    costs = {name: build(name, target)(arch) for name in free_costs(supernet, device)}
    costs |= range_figures(ranges(device, costs.get("latency_ms"), supernet.layers(arch)))
    folder = out or Path("runs") / BUNDLES / bundle_folder_name(arch, calibrated)
    known = KnownFigures(costs)
    return folder, write_arch(measuring, arch, device, known, folder, say, calibrated, extend)


@dataclass(frozen=True)
class KnownFigures:
    """What is known of an arch before it is exported; ``keep`` takes the report figure that is measured then.

    ``corrected`` is the validation accuracy without what the choice by it added, ``latency`` was measured on the device.
    """

    predicted: Mapping[str, float]
    validation: Accuracy | None = None
    corrected: Mapping[str, float] = field(default_factory=dict)
    report: Accuracy | None = None
    keep: Callable[[Accuracy], None] = lambda _: None
    latency: profiling.LatencyMeasurement | None = None


def write_arch(
    measuring: MeasuredAccuracy,
    arch: Arch,
    device: Device | None,
    known: KnownFigures,
    target: Path,
    say: Say,
    calibrated: bool,
    extend: Extend | None = None,
) -> dict[str, Any]:
    """Write the bundle of an arch, measured on the report split where that is not known, and timed likewise."""
    from supernet.bundles.bundle import write_bundle

    supernet, in_int8 = measuring.supernet, arch.precision == INT8
    if in_int8 and not calibrated:
        raise InputError(
            f"{arch.id} is in int8, whose ranges are of calibration images: leave --{UNCALIBRATED} out, or pick one in fp32"
        )
    say(f"reading the weights of {supernet.name}")
    net = measuring.net
    if calibrated:
        say(f"calibrating batch norms on {len(measuring.data.calibration):,} images")
        subnet = measuring.subnet(arch)
    else:
        subnet = net.extract(arch.network)
    report = known.report
    if report is None and calibrated:
        say(f"measuring accuracy on {len(measuring.data.report):,} report images")
        report = measuring.evaluate(subnet, arch, "report")
        known.keep(report)
    if report is not None and calibrated:
        measuring.doubt(report)
    accuracies = {"validation": known.validation, "report": report} if calibrated else {}
    measured: dict[str, object] = {**accuracies, "latency": known.latency}
    data = measuring.data if calibrated else None
    timed_now = known.latency is None and device is not None and is_here(device, arch.precision)
    card = write_bundle(
        target,
        supernet.of_networks,
        net,
        arch.network,
        data,
        known.predicted,
        {name: found for name, found in measured.items() if found is not None},
        corrected=known.corrected if calibrated else None,
        subnet=subnet,
        device=device_keys(device) if device is not None else None,
        measure_latency=latency_of(arch, supernet) if timed_now else None,
        quantise=quantising(subnet, arch, data) if in_int8 and data is not None else None,
        extend=(lambda made: extend(made, data)) if extend is not None else None,
        say=say,
    ).card
    return card_summary(card, target)


def quantising(subnet: nn.Module, arch: Arch, data: Dataset) -> Callable[[Path], None]:
    """A function that writes the file of a calibrated subnet in int8: that which a search measures."""
    from search.runs.in_int8 import write_int8

    return lambda path: write_int8(subnet, arch, data, path)


def card_summary(card: Card, folder: Path) -> dict[str, Any]:
    """What is said of a bundle that was just written."""
    return {
        "arch_id": card.arch_id,
        **({"precision": card.precision, "runs": card.deployed} if card.precision is not None else {}),
        "folder": str(folder),
        "calibrated": card.calibrated,
        **({"device": card.device.model_dump(exclude_none=True)} if card.device is not None else {}),
        **({"updated": card.updated.model_dump(mode="json")} if card.updated is not None else {}),
        **card.figures.model_dump(exclude_none=True),
        **formats_of_card(card),
        **({"formats_gone": card.formats_gone} if card.formats_gone else {}),
        "size_bytes": file_sizes(folder),
    }


def file_sizes(folder: Path) -> dict[str, int]:
    """Bytes of the files of a bundle, without those of its formats."""
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}


def formats_of_card(card: Card) -> dict[str, Any]:
    """What a card says of formats, where there are any."""
    if card.formats is None:
        return {}
    return {
        "formats": {
            name: about.model_dump(mode="json", exclude_none=True)
            | {"sha256": {file: card.files[file] for file in about.files}}
            for name, about in card.formats.items()
        }
    }


def update_summary(
    bundle: Bundle, weights: Path, data: str | None, out: Path, say: Say = say
) -> dict[str, Any]:
    """Write the bundle of changed weights, measured on the bundle's images or others; nothing is calibrated.

    Costs stay, and a predicted accuracy is left out: it was of other weights.
    """
    from search.runs.in_int8 import evaluate_int8
    from supernet.bundles.bundle import write_bundle
    from supernet.bundles.bundle_update import updated_subnet
    from supernet.evaluating.evaluation import evaluate
    from supernet.images.data_summary import suspicion

    if bundle.card.data is None and data is None:
        raise InputError(
            f"{bundle.folder} was measured on no images, and new weights are measured: give --data FOLDER (train/ and val/, "
            "one folder of images a class)"
        )
    subnet, about = updated_subnet(bundle, weights)
    images, supernet, arch = data_set(bundle, data), bundle.described, bundle.arch
    in_int8 = bundle.card.precision is not None
    evaluated = evaluate_int8 if in_int8 else evaluate
    measured: dict[str, object] = {}
    for split in ("validation", "report"):
        say(f"measuring accuracy on {len(getattr(images, split)):,} {split} images")
        accuracy = measured[split] = evaluated(subnet, arch, images, split)
    doubt = suspicion(accuracy, images.report, len(images.classes), images.preprocessing)
    if doubt is not None:
        say(doubt)
    figures = bundle.card.figures
    card = write_bundle(
        out,
        supernet,
        None,
        arch,
        images,
        {name: value for name, value in figures.predicted.items() if not name.startswith("top")},
        measured,
        updated=about,
        parent=bundle.card,
        subnet=subnet,
        device=bundle.card.device,
        measure_latency=latency_of(arch, supernet) if "latency" in figures.measured else None,
        quantise=quantising(subnet, arch, images) if in_int8 else None,
        say=say,
    ).card
    return card_summary(card, out)


def device_keys(device: Device) -> DeviceKeys:
    """What a card says of the device that costs are predicted for."""
    from supernet.bundles.bundle_card import DeviceKeys

    return DeviceKeys(
        name=device.name,
        cpu=device.cpu,
        runtime=device.runtime,
        versions=device.versions,
        threads=device.threads,
        region=str(device.region) if device.region is not None else None,
        date=device.date,
        latency_error_percent=device.fit.error_percent if device.fit is not None else None,
        power_meter=device.power_meter,
    )


def is_here(device: Device, precision: str = FLOAT32) -> bool:
    """Whether a latency that is measured on this machine as ``host`` is measured is one of the device."""
    wanted = profiling.DEFAULT.model_copy(update={"precision": precision})
    return why_not_here(device) is None and setup_of(device) == wanted


def latency_of(arch: Arch, supernet: Supernet) -> Callable[[Path], profiling.LatencyMeasurement]:
    """A function that measures the ONNX model of ``arch`` on this machine."""
    channels = supernet.layers(arch)[0].in_channels
    return lambda model: profiling.measure_latency_ms(model, channels, arch.resolution)


def verify_summary(folder: Path, supernet: str | None = None, data: str | None = None) -> dict[str, Any]:
    """What :func:`supernet.bundles.bundle.verify_bundle` finds; a card only names its supernet and data set.

    Raises InputError where they are not found by these names and not given.
    """
    from supernet.bundles.bundle import open_bundle, verify_bundle
    from supernet.images.data_summary import left_out, suspicion

    bundle = open_bundle(folder)
    if supernet is None:
        require_shipped(bundle)
    opened = open_supernet(supernet) if supernet is not None else None
    found = data_set(bundle, data) if bundle.card.data is not None or data is not None else None
    result = verify_bundle(folder, found, opened)
    if found is not None and found.undecodable:
        say(left_out(found.undecodable))
    if found is not None and result.accuracy is not None:
        doubt = suspicion(result.accuracy, found.report, len(found.classes), found.preprocessing)
        if doubt is not None:
            say(doubt)
    from supernet.formats.verification import verify_formats

    formats = verify_formats(open_bundle(folder, opened), found)
    return {**asdict(result), **({"formats": formats} if formats else {})}


def require_shipped(bundle: Bundle) -> None:
    """Raises InputError for a bundle whose supernet, which its card only names, is not one of ours."""
    name = bundle.card.supernet.name
    if name not in documents.names("supernets"):
        raise InputError(
            f"{bundle.folder} was cut out of the supernet {name}, which does not ship with oncefit; "
            "give its YAML file with --supernet"
        )


def data_set(bundle: Bundle, given: str | None = None) -> Dataset:
    """The data set that a bundle's figures are of, by its card or where it is now."""
    from supernet.images.data import load_dataset

    known = bundle.card.data
    name = given or (known.name if known is not None else None)
    if name is None:
        raise InputError(
            f"{bundle.folder} is not calibrated and was measured on no images; oncefit evaluate takes images as --images"
        )
    if given is None and name != "fashion_mnist" and not Path(name).is_dir():
        raise InputError(
            f"{bundle.folder} was measured on images in {name}, and there is no such folder here; "
            "oncefit verify takes it as --data, oncefit evaluate takes other images as --images"
        )
    return load_dataset(name, bundle)


def evaluate_summary(folder: Path, images: Path | None) -> tuple[dict[str, Any], Confusion]:
    """Accuracy and latency of a bundle, both measured here and now, and which classes are taken for which."""
    from supernet.bundles.bundle import logits_of_bundle, open_bundle
    from supernet.evaluating.confusion import confusion_of_logits
    from supernet.evaluating.evaluation import accuracy_of_logits
    from supernet.images.data import load_folder
    from supernet.images.data_summary import left_out, of_images, suspicion

    bundle = open_bundle(folder)
    if images is None:
        own = data_set(bundle)
        found, split, called = own.report, "report", own.name
    else:
        found, split, called = load_folder(images, bundle), "", str(images)
    for line in of_images({split: found}, len(bundle.classes), called):
        say(line)
    logits, labels = logits_of_bundle(bundle, found)
    accuracy = accuracy_of_logits(logits, labels, split or called)
    confusion = confusion_of_logits(logits, labels, bundle.classes)
    if found.undecodable:
        say(left_out(found.undecodable))
    if (doubt := suspicion(accuracy, found, len(bundle.classes), bundle.preprocessing)) is not None:
        say(doubt)
    latency = profiling.measure_latency_ms(
        folder / bundle.card.deployed, bundle.card.preprocessing.channels, bundle.arch.resolution
    )
    low, high = confusion.balanced_interval()
    balanced = {"value": confusion.balanced_accuracy, "low": low, "high": high}
    summary = {
        "arch_id": bundle.arch.id,
        **({"precision": bundle.card.precision} if bundle.card.precision is not None else {}),
        "calibrated": bundle.card.calibrated,
        "preprocessing": bundle.card.preprocessing.model_dump(mode="json", exclude_none=True),
        "measured": {
            "accuracy": asdict(accuracy),
            "balanced_accuracy": balanced,
            "imbalance": confusion.imbalance,
            "classes": confusion.by_class(),
            "latency": asdict(latency),
        },
    }
    return summary, confusion
