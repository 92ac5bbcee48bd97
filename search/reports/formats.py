"""Formats of a bundle: written, checked and timed on this machine, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from cost_models import profiling, timing
from cost_models.runtimes.registry import processors
from cost_models.timing import LatencyMeasurement
from search.reports.export import card_summary, data_set, require_shipped
from search.reports.units import counted
from supernet.errors import InputError
from supernet.formats.protocol import DYNAMIC, AccuracyBound, BatchSize, FormatRequest
from supernet.formats.registry import export_format, export_formats
from supernet.messages import Say, say

if TYPE_CHECKING:
    from rich.table import Table

    from search.reports.export import Extend
    from supernet.bundles.bundle import Bundle
    from supernet.families.catalog import Supernet
    from supernet.formats.protocol import ExportFormat
    from supernet.images.data import Dataset

NOT_RUN = "not run"
ALIKE = 0.05
"""Latencies that differ by less are called about the same."""


class FormatsAsked(TypedDict):
    """The options of an export that are about formats; None is what is written by default."""

    formats: str | Iterable[str] | None
    batch: BatchSize | None
    image_size: int | None
    opset: int | None
    threads: int


def asked_for(
    batch: str | int | None, image_size: int | None, opset: int | None, threads: int
) -> FormatRequest:
    """How formats are to be written. Raises InputError for what none of them can do."""
    if not 1 <= threads <= processors():
        raise InputError(f"--threads: got {threads}, and this process may use {processors()} processors")
    return FormatRequest(batch_given(batch), image_size, opset, threads)


def batch_given(batch: str | int | None) -> BatchSize | None:
    if batch is None or batch == DYNAMIC:
        return DYNAMIC if batch is not None else None
    try:
        return int(batch)
    except ValueError as error:
        raise InputError(f"--batch: got {batch!r}; give 'dynamic' or a whole number of images") from error


def extending(given: FormatsAsked, say: Say, calibrated: bool) -> Extend | None:
    """What adds formats to a bundle that is being exported, where there are any to add.

    Raises InputError at once where one is not installed, and where one needs images and nothing is ``calibrated``.
    """
    from supernet.formats.conversion import add_formats, check_formats

    if given["formats"] is None:
        return None
    asked = asked_for(given["batch"], given["image_size"], given["opset"], given["threads"])
    formats = export_formats(given["formats"])
    check_formats(formats, asked)
    for format in formats:
        if format.bound is not None and not calibrated:
            raise InputError(
                f"format {format.name} is quantised on calibration images: leave it out, or --uncalibrated"
            )

    def extend(made: Bundle, data: Dataset | None) -> None:
        add_formats(made, formats, asked, data, time_call, say)

    return extend


def convert_summary(
    bundle: Bundle,
    names: str | Iterable[str],
    asked: FormatRequest,
    data: str | None = None,
    supernet: Supernet | None = None,
    say: Say = say,
) -> dict[str, Any]:
    """Add formats to a bundle in its folder; what is known of it then.

    Logits are compared on the bundle's own images, or on ``data``; where they are not here on random inputs, which is said.
    """
    from supernet.formats.conversion import check_formats, convert_bundle

    formats = export_formats(names)
    check_formats(formats, asked)
    if supernet is None:
        require_shipped(bundle)
    images = images_for(bundle, data, formats, say)
    made = convert_bundle(bundle.folder, formats, asked, images, time_call, supernet, say)
    return card_summary(made.card, bundle.folder)


def images_for(bundle: Bundle, data: str | None, formats: Sequence[ExportFormat], say: Say) -> Dataset | None:
    """The images of a bundle; None, which is said, where it is of none or they are not here.

    Raises InputError where one of ``formats`` is quantised on them.
    """
    from supernet.formats.conversion import require_images

    if data is None and bundle.card.data is None:
        require_images(formats, None)
        say("the bundle was measured on no images: formats are compared on random inputs, without top-1")
        return None
    try:
        return data_set(bundle, data)
    except InputError as error:
        if data is not None:
            raise
        require_images(formats, None, f"; {error}")
        say(f"{error}. Formats are compared on random inputs, without top-1; --data takes the images")
        return None


def time_call(call: Callable[[], object]) -> LatencyMeasurement:
    """Latency of a call on this machine, timed again where it is busy."""
    return profiling.quietest(lambda: timing.measure_in_turns([call], timing.ROUNDS, timing.SLICE_S)[0])


def format_table(formats: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each format, as a card has them."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE)
    made.add_column("format")
    for heading in ("KiB", "differs by", "allowed", "top-1 (%)", "ms", "written s"):
        made.add_column(heading, justify="right")
    for name, about in formats.items():
        made.add_row(*(Text(cell) for cell in (name, *cells_of(about))))
    return made


def cells_of(about: Mapping[str, Any]) -> tuple[str, ...]:
    """Figures of a format as text; what was not run has none."""
    latency = about.get("latency")
    found = LatencyMeasurement(**latency) if latency is not None else None
    busy = "*" if found is not None and found.busy else ""
    accuracy = about.get("accuracy")
    return (
        f"{about['bytes'] / 1024:,.0f}",
        f"{about['max_abs_difference']:.1e}" if "max_abs_difference" in about else NOT_RUN,
        f"{about['allowed']:.1e}" if "allowed" in about else "",
        f"{100 * accuracy['top1']:.2f}" if accuracy is not None else "",
        f"{found.median_ms:.3g}{busy}" if found is not None else NOT_RUN,
        f"{about['seconds']:.1f}" if about["seconds"] else "",
    )


def format_notes(formats: Mapping[str, Mapping[str, Any]]) -> str:
    """What the table's figures are of, and why there are none."""
    lines = [f"{name}: {about['not_run']}." for name, about in formats.items() if about.get("not_run")]
    lines += [int8_note(name, about) for name, about in formats.items() if "int8" in about]
    with_figures = [about for about in formats.values() if "compared" in about]
    if with_figures:
        threads = {about["threads"] for about in with_figures if "threads" in about}
        lines.append(f"Differences are the largest of a logit from torch's {compared_on(formats)}.")
        if threads:
            told = " or ".join(counted(n, "thread") for n in sorted(threads))
            lines.append(f"ms: latency of one call, measured here with {told}.")
    if any("latency" in about and LatencyMeasurement(**about["latency"]).busy for about in with_figures):
        lines.append("*: the machine was busy.")
    return "\n".join(lines)


