"""From a bundle to formats within it: written, read back by their own runtimes, compared, timed, told in the card."""

from __future__ import annotations

import errno
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from supernet import documents
from supernet.atomic import Unwritable, make_folder, partial_of, remove_left, unwritable, unwritable_folder
from supernet.bundles.bundle import (
    Bundle,
    check_classes,
    check_images_of,
    check_replaceable,
    open_bundle,
    replace_folder,
)
from supernet.bundles.bundle_card import (
    CARD,
    CARD_FORMAT,
    FORMATS_FOLDER,
    MODEL,
    VERSION,
    WEIGHTS,
    FormatKeys,
    Int8Keys,
    render,
)
from supernet.bundles.formats_again import without_made
from supernet.bundles.ports import OPSET
from supernet.errors import InputError, paragraph
from supernet.families.catalog import Supernet
from supernet.formats.checking import Agreement, compare_with_torch, require_likeness
from supernet.formats.eight_bits import require_8_bits
from supernet.formats.protocol import (
    DYNAMIC,
    ExportFormat,
    FormatRequest,
    NetworkInputs,
    Opened,
    QuantisedAs,
    Reading,
    ToWrite,
    check_formats_installed,
)
from supernet.formats.registry import EXPORT_FORMATS, export_format
from supernet.images.data import Dataset
from supernet.messages import Say
from supernet.weights.checkpoints import sha256_of

Timer = Callable[[Callable[[], object]], Any]
"""Milliseconds of a call, as a dataclass."""
TIMED_SEED = 0
ROOM_BYTES, ROOM_TIMES = 16 * 2**20, 8
"""What a converter may need on a disk: so many bytes, and so many times the weights."""
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
"""What is wrong with the folder, not with the network."""
CONVERT_A_COPY = "convert a copy of the bundle in another folder; this one is as it was"
MOVE_AWAY = "move that to another folder, and convert the bundle then"


def convert_bundle(
    folder: Path,
    formats: Sequence[ExportFormat],
    asked: FormatRequest,
    data: Dataset | None,
    timer: Timer | None = None,
    supernet: Supernet | None = None,
    say: Say = lambda _: None,
) -> Bundle:
    """Add formats to the bundle in ``folder``: all of them, or nothing is changed.

    Raises InputError for a format that is not installed or cannot be written so, and Disagreement for one whose own
    runtime does not answer as torch does.
    """
    folder = folder.resolve()
    check_formats(formats, asked)
    require_images(formats, data)
    bundle = open_bundle(folder, supernet)
    check_classes(bundle)
    check_images_of(bundle, data)
    check_replaceable(folder, MOVE_AWAY)
    partial = partial_of(folder)
    try:
        remove_left(folder)
        shutil.copytree(folder, partial, copy_function=copied_file)
        add_formats(open_bundle(partial, supernet), formats, asked, data, timer, say)
        replace_folder(partial, folder)
    except (OSError, Unwritable) as error:
        raise unwritable_folder(folder, partial, error, CONVERT_A_COPY) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return open_bundle(folder, supernet)


def copied_file(source: str, target: str) -> None:
    """Raises Unwritable, for of an OSError ``copytree`` would go on, and forget what it was."""
    try:
        shutil.copy2(source, target)
    except OSError as error:
        raise unwritable(Path(target), error) from error


def check_formats(formats: Sequence[ExportFormat], asked: FormatRequest) -> None:
    """Raises InputError, before anything is written, where a format is not installed or does not do what is asked."""
    check_formats_installed(formats)
    for format in formats:
        format.batch_of(asked.batch)
    if asked.opset is not None and not any(format.takes_opset for format in formats):
        raise InputError(
            f"--opset {asked.opset} is for {', '.join(n for n in EXPORT_FORMATS if export_format(n).takes_opset)}; leave it out for "
            f"{', '.join(format.name for format in formats)}"
        )


def require_images(formats: Sequence[ExportFormat], data: Dataset | None, why: str = "") -> None:
    """Raises InputError where a format is quantised and there are no images to do that on; ``why`` is told too."""
    for format in formats:
        if format.bound is not None and data is None:
            raise InputError(
                f"format {format.name} is quantised on calibration images and held to float32 on report images, and "
                f"there are none: give the bundle's own with --data DIR{why}"
            )


