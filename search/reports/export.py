"""From a run to a bundle, and what the commands say of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cost_models import profiling
from cost_models.device import Device
from search.reports.report import predicted_figures, range_figures
from search.runs.front import pick
from search.runs.measuring import left_out
from search.runs.run import Result, Run, check_images, conclude, open_run
from search.runs.study import Candidate, save
from supernet import documents
from supernet.arch import Arch
from supernet.catalog import Supernet, open_supernet
from supernet.errors import InputError
from supernet.messages import Say, say

if TYPE_CHECKING:
    from supernet.bundle import Bundle
    from supernet.bundle_card import DeviceKeys
    from supernet.data import Dataset

BUNDLES = "bundles"


UNCALIBRATED = "uncalibrated"


@dataclass(frozen=True)
class From:
    """What a bundle is made from, where that is not what the run's config says.

    ``supernet`` is a name or YAML file, ``data`` a folder of images; ``calibrated`` is false where
    there are no images, and batch norms keep the supernet's statistics.
    """

    supernet: str | None = None
    data: str | None = None
    calibrated: bool = True


def export_bundle(
    folder: Path, which: str, storage: str | None, out: Path | None, say: Say, given: From = From()
) -> tuple[Path, dict[str, Any]]:
    """Export a candidate of a run's front; returns the bundle's folder and its figures.

    Raises InputError where weights are missing, and images that are needed, and where these are not those of a run
    that measured.
    """
    run = open_run(folder, storage, supernet=given.supernet, data=given.data)
    check_material(run, given)
    result = conclude(run, say, measure=given.calibrated)
    return export_picked(result, which, out, say, given.calibrated)


def export_picked(
    result: Result, which: str, out: Path | None, say: Say, calibrated: bool = True
) -> tuple[Path, dict[str, Any]]:
    """The same of a result; a bundle that is not calibrated has a folder that says so."""
    candidate = picked(result, which)
    name = candidate.arch.id if calibrated else f"{candidate.arch.id}-{UNCALIBRATED}"
    target = out or result.run.folder / BUNDLES / name
    return target, export_candidate(result, candidate, target, say, calibrated)


def picked(result: Result, which: str) -> Candidate:
    """``best``, ``knee`` or the start of an arch id, among the front and the chosen. Raises InputError for another."""
    candidates = list({c.arch.id: c for c in [*result.front, result.chosen]}.values())
    return pick(candidates, result.run.axes, which)


def check_material(run: Run, given: From) -> None:
    """Raises InputError where weights are missing, and images that are needed, or both ways are asked for."""
    if run.supernet.net is not None:
        raise InputError(
            f"{run.supernet.name} was given in Python, and a bundle is rebuilt from a supernet that a YAML file "
            "describes; run.extract() gives the subnet as a torch module"
        )
    if given.data is not None and not given.calibrated:
        raise InputError(
            f"--data {given.data} is for calibrating, and --{UNCALIBRATED} is for no images; give one of them"
        )
    _ = run.supernet.weights  # says how to get them where they are not here
    if not given.calibrated:
        return
    if run.accuracy.data_name is None:
        raise InputError(
            f"{run.supernet.name} ships no images: give --data FOLDER (train/ and val/, one folder of images a "
            f"class) to calibrate batch norms and measure accuracy on, or --{UNCALIBRATED} to go without both"
        )
    if run.measures:
        check_images(run)


def export_candidate(
    result: Result,
    candidate: Candidate,
    target: Path,
    say: Say = lambda _: None,
    calibrated: bool = True,
) -> dict[str, Any]:
    """Write the bundle of one candidate with its accuracy on the report split.

    That is measured once for each arch of a run that measures, and kept in its study. What is not ``calibrated``
    is not measured.
    """
    from supernet.bundle import write_bundle

    run, arch = result.run, candidate.arch
    measuring = run.accuracy
    say(f"reading the weights of {run.supernet.name}")
    net = measuring.net
    if calibrated:
        say(f"calibrating batch norms on {len(measuring.data.calibration):,} images")
        subnet = measuring.subnet(arch)
    else:
        subnet = net.extract(arch)
    report = result.reports.get(arch.id)
    if report is None and calibrated:
        say(f"measuring accuracy on {len(measuring.data.report):,} report images")
        report = measuring.evaluate(subnet, arch, "report")
        if run.measures:  # else the study knows neither weights nor images, which may be others next time
            save(run.study(), arch, report)
    if report is not None and calibrated:
        measuring.doubt(report)
    measured = {"validation": candidate.validation, "report": report} if calibrated else {}
    device = run.device
    card = write_bundle(
        target,
        run.supernet,
        net,
        arch,
        measuring.data if calibrated else None,
        {**candidate.costs, **range_figures(run.ranges(candidate)), **predicted_figures(candidate)},
        {name: found for name, found in measured.items() if found is not None},
        subnet=subnet,
        device=device_keys(device) if device is not None else None,
        measure_latency=latency_of(arch, run.supernet) if device is not None and is_here(device) else None,
        say=say,
    ).card
    return {
        "arch_id": card.arch_id,
        "folder": str(target),
        "calibrated": card.calibrated,
        **({"device": card.device.model_dump(exclude_none=True)} if card.device is not None else {}),
        "predicted": card.figures.predicted,
        "measured": card.figures.measured,
        "size_bytes": {path.name: path.stat().st_size for path in sorted(target.iterdir())},
    }


def device_keys(device: Device) -> DeviceKeys:
    """What a card says of the device that costs are predicted for."""
    from supernet.bundle_card import DeviceKeys

    return DeviceKeys(
        name=device.name,
        cpu=device.cpu,
        runtime=device.runtime,
        versions=device.versions,
        threads=device.threads,
        region=str(device.region) if device.region is not None else None,
        date=device.date,
        latency_error_percent=device.fitted.error_percent if device.fitted is not None else None,
    )


def is_here(device: Device) -> bool:
    """Whether a latency measured on this machine is one of the device."""
    here = (profiling.cpu_name(), profiling.RUNTIME, profiling.THREADS)
    alike = device.measurements is None or device.measurements.setup == profiling.DEFAULT
    return alike and (device.cpu, device.runtime, device.threads) == here


def latency_of(arch: Arch, supernet: Supernet) -> Callable[[Path], profiling.LatencyMeasurement]:
    """A function that measures the ONNX model of ``arch`` on this machine."""
    channels = supernet.layers(arch)[0].in_channels
    return lambda model: profiling.measure_latency_ms(model, channels, arch.resolution)


def verify_summary(folder: Path, supernet: str | None = None, data: str | None = None) -> dict[str, Any]:
    """What :func:`supernet.bundle.verify_bundle` finds; a card only names its supernet and data set.

    Raises InputError where they are not found by these names and not given.
    """
    from supernet.bundle import open_bundle, verify_bundle

    bundle = open_bundle(folder)
    name = bundle.card.supernet.name
    if supernet is None and name not in documents.names("supernets"):
        raise InputError(
            f"{folder} was cut out of the supernet {name}, which does not ship with oncefit; "
            "give its YAML file with --supernet"
        )
    opened = open_supernet(supernet) if supernet is not None else None
    found = data_set(bundle, data) if bundle.card.data is not None or data is not None else None
    result = verify_bundle(folder, found, opened)
    if found is not None and found.undecodable:
        say(left_out(found.undecodable))
    return asdict(result)


def data_set(bundle: Bundle, given: str | None = None) -> Dataset:
    """The data set that a bundle's figures are of, by its card or where it is now."""
    from supernet.data import load_dataset

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


def evaluate_summary(folder: Path, images: Path | None) -> dict[str, Any]:
    """Accuracy and latency of a bundle, both measured here and now."""
    from supernet.bundle import evaluate_bundle, open_bundle
    from supernet.data import load_folder
    from supernet.data_summary import of_images, suspicion

    bundle = open_bundle(folder)
    if images is None:
        own = data_set(bundle)
        found, split, called = own.report, "report", own.name
    else:
        found, split, called = load_folder(images, bundle), "", str(images)
    for line in of_images({split: found}, len(bundle.classes), called):
        say(line)
    accuracy = evaluate_bundle(bundle, found, split or called)
    if found.undecodable:
        say(left_out(found.undecodable))
    if (doubt := suspicion(accuracy, found, len(bundle.classes))) is not None:
        say(doubt)
    latency = profiling.measure_latency_ms(
        folder / "model.onnx", bundle.card.preprocessing.channels, bundle.arch.resolution
    )
    return {
        "arch_id": bundle.arch.id,
        "calibrated": bundle.card.calibrated,
        "preprocessing": bundle.card.preprocessing.model_dump(mode="json", exclude_none=True),
        "measured": {"accuracy": asdict(accuracy), "latency": asdict(latency)},
    }
