"""The formats of a bundle, checked where they are now."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from supernet.bundles.bundle import Bundle, Disagreement
from supernet.bundles.bundle_card import FORMATS_FOLDER, MODEL, FormatKeys
from supernet.errors import InputError
from supernet.formats.checking import check_runs, compare_with_torch, require_likeness
from supernet.formats.conversion import reading_of
from supernet.formats.eight_bits import require_8_bits
from supernet.formats.protocol import Opened
from supernet.formats.registry import EXPORT_FORMATS, export_format
from supernet.images.data import Dataset

VERIFYING_THREADS = 1
NEEDS_IMAGES = "a format in 8 bits is compared on the bundle's own images; --data takes them"


def verify_formats(bundle: Bundle, data: Dataset | None) -> dict[str, dict[str, Any]]:
    """What is found of each format of a bundle, whose hashes were checked when it was opened, by its own runtime.

    ``not_run`` says why nothing is, such as what to install, and ``runtime`` the versions of what it ran with. Every
    format is looked at before any is complained of: raises Disagreement that names all which their runtimes refuse, or
    which do not answer as torch does.
    """
    found: dict[str, dict[str, Any]] = {}
    wrong: list[str] = []
    by_size: dict[int, dict[str, FormatKeys]] = defaultdict(dict)
    for name, about in (bundle.card.formats or {}).items():
        why = why_not_run(name)
        if name in EXPORT_FORMATS and export_format(name).bound is not None:
            wrong += complaint_of_8_bits(bundle, name)
            why = why or (NEEDS_IMAGES if data is None else None)
        found[name] = {"bytes": about.bytes, "files": list(about.files), "not_run": why}
        if why is None or (why == why_not_run(name) and checked_only(name)):
            by_size[about.image_size][name] = about
    for side, formats in by_size.items():
        with ExitStack() as stack:
            opened = {}
            for name, about in formats.items():
                try:
                    if (runs := opened_here(stack, bundle, name, about)) is not None:
                        check_runs(name, runs, bundle, side)
                        opened[name] = runs
                except ImportError as error:
                    found[name]["not_run"] = broken(name, error)
                except InputError as error:
                    wrong.append(str(error))
            agreements = compare_with_torch(bundle, bundle.subnet(), opened, data, side) if opened else {}
        for name, agreement in agreements.items():
            found[name] |= asdict(agreement) | {"runtime": runtime_versions(name)}
            try:
                require_likeness(
                    name, agreement, bundle.folder, export_format(name).bound, "convert it again"
                )
            except Disagreement as error:
                wrong.append(str(error))
    if wrong:
        raise Disagreement("; ".join(wrong))
    return found


def opened_here(stack: ExitStack, bundle: Bundle, name: str, about: FormatKeys) -> Opened | None:
    """A format in its runtime, as long as ``stack`` is; None where it has none here."""
    reads = export_format(name).opened
    return (
        stack.enter_context(reads(reading_of(bundle, about, VERIFYING_THREADS)))
        if reads is not None
        else None
    )


def runtime_versions(name: str) -> dict[str, str]:
    """Of what a format is run with."""
    format = export_format(name)
    return {package: version(package) for package in format.runtime or format.packages}


def complaint_of_8_bits(bundle: Bundle, name: str) -> list[str]:
    """What is wrong where the weights of a format that is called int8 are not."""
    format = export_format(name)
    try:
        require_8_bits(name, bundle.folder / FORMATS_FOLDER / name / format.main, bundle.folder / MODEL)
    except Disagreement as error:
        return [str(error)]
    return []


def why_not_run(name: str) -> str | None:
    """Why a format is not run here, and what to do; None where it is."""
    if name not in EXPORT_FORMATS:
        return "this version of oncefit does not know it; upgrade it: pip install --upgrade oncefit"
    format = export_format(name)
    if format.not_run is not None:
        return format.not_run
    if missing := format.missing_to_run():
        return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed: {format.how}"
    return None


def broken(name: str, error: ImportError) -> str:
    return f"what runs it is installed and cannot be imported ({error}): {export_format(name).how}, or see oncefit doctor"


def checked_only(name: str) -> bool:
    """Whether a format is not run where it is meant to be, but something of it is read here."""
    if name not in EXPORT_FORMATS:
        return False
    format = export_format(name)
    return format.not_run is not None and format.opened is not None and not format.missing_to_run()
