"""How much of the rise that a surrogate promises comes, by cost.

Where the front stops rising, a smooth process that rose up to there goes on a little, and a strip of costs as wide
as half the space turns that little into the greatest expected improvement, measurement after measurement. The measured
archs tell: what would the surrogate have promised of each, had it known all others but this one, and what came?
Proposals count less where little of it came at costs like theirs (docs/decisions/019-resnet.md).

Notation, for ``n`` measured archs, ``m`` others, and ``k`` costs:

=============  =======  ==============================================================================
``expected``   (n,)     accuracy that the surrogate expects of an arch from all the others
``accuracy``   (n,)     as measured
``logs``       (n, k)   logarithms of costs
``others``     (n,)     the best accuracy of the others at no more than an arch's costs
``promised``   (n,)     ``expected - others``, at least 0
``came``       (n,)     ``accuracy - others``, at least 0
=============  =======  ==============================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from supernet.arrays import Floats

NEAR = 0.15
"""Standard deviation of the logarithm of a cost by which archs count as like another: about a seventh."""

CREDIT = 0.03
"""A promise that is taken as kept before anything is known, in standard deviations of the measured accuracies."""

FULLY = 0.5
"""Where this share of what was promised came, promises are believed; below, by the square of how much is missing.

A few measured archs tell the share to within a factor of two or so; where the front is flat, it is a thirtieth. Strips of
costs differ as much in their widths, so that the share itself would not outweigh them.
"""


@dataclass(frozen=True)
class Promises:
    """What was promised and came of measured archs."""

    logs: Floats
    promised: Floats
    came: Floats
    credit: float

    def __call__(self, logs: Floats) -> Floats:
        """How far a promise is believed at costs of these logarithms (m, k), in 0..1, shape (m,); 1 without costs."""
        if not self.logs.shape[1]:
            return np.ones(len(logs))
        apart = ((logs[:, None] - self.logs) ** 2).sum(axis=2)
        weights = np.exp(-0.5 * apart / NEAR**2)
        kept = (weights @ self.came + self.credit) / (weights @ self.promised + self.credit)
        return np.asarray(np.minimum(kept / FULLY, 1) ** 2)


def promises(expected: Floats, accuracy: Floats, logs: Floats) -> Promises:
    """Of accuracies (n,), what all others let expect (n,), and logarithms of costs (n, k)."""
    no_dearer = np.asarray((logs[None] <= logs[:, None]).all(axis=2))
    np.fill_diagonal(no_dearer, False)
    others = np.where(no_dearer, accuracy, accuracy.min()).max(axis=1)
    promised, came = np.maximum(expected - others, 0), np.maximum(accuracy - others, 0)
    credit = max(CREDIT * float(accuracy.std()), np.finfo(np.float64).tiny)
    return Promises(logs, promised, came, credit)
