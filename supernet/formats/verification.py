"""The formats of a bundle, checked where they are now."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from supernet.bundles.bundle import Bundle
from supernet.bundles.bundle_card import FormatKeys
from supernet.formats.checking import compare_with_torch, require_likeness
from supernet.formats.conversion import reading_of
from supernet.formats.registry import EXPORT_FORMATS, export_format
from supernet.images.data import Dataset

VERIFYING_THREADS = 1


def verify_formats(bundle: Bundle, data: Dataset | None) -> dict[str, dict[str, Any]]:
    """What is found of each format of a bundle, whose hashes were checked when it was opened.

    ``not_run`` says why nothing is, such as what to install. Raises Disagreement as conversion does.
    """
    found: dict[str, dict[str, Any]] = {}
    by_size: dict[int, dict[str, FormatKeys]] = defaultdict(dict)
    for name, about in (bundle.card.formats or {}).items():
        why = why_not_run(name)
        found[name] = {"bytes": about.bytes, "files": list(about.files), "not_run": why}
        if why is None or (export_format(name).not_run is not None and not missing_to_check(name)):
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
            require_likeness(name, agreement, bundle.folder)
            found[name] |= asdict(agreement)
    return found


def why_not_run(name: str) -> str | None:
    """Why a format is not run here, and what to do; None where it is."""
    if name not in EXPORT_FORMATS:
        return "this version of oncefit does not know it"
    format = export_format(name)
    if format.not_run is not None:
        return format.not_run
    return format.how if format.missing_to_run() else None


def missing_to_check(name: str) -> bool:
    """Whether nothing of a format can be read here."""
    return export_format(name).opened is None or bool(export_format(name).missing_to_run())