def compared_on(formats: Mapping[str, Mapping[str, Any]]) -> str:
    """What each format was compared with torch on, which is not the same for those that were written at other times."""
    names: dict[str, list[str]] = {}
    for name, about in formats.items():
        if "compared" in about:
            names.setdefault(f"on {about['compared']} {about['compared_with']}", []).append(name)
    if len(names) == 1:
        return next(iter(names))
    return "; ".join(f"{on} for {', '.join(of)}" for on, of in names.items())


def verified_title(formats: Mapping[str, Mapping[str, Any]]) -> str:
    """Whether all of a bundle was run, to be said beside its being sound."""
    missed = sum(found["not_run"] is not None for found in formats.values())
    if not missed:
        return ""
    return (
        f"; of its {counted(len(formats), 'format')} {missed} {'was' if missed == 1 else 'were'} not run here"
    )


def int8_note(name: str, about: Mapping[str, Any]) -> str:
    """What 8 bits cost and gain, and what they were allowed to cost."""
    int8 = about["int8"]
    told = [f"{name}: {int8['method']}."]
    if "paired" in int8:
        points = 100 * (about["accuracy"]["top1"] - int8["float32_accuracy"]["top1"])
        told.append(
            f"{points:+.2f} points of top-1 (McNemar's p = {int8['paired']['p_value']:.2g}), "
            f"{100 * int8['agreement']:.1f} % of best classes as in float32 (allowed: {AccuracyBound(**int8['bound'])})."
        )
    if "float32_latency" in int8 and "latency" in about:
        told.append(beside_float32_words(about["latency"]["median_ms"], int8["float32_latency"]["median_ms"]))
    if "float32_bytes" in int8:
        told.append(f"{100 * about['bytes'] / int8['float32_bytes']:.0f} % of its bytes.")
    left = "; ".join(f"{what}: {why}" for what, why in int8["in_float"].items())
    return " ".join([*told, *([f"In float32: {left}."] if left else [])])


def beside_float32_words(int8_ms: float, float32_ms: float) -> str:
    """Faster is only what is faster by more than what one call varies by."""
    times = f"{int8_ms:.3g} ms, float32 {float32_ms:.3g} ms in the same runtime here:"
    if abs(int8_ms / float32_ms - 1) <= ALIKE:
        return f"{times} about as fast."
    return f"{times} {'slower' if int8_ms > float32_ms else 'faster'}."


def verified_lines(formats: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What was found of each format of a bundle that is verified."""
    rows = []
    for name, found in formats.items():
        told = []
        if "max_difference" in found:
            bound = export_format(name).bound
            allowed = f"{found['allowed']:.0e}" if bound is None else str(bound)
            by = ", ".join(f"{package} {version}" for package, version in found["runtime"].items())
            told.append(f"differs by {found['max_difference']:.1e} (allowed: {allowed}), run by {by}")
            if found["accuracy"] is not None:
                told.append(f"top-1 {100 * found['accuracy']['top1']:.2f} %")
        if found["not_run"] is not None:
            told.append(f"hash only; {NOT_RUN}: {found['not_run']}" if not told else found["not_run"])
        rows.append((name, ", ".join(told)))
    return rows
