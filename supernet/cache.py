"""The folder of what oncefit made or fetched once and keeps."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "ONCEFIT_CACHE"
"""The environment variable that names the folder."""


def default_cache() -> Path:
    """The folder of what is kept: ``ONCEFIT_CACHE``, else ``~/.cache/oncefit``."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else Path.home() / ".cache" / "oncefit"
