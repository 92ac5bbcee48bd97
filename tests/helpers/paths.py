"""Where the checkout is, and published data that may lie beside it."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
REFERENCE = Path(os.environ.get("ONCEFIT_REFERENCE", ROOT.parent / "shared" / "ofa-reference"))
"""Published OFA tables and predictors; tests that need them skip where they are absent."""
