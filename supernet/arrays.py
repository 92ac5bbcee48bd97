"""Types of NumPy arrays that several packages name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

Slopes = npt.NDArray[np.float32]
"""What each choice adds to the accuracy of an arch, to first order; shape (archs, dimensions, most choices).

Entries behind a dimension's last choice are 0.
"""

SlopesOf = Callable[[npt.NDArray[np.intp]], Slopes]
"""The slopes of some of the archs that were given, by their rows."""
