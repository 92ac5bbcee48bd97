"""Bundles in the formats of other runtimes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from oncefit.bundles import Bundle, HasDescription, open_bundle
from search.reports.formats import asked_for, convert_summary
from supernet.messages import Say, say


def convert(
    bundle: Bundle | str | Path,
    formats: str | Iterable[str],
    *,
    batch: int | Literal["dynamic"] | None = None,
    image_size: int | None = None,
    opset: int | None = None,
    threads: int = 1,
    data: str | Path | None = None,
    supernet: str | Path | HasDescription | None = None,
    say: Say = say,
) -> Bundle:
    """Add formats to a bundle, as ``"onnx,openvino"`` or a list; docs/formats.md has their names.

    Each is written, read back by its own runtime, compared with torch on the bundle's own images (``data`` is where they
    are now) and timed with ``threads`` threads; the card says what was found. Where one is refused none is added.
    ``batch`` is how many images they take at once, ``image_size`` the side of them, by default the arch's resolution.
    Raises InputError for a format that is not installed, with what to type.
    """
    given = bundle if isinstance(bundle, Bundle) else open_bundle(bundle, supernet=supernet)
    asked = asked_for(batch, image_size, opset, threads)
    images = str(data) if data is not None else None
    summary = convert_summary(given.opened, formats, asked, images, given.opened.supernet, say)
    from supernet.bundles.bundle import open_bundle as opened

    return Bundle(opened(given.folder, given.opened.supernet), summary)