def add_formats(
    bundle: Bundle,
    formats: Sequence[ExportFormat],
    asked: FormatRequest,
    data: Dataset | None,
    timer: Timer | None,
    say: Say,
) -> None:
    """Write formats into the folder of a bundle, which is not in place yet, and their figures into its card."""
    require_images(formats, data)
    subnet = bundle.subnet()
    side = asked.image_size or bundle.card.preprocessing.resolution
    written: dict[str, FormatKeys] = {}
    for format in formats:
        batch = format.batch_of(asked.batch)
        material = ToWrite(
            subnet, bundle, side, None if batch == DYNAMIC else batch, asked.opset or OPSET, data
        )  # fmt: skip
        written[format.name] = write_format(format, material, asked, say)
    with ExitStack() as stack:
        opened = {
            name: stack.enter_context(export_format(name).opened(reading_of(bundle, about, asked.threads)))  # type: ignore[misc]
            for name, about in written.items()
            if export_format(name).opened is not None
        }
        found = checked_format(bundle, opened, data, side, subnet, say)
        for name, agreement in found.items():
            bound = export_format(name).bound
            require_likeness(name, agreement, bundle_name(bundle.folder), bound)
            written[name] = with_figures(written[name], agreement)
        for name, runs in opened.items():
            if timer is not None and export_format(name).not_run is None:
                say(f"measuring latency of {name} on this machine")
                written[name] = with_latency(written[name], runs, bundle, asked.threads, timer)
                if export_format(name).in_float is not None:
                    written[name] = beside_float32(written[name], name, bundle, subnet, asked, timer)
    write_new_card(bundle, written)


def bundle_name(folder: Path) -> str:
    """What a person calls the bundle that is being made in ``.NAME.PID.partial``."""
    return folder.name.removeprefix(".").rsplit(".", 2)[0] if folder.suffix == ".partial" else folder.name


def write_format(format: ExportFormat, material: ToWrite, asked: FormatRequest, say: Say) -> FormatKeys:
    """Write one format into its folder. Raises InputError where its converter refuses the network."""
    bundle = material.bundle
    opset = material.opset if format.takes_opset else None
    is_own = format.main == MODEL and format.name == "onnx" and asked == FormatRequest(threads=asked.threads)
    folder = bundle.folder if is_own else bundle.folder / FORMATS_FOLDER / format.name
    seconds, how = 0.0, None
    shutil.rmtree(
        bundle.folder / FORMATS_FOLDER / format.name, ignore_errors=True
    )  # as it was written before
    if not is_own:
        say(f"writing {format.name}")
        make_folder(folder)
        if format.needs_room:
            require_room(format.name, folder, bundle)
        start = time.perf_counter()
        try:
            how = format.write(material, folder)
        except InputError:
            raise
        except Exception as error:  # converters raise of every kind
            if isinstance(error, OSError) and error.errno in UNWRITABLE:
                raise
            told = paragraph(str(error))[:400]
            raise InputError(
                f"the format {format.name} cannot be written: its converter says {type(error).__name__}: {told}"
                f"{little_room(folder, bundle)}"
            ) from error
        seconds = time.perf_counter() - start
    files = [bundle.folder / MODEL] if is_own else sorted(p for p in folder.rglob("*") if p.is_file())
    return FormatKeys(
        files=tuple(path.relative_to(bundle.folder).as_posix() for path in files),
        bytes=sum(path.stat().st_size for path in files),
        seconds=round(seconds, 3),
        batch=DYNAMIC if material.batch is None else material.batch,
        image_size=material.resolution,
        opset=opset,
        versions=format.versions(),
        not_run=format.not_run,
        int8=int8_keys(format, how, bundle) if how is not None else None,
    )


def require_room(name: str, folder: Path, bundle: Bundle) -> None:
    """Raises InputError where a converter may find too little room, for the format or for what it writes aside."""
    needed = ROOM_BYTES + ROOM_TIMES * (bundle.folder / WEIGHTS).stat().st_size
    for place in (folder, Path(tempfile.gettempdir())):
        free = shutil.disk_usage(place).free
        if free < needed:
            raise InputError(
                f"the format {name} is written with {needed / 2**20:,.0f} MiB to spare, since its converter ends without a word on a "
                f"full disk; {free / 2**20:,.1f} MiB are free on the disk of {place}: make room there"
            )


def little_room(folder: Path, bundle: Bundle) -> str:
    """What is added where a converter may have failed for a full disk, which not all of them say."""
    free = shutil.disk_usage(folder).free
    if free > 2 * (bundle.folder / WEIGHTS).stat().st_size:
        return ""
    return f"; only {free / 1024:,.0f} KiB are free on its disk: make room there"


