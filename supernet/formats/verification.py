"""The formats of a bundle, checked where they are now."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from supernet.bundles.bundle import Bundle
from supernet.bundles.bundle_card import FORMATS_FOLDER, MODEL, FormatKeys
from supernet.formats.checking import compare_with_torch, require_likeness
from supernet.formats.conversion import reading_of
from supernet.formats.eight_bits import require_8_bits
from supernet.formats.registry import EXPORT_FORMATS, export_format
from supernet.images.data import Dataset

VERIFYING_THREADS = 1
NEEDS_IMAGES = "a format in 8 bits is compared on the bundle's own images; --data takes them"


def verify_formats(bundle: Bundle, data: Dataset | None) -> dict[str, dict[str, Any]]:
    """What is found of each format of a bundle, whose hashes were checked when it was opened.

    ``not_run`` says why nothing is, such as what to install. Raises Disagreement as conversion does.
    """
    found: dict[str, dict[str, Any]] = {}
    by_size: dict[int, dict[str, FormatKeys]] = defaultdict(dict)
    for name, about in (bundle.card.formats or {}).items():
        why = why_not_run(name)
        if name in EXPORT_FORMATS and export_format(name).bound is not None:
            check_8_bits(bundle, name)
            why = why or (NEEDS_IMAGES if data is None else None)
        found[name] = {"bytes": about.bytes, "files": list(about.files), "not_run": why}
        if why is None or (why == why_not_run(name) and checked_only(name)):
            by_size[about.image_size][name] = about
    for side, formats in by_size.items():
        with ExitStack() as stack:
            opened = {}
            for name, about in formats.items():
                reads = export_format(name).opened
                if reads is not None:
                    opened[name] = stack.enter_context(reads(reading_of(bundle, about, VERIFYING_THREADS)))
            agreements = compare_with_torch(bundle, bundle.subnet(), opened, data, side) if opened else {}
        for name, agreement in agreements.items():
            require_likeness(name, agreement, bundle.folder, export_format(name).bound)
            found[name] |= asdict(agreement)
    return found


def check_8_bits(bundle: Bundle, name: str) -> None:
    """Raises Disagreement where the weights of a format that is called int8 are not."""
    format = export_format(name)
    require_8_bits(name, bundle.folder / FORMATS_FOLDER / name / format.main, bundle.folder / MODEL)


def why_not_run(name: str) -> str | None:
    """Why a format is not run here, and what to do; None where it is."""
    if name not in EXPORT_FORMATS:
        return "this version of oncefit does not know it"
    format = export_format(name)
    if format.not_run is not None:
        return format.not_run
    return format.how if format.missing_to_run() else None


def checked_only(name: str) -> bool:
    """Whether a format is not run where it is meant to be, but something of it is read here."""
    if name not in EXPORT_FORMATS:
        return False
    format = export_format(name)
    return format.not_run is not None and format.opened is not None and not format.missing_to_run()
