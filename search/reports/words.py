"""Devices, subnets and bundles in words: names beside figures, for tables that people read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cost_models.registry import BOUNDS, OF_A_DEVICE
from search.problem.confidence import LATENCY
from search.reports.units import counted, heading, percent, predicted_percent, scaled, short_number
from supernet.accuracy import Accuracy, PredictedAccuracy, wilson

if TYPE_CHECKING:
    from rich.table import Table

    from cost_models.csv_device import Errors
    from cost_models.device import Device, LatencyModel, LatencyTable, Power, WholeFit
    from cost_models.ranges import Range
    from cost_models.timing import LatencyMeasurement
    from search.runs.correction import Corrected
    from supernet.training.training_job import Trained

Lines = list[tuple[str, str]]
"""A name and a figure each."""

OF_POWER = ("energy_mj", "co2e_mg")
"""Costs that follow from a device's power figures."""

INTERVAL = "In brackets: the 95 % interval."
NOT_CALIBRATED = (
    "NOT CALIBRATED: batch norms have the supernet's statistics, which are of other\n"
    "subnets. Accuracy is not what is predicted. Export again with --data FOLDER."
)
INTERVALS = "In brackets: the 95 % interval; of latency, the quietest and slowest round."


def table(sections: Sequence[Lines]) -> Table:
    """A line for each row, and an empty one between sections."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE, show_header=False)
    for rows in sections:
        for name, figure in rows:
            made.add_row(Text(name), Text(figure))  # as it is: a path may hold brackets
        made.add_section()
    return made


def html_table(sections: Sequence[Lines]) -> str:
    """The same in a notebook."""
    rows = [row for rows in sections for row in rows]
    return f"<table>{''.join(f'<tr><th>{escape(n)}</th><td>{escape(f)}</td></tr>' for n, f in rows)}</table>"


def of_device(device: Device) -> list[Lines]:
    """What it is and how its latency is known, then what energy and CO2e are estimated with."""
    rows = [("CPU", device.cpu)] if device.cpu else []
    if device.runtime is not None:
        version = device.versions.get(device.runtime)
        runtime = f"{device.runtime} {version}" if version else device.runtime
        threads = f", {counted(device.threads, 'thread')}" if device.threads is not None else ""
        rows.append(("runtime", runtime + threads))
    if device.measurements is not None:
        setup = device.measurements.setup
        rows.append(("precision, batch", f"{setup.precision}, {setup.batch}"))
    rows += [("measured on", device.date)] if device.date else []
    return [rows + of_latency_source(device), of_estimates(device)]


def of_latency_source(device: Device) -> Lines:
    """The fitted model or the imported table, and how good it is."""
    if device.table is not None and device.table.whole is not None:
        return of_measured_table(device.table, device.table.whole)
    if device.table is not None:
        table = device.table
        spreads = "with standard deviations" if table.has_deviations else "means, not all with a deviation"
        return [
            ("latency", f"{table.format} tables, {table.count_entries():,} entries, {spreads}"),
            ("latency measured for", f"blocks of {table.supernet}"),
            ("resolutions", ", ".join(map(str, table.resolutions))),
        ]
    model = device.fitted
    if model is None:
        return [("latency", "not measured")]
    rows = [
        ("latency fitted to", f"{counted(model.subnets, 'subnet')} of {model.supernet}"),
        ("error of the fit, cross-validated", f"{model.error_percent:.1f} % ({of_error(model)})"),
    ]
    if model.rows is not None:
        file, column, batch = (model.settings.get(key, "?") for key in ("file", "column", "batch"))
        rows.append(("measured in", f"column {column} of {file}, batch {batch}"))
    rows += [("with prices of", ", ".join(model.like))] if model.like else []
    if model.rows is None or len(model.rows) > model.subnets:  # else each was measured once
        rows.append(("spread of repeated measurements", of_spread(model)))
    return rows


def of_unseen(errors: Errors) -> Lines:
    """How far a device is from measured subnets that it was not fitted to."""
    return [
        ("predicted against measured", f"{errors.subnets:,} other subnets"),
        ("within 10 % (%)", f"{100 * errors.within_10_percent:.2f}"),
        ("median error (%)", f"{errors.median_percent:.2f}"),
        ("worst error (%)", f"{errors.worst_percent:.1f}"),
        ("Spearman's rank correlation", f"{errors.spearman:.4f}"),
    ]


def of_measured_table(table: LatencyTable, whole: WholeFit) -> Lines:
    """A table whose layers were measured one by one, and what whole subnets make of their sum."""
    error = f"{whole.error_percent:.1f} % (median of {whole.tested} subnets, largest {whole.worst_error_percent:.1f} %)"
    return [
        (
            "latency",
            f"a table of {len(table.keys):,} layers and blocks of {table.supernet}, each measured alone",
        ),
        ("resolutions", ", ".join(map(str, table.resolutions))),
        ("fitted to", counted(whole.subnets, "whole subnet")),
        (
            "latency of a subnet",
            f"{whole.factor:.3g} times the sum of its layers {'-' if whole.intercept_ms < 0 else '+'} {abs(whole.intercept_ms):.3g} ms",
        ),
        ("error of the fit, cross-validated", error),
        ("spread of repeated measurements", of_spread(whole)),
    ]


def of_spread(fitted: LatencyModel | WholeFit) -> str:
    """How much a median round was slower than the quietest, and whether that is too much."""
    from cost_models.profiling import BUSY_PERCENT

    busy = "; the machine was busy" if fitted.spread_percent > BUSY_PERCENT else ""
    return f"{fitted.spread_percent:.1f} %{busy}"


def of_error(model: LatencyModel) -> str:
    """What the error of a fit is of, as far as its file says so."""
    if model.tested is None or model.worst_error_percent is None:
        return "median"
    which = "random subnets" if model.rows is None else "subnets"
    return f"median of {model.tested} {which}, largest {model.worst_error_percent:.1f} %"


def of_estimates(device: Device) -> Lines:
    """Power and region, or that they are not known."""
    from cost_models.grid import carbon_intensity

    power = device.power
    rows = [("power", "not known: no energy, no CO2e")] if power is None else of_power(power)
    if device.region is not None:
        grid = carbon_intensity(device.region)
        year = f" ({grid.year})" if grid.year is not None else ""
        lent = f", on the grid of {grid.grid_of}" if grid.grid_of is not None else ""
        rows.append(("region", f"{device.region}{lent}: {between(grid.range, '.0f')} g CO2e per kWh{year}"))
    elif power is not None:
        rows.append(("region", "not known: no CO2e"))
    return rows


def of_power(power: Power) -> Lines:
    """Its figures with their ranges, and whether they are assumed or fitted to a meter's."""
    how = "assumed" if power.fitted is None else "measured"
    rows = [
        (f"power, {how}", f"{between(power.static_w)} W"),
        (f"energy per MAC, {how}", f"{between(power.pj_per_mac)} pJ"),
        (f"energy per byte, {how}", f"{between(power.pj_per_byte)} pJ"),
    ]
    if (fit := power.fitted) is not None:
        error = f"{fit.error_percent:.1f} % (median), largest {fit.worst_error_percent:.1f} %"
        metered = f"{counted(fit.subnets, 'subnet')}, measured with {fit.meter} on {fit.date}"
        rows.append(("power fitted to", metered))
        rows.append(("spread of repeated measurements of energy", f"{fit.spread_percent:.1f} %"))
        rows.append(("error of the energy, cross-validated", error))
    return rows


