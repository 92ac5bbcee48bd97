"""What each choice adds to a prediction where an arch stands: the predictor's gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, runtime_checkable

from search.predictors.protocol import Predictor
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats, SlopesOf


@runtime_checkable
class Sloped(Protocol):
    """A predictor that knows its gradient, which takes about as long as a prediction."""

    def slopes(self, space: SearchSpace, codes: Codes) -> tuple[Floats, SlopesOf]:
        """Top-1 as ``predict`` says it, shape (n,), and the slopes of canonical codes (n, dimensions).

        To first order an arch ``b`` near arch ``a`` has ``top1(a) + parts(b) - parts(a)``, where ``parts``
        is the sum of ``slopes[a, i, code of i]`` over the dimensions ``i`` that count.
        """
        ...


def slope_of(predictor: Predictor, space: SearchSpace) -> Callable[[Codes], tuple[Floats, SlopesOf]] | None:
    """A predictor's slopes as a function of codes of ``space``; None where it does not know them."""
    return partial(predictor.slopes, space) if isinstance(predictor, Sloped) else None