def reading_of(bundle: Bundle, about: FormatKeys, threads: int) -> Reading:
    """What the runtime of a format in a bundle is told."""
    first = PurePosixPath(about.files[0])
    name = first.parts[1] if first.parts[0] == FORMATS_FOLDER else None
    folder = bundle.folder / FORMATS_FOLDER / name if name is not None else bundle.folder
    return Reading(folder, threads, None if about.batch == DYNAMIC else about.batch, bundle)


def checked_format(
    bundle: Bundle,
    opened: dict[str, Opened],
    data: Dataset | None,
    side: int,
    subnet: Any,
    say: Say,
) -> dict[str, Agreement]:
    if not opened:
        return {}
    on = f"{len(data.report):,} report images" if data is not None else "random inputs"
    say(f"comparing {', '.join(opened)} with torch on {on}")
    return compare_with_torch(bundle, subnet, opened, data, side)


def with_figures(about: FormatKeys, found: Agreement) -> FormatKeys:
    return about.model_copy(
        update={
            "compared": found.compared,
            "compared_with": found.compared_with,
            "max_abs_difference": found.max_difference,
            "allowed": found.allowed if about.int8 is None else None,
            "accuracy": asdict(found.accuracy) if found.accuracy is not None else None,
            "int8": with_agreement(about.int8, found) if about.int8 is not None else None,
        }
    )


def with_latency(about: FormatKeys, runs: Opened, bundle: Bundle, threads: int, timer: Timer) -> FormatKeys:
    """With the latency of one call, on random images, as many as the format takes at once, or one."""
    shape = (1 if about.batch == DYNAMIC else about.batch, bundle.card.preprocessing.channels)
    images: NetworkInputs = np.random.default_rng(TIMED_SEED).standard_normal(
        (*shape, about.image_size, about.image_size), dtype=np.float32
    )
    return about.model_copy(update={"latency": asdict(timer(runs.bound(images))), "threads": threads})


def int8_keys(format: ExportFormat, how: QuantisedAs, bundle: Bundle) -> Int8Keys:
    """What is known of a format in 8 bits when it was written. Raises Disagreement where its weights are not."""
    assert format.bound is not None
    share = require_8_bits(
        format.name, bundle.folder / FORMATS_FOLDER / format.name / format.main, bundle.folder / MODEL
    )
    return Int8Keys(**asdict(how), weights_in_8_bits=share, bound=asdict(format.bound))


def with_agreement(about: Int8Keys, found: Agreement) -> Int8Keys:
    return about.model_copy(
        update={
            "agreement": found.agreement,
            "float32_accuracy": asdict(found.torch_accuracy) if found.torch_accuracy is not None else None,
            "paired": asdict(found.paired) if found.paired is not None else None,
        }
    )


def beside_float32(
    about: FormatKeys, name: str, bundle: Bundle, subnet: Any, asked: FormatRequest, timer: Timer
) -> FormatKeys:
    """With bytes and latency of the same runtime's format in float32, which is written for that alone."""
    plain = export_format(export_format(name).in_float or "")
    assert plain.opened is not None
    assert about.int8 is not None
    batch = None if about.batch == DYNAMIC else about.batch
    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
        folder = Path(scratch)
        plain.write(ToWrite(subnet, bundle, about.image_size, batch), folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        with plain.opened(Reading(folder, asked.threads, batch, bundle)) as runs:
            latency = with_latency(about, runs, bundle, asked.threads, timer).latency
    int8 = about.int8.model_copy(update={"float32_bytes": size, "float32_latency": latency})
    return about.model_copy(update={"int8": int8})


def write_new_card(bundle: Bundle, written: dict[str, FormatKeys]) -> None:
    """The card with formats that were written now, in place of those of the same names, and with all hashes."""
    card = bundle.card
    formats = dict(sorted({**(card.formats or {}), **written}.items()))
    replaced = {file for name in written for file in of_format(card.formats or {}, name)}
    files = {name: sha256 for name, sha256 in card.files.items() if name not in replaced}
    for about in written.values():
        files |= {name: sha256_of((bundle.folder / name).read_bytes()) for name in about.files}
    gone = without_made(card.formats_gone, written)
    made = card.model_copy(
        update={
            "format": f"{CARD_FORMAT} {VERSION}",
            "formats": formats,
            "formats_gone": gone,
            "files": files,
        }
    )
    documents.write_text(bundle.folder / CARD, render(made))


def of_format(formats: dict[str, FormatKeys], name: str) -> list[str]:
    """Files of a format that are nothing else's."""
    return [file for file in (formats[name].files if name in formats else ()) if file != MODEL]