def of_subnet(
    accuracies: Mapping[str, Accuracy],
    predicted: Mapping[str, float],
    device: str | None,
    top1: PredictedAccuracy | None = None,
    stds: Mapping[str, float] | None = None,
    ranges: Mapping[str, Range] | None = None,
    latency: LatencyMeasurement | None = None,
    power_meter: str | None = None,
) -> list[Lines]:
    """Measured accuracies by what they are called, the predicted one, and costs; those of a device are for it.

    ``stds`` are standard deviations of costs, ``ranges`` their least and greatest, ``latency`` was measured on the device,
    whose power figures were fitted to ``power_meter``.
    """
    found = [
        (f"top-{k} (%), {name}", percent(a, f"top{k}")) for name, a in accuracies.items() for k in (1, 5)
    ]
    if top1 is not None:
        found.append(("top-1 (%), predicted", predicted_percent(top1)))
    known, between_ = stds or {}, ranges or {}
    costs = [
        (heading(name) + (f", {how_known(name, power_meter)} for {device}" if name in OF_A_DEVICE else ""),
         short_number(scaled(name, value)) + (f" (std {scaled(name, known[name]):.2g})" if name in known else "")
         + (f" ({to(name, between_[name])})" if name in between_ else ""))
        for name, value in predicted.items()
    ]  # fmt: skip
    if latency is not None:
        last = max(i for i, name in enumerate(predicted) if name == LATENCY or name in BOUNDS)
        costs.insert(last + 1, of_latency(latency, f"on {device}"))
    return [found, costs]


