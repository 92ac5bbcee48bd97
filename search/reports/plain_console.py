"""A terminal that shows names as they are: brackets are no markup, and nothing in a name steers it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from supernet.printable import printable


class PlainConsole(Console):
    """Rich's, which passes characters such as ESC through; its own colours and moves of the cursor stay."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
