"""The texts of a figure, and which of them lie over another."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from matplotlib.text import Text

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


def out_of_view(axis: Axis) -> list[Text]:
    """Labels of ticks that an axis has and does not show."""
    low, high = sorted(axis.get_view_interval())
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    return [label for one in ticks if not low <= one.get_loc() <= high for label in (one.label1, one.label2)]


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts whose boxes overlap, and texts that reach out of the figure, beside an empty one."""
    figure.canvas.draw()
    hidden = {
        id(one) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for one in out_of_view(axis)
    }
    texts = [
        one
        for one in figure.findobj(Text)
        if one.get_visible() and one.get_text().strip() and id(one) not in hidden
    ]
    drawn = [(one.get_text(), one.get_window_extent()) for one in texts]
    lost = [
        (text, "")
        for text, box in drawn
        if not figure.bbox.padded(1).containsx(box.x0) or not figure.bbox.padded(1).containsx(box.x1)
    ]
    return lost + [(a, b) for (a, one), (b, other) in itertools.combinations(drawn, 2) if one.overlaps(other)]