def how_known(cost: str, power_meter: str | None) -> str:
    """Energy and CO2e are no more than estimates, be it from measured figures of power."""
    if cost not in OF_POWER:
        return "predicted"
    return "estimated" if power_meter is None else "estimated from measured power"


def told_power(names: Iterable[str], meters: Sequence[str | None]) -> list[str]:
    """A sentence on how the energy and CO2e among some costs are known, of runs by the meters of their devices' power."""
    known = set(names)
    found = [heading(name).partition(" (")[0] for name in OF_POWER if name in known]
    if not found:
        return []
    told = f"{' and '.join(found)} {'is' if len(found) == 1 else 'are'}"
    how = list(dict.fromkeys(how_known(OF_POWER[0], meter) for meter in meters))
    how = how if len(how) == 1 else ["estimated, of some runs from measured power"]
    return [f"{told[0].upper()}{told[1:]} {how[0]}."]


def to(name: str, found: Range) -> str:
    """``0.21 to 1.3``, the range of a cost as it is shown."""
    return f"{short_number(scaled(name, found.low))} to {short_number(scaled(name, found.high))}"


def briefly(name: str, found: Range) -> str:
    """``0.21-1.3``, the same with two digits, where there is little room."""
    return "-".join(short_number(float(f"{scaled(name, end):.2g}")) for end in (found.low, found.high))


def of_ranges(names: Iterable[str]) -> str:
    """What the ranges of some costs are."""
    found = " and ".join(heading(name).partition(" (")[0] for name in names)
    return f"Ranges of {found}: what figures of power and grid allow."


def between(found: Range, form: str = "g") -> str:
    """``1.9``, or ``1.9 (1 to 3.5)`` of a figure that may be more or less."""
    told = f" ({found.low:{form}} to {found.high:{form}})" if found.is_wide else ""
    return f"{found.value:{form}}{told}"


def split_ranges(figures: Mapping[str, float]) -> tuple[dict[str, float], dict[str, Range]]:
    """Costs of a JSON, and the ranges of those that have ``NAME_low`` and ``NAME_high`` beside them."""
    from cost_models.ranges import Range

    ends = {name: (f"{name}_low", f"{name}_high") for name in figures}
    wide = {name: pair for name, pair in ends.items() if all(end in figures for end in pair)}
    of = {end for pair in wide.values() for end in pair}
    return {name: value for name, value in figures.items() if name not in of}, {
        name: Range(low=figures[low], value=figures[name], high=figures[high])
        for name, (low, high) in wide.items()
    }


def corrected(found: Corrected) -> str:
    """``92.61 [91.87, 93.30]``, an accuracy corrected for having been chosen."""
    return f"{100 * found.value:.2f} [{100 * found.low:.2f}, {100 * found.high:.2f}]"


def of_training(validation: Mapping[str, Accuracy]) -> list[Lines]:
    """Subnets by size."""
    return [
        [(f"top-{k} (%), {size}", percent(a, f"top{k}")) for k in (1, 5)] for size, a in validation.items()
    ]


def plain_training(trained: Trained) -> dict[str, Any]:
    """For programs: paths as text."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(trained).items()}


def after_training(trained: Trained) -> str:
    """Lines on the learning curve, and the next commands to type."""
    if trained.supernet is None:
        return ""
    name = trained.supernet
    bundle = trained.supernet.parent / "best"
    return (
        f"\nLearning curve: {trained.curve}\n\nNext, with a file search.yaml that says supernet: {name}\n"
        f"  oncefit search search.yaml --out {trained.supernet.parent / 'search'}\n"
        f"  oncefit export {trained.supernet.parent / 'search'} --out {bundle}\n"
        f"  oncefit evaluate {bundle}"
    )


def of_update(updated: Mapping[str, Any]) -> str:
    """What a card says of weights that were changed elsewhere."""
    changed, first = len(updated["changed"]), updated["parent_card_sha256"][:12]
    return (
        f"Updated from {updated['weights_file']}: {changed} of {counted(updated['tensors'], 'tensor')} differ from those of the "
        f"bundle whose card has the sha256 {first}...\nBy whom they were changed is not known; batch norms are as they came."
    )


WEIGHED = (".onnx", ".safetensors", "arch.json", "card.json")
"""Files of a bundle whose size is shown, by how they end; programs and a test image are in every one."""
CALIBRATION = ("batch norms", "not calibrated: as in the supernet")


def of_latency(found: LatencyMeasurement, where: str = "here") -> tuple[str, str]:
    """The median of measured rounds, between the quietest and the slowest, and whether it is worth anything."""
    busy = "; the machine was busy" if found.busy else ""
    median, low, high = map(short_number, (found.median_ms, found.low_ms, found.high_ms))
    return f"latency (ms), measured {where}", f"{median} [{low}, {high}]{busy}"


def of_export(summary: Mapping[str, Any]) -> list[Lines]:
    """What :func:`search.reports.export.export_candidate` returns."""
    from cost_models.timing import LatencyMeasurement

    measured, device = summary["measured"], summary.get("device")
    accuracies = {
        name: Accuracy(**measured[split])
        for name, split in (("report split", "report"), ("validation", "validation"))
        if split in measured
    }
    predicted = dict(summary["predicted"])
    top1, std = predicted.pop("top1", None), predicted.pop("top1_std", None)
    known = PredictedAccuracy(top1, std) if top1 is not None else None
    luck = summary.get("validation_corrected_for_choice")
    predicted, ranges = split_ranges(predicted)
    about = device or {}
    found, costs = of_subnet(
        accuracies, predicted, about.get("name"), known, ranges=ranges, power_meter=about.get("power_meter")
    )
    if luck is not None:
        name = next(name for name in ("top1", "top5") if name in luck)
        low, value, high = (100 * luck[f"{name}{end}"] for end in ("_low", "", "_high"))
        label = f"{name.replace('top', 'top-')} (%), validation, corrected"
        found.insert(len(accuracies) * 2, (label, f"{value:.2f} [{low:.2f}, {high:.2f}]"))
    if not summary["calibrated"]:
        found = [(f"{name} if calibrated", figure) for name, figure in found]
        found += [CALIBRATION, ("accuracy", "not measured")]
    if "latency" in measured:
        found.append(of_latency(LatencyMeasurement(**measured["latency"]), f"on {about['name']}"))
    files = [
        (f"{name} (KiB)", f"{size / 1024:.1f}")
        for name, size in summary["size_bytes"].items()
        if name.endswith(WEIGHED)
    ]
    in_int8 = (
        [("precision", f"{summary['precision']}, in {summary['runs']}")] if "precision" in summary else []
    )
    return [[("arch", summary["arch_id"]), *in_int8], found, costs, files]


def of_finetuning(summary: Mapping[str, Any]) -> list[Lines]:
    """What :func:`search.reports.finetuning.tuned_summary` returns."""
    about, measured = summary["finetuning"], summary["measured"]
    classes = ", ".join(f"{len(names):,} {what}" for what, names in about["classes"].items() if names)
    taught = about.get("distilled_from")
    how = [
        ("arch", summary["arch_id"]),
        ("classes", classes),
        ("trained on", f"{counted(about['training_images'], 'image')}, {counted(about['epochs'], 'epoch')}"),
        ("weights kept", of_kept_epoch(about["best_epoch"])),
        ("learned", f"labels, and answers of {taught}" if taught else "labels"),
        *([("precision", "int8, as are all figures")] if "precision" in about else []),
    ]
    known = {"report split, before": about.get("before"), "report split, after": measured["report"],
             "validation, after": measured["validation"]}  # fmt: skip
    figures = [
        (f"top-{k} (%), {name}", percent(Accuracy(**found), f"top{k}") if found else "-: it lacked classes")
        for name, found in known.items()
        for k in (1, 5)
    ]
    return [how, figures, of_paired(about["paired"]) if "paired" in about else []]


def of_kept_epoch(epoch: int) -> str:
    return f"after epoch {epoch}" if epoch else "as before: no epoch was better"


def of_paired(paired: Mapping[str, float]) -> Lines:
    """Images on which only one of two networks is right, and McNemar's test of them."""
    return [
        (
            "right only before, only after",
            f"{paired['only_before']:,.0f}, {paired['only_after']:,.0f} images",
        ),
        ("p-value of no difference", f"{paired['p_value']:.2g} (McNemar, exact)"),
    ]


def of_evaluation(summary: Mapping[str, Any], images: Path | None) -> list[Lines]:
    """What :func:`search.reports.export.evaluate_summary` returns."""
    from cost_models.timing import LatencyMeasurement

    accuracy = Accuracy(**summary["measured"]["accuracy"])
    state = [] if summary["calibrated"] else [CALIBRATION]
    where = f"in {images}" if images is not None else "of the report split"
    return [
        [
            ("arch", summary["arch_id"]),
            *([("precision", summary["precision"])] if "precision" in summary else []),
            *state,
            ("images", f"{counted(accuracy.images, 'image')} {where}"),
            ("inputs", of_preprocessing(summary["preprocessing"])),
        ],
        [(f"top-{k} (%)", percent(accuracy, f"top{k}")) for k in (1, 5)]
        + [("balanced accuracy (%)", of_share(summary["measured"]["balanced_accuracy"], "value"))]
        + [of_latency(LatencyMeasurement(**summary["measured"]["latency"]))],
        of_classes(summary["measured"]["classes"]) if summary["measured"]["imbalance"] >= UNEVEN else [],
    ]


UNEVEN = 2
"""Times as many images of one class as of another, from which on accuracy is shown by class."""
CLASSES_SHOWN = 30
CLASSES_AT_ENDS = 5


def of_share(found: Mapping[str, Any], name: str) -> str:
    """``92.61 [91.87, 93.30]`` of a share with its ``low`` and ``high``."""
    return "{:.2f} [{:.2f}, {:.2f}]".format(*(100 * found[key] for key in (name, "low", "high")))


def of_classes(found: Sequence[Mapping[str, Any]]) -> Lines:
    """Recall of each class; of many classes the worst and the best."""

    def row(one: Mapping[str, Any]) -> tuple[str, str]:
        return f"top-1 (%), {one['class']}", f"{of_share(one, 'recall')} of {counted(one['images'], 'image')}"

    if len(found) <= CLASSES_SHOWN:
        return [row(one) for one in found]
    ranked = sorted(found, key=lambda one: one["recall"])
    between = f"{len(found) - 2 * CLASSES_AT_ENDS:,} classes between"
    return [*map(row, ranked[:CLASSES_AT_ENDS]), ("...", between), *map(row, ranked[-CLASSES_AT_ENDS:])]


def of_preprocessing(how: Mapping[str, Any]) -> str:
    """From an image to an input, as a card has it: what decides which pixels a network sees."""
    if "crop" not in how:
        return f"squares of {how['stored']} pixels, resized to {how['resolution']}"
    rounded = {"up": "up", "down": "down", "nearest": "to nearest"}[how.get("rounded", "up")]
    return f"side {how['shorter_side']} (rounded {rounded}), middle {how['resolution']}"


def of_verification(summary: Mapping[str, Any]) -> list[Lines]:
    """What :func:`search.reports.export.verify_summary` returns."""
    images = summary["images"]

    def top1(share: float) -> str:
        low, high = wilson(round(share * images), images)
        return f"{100 * share:.2f} [{100 * low:.2f}, {100 * high:.2f}]"

    hashes = [("hashes", f"{counted(len(summary['files']), 'file')} and the card are unchanged")]
    hashes += [] if summary["calibrated"] else [CALIBRATION]
    if not images:
        return [
            hashes,
            [
                ("largest difference of a logit", f"{summary['max_difference']:.1e}"),
                (
                    "compared on",
                    f"{counted(summary['compared_images'], 'random input')}; there are no images",
                ),
            ],
        ]
    return [
        hashes,
        [
            ("top-1 (%), ONNX Runtime", top1(summary["top1_onnxruntime"])),
            ("top-1 (%), torch", top1(summary["top1_torch"])),
            ("measured on", f"{counted(images, 'image')} of the report split"),
        ],
        [
            ("largest difference of a logit", f"{summary['max_difference']:.1e}"),
            ("compared on", counted(summary["compared_images"], "image")),
        ],
    ]
