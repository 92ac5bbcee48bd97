"""Bounds of whole numbers, the same in documents and in options; beyond them is a slip of the pen."""

from supernet.errors import InputError

MOST = 1_000_000
"""Channels, pixels, trials, epochs and the like."""
MOST_SEED = 2**32 - 1
"""The largest that NumPy and scikit-learn take."""
MOST_LAYERS = 100
"""Blocks of a stage, stages of a network, pixels of a kernel's side."""


def check_between(given: int, least: int, most: int, option: str) -> None:
    """Raises InputError where an option is outside its bounds."""
    if not least <= given <= most:
        raise InputError(f"{option}: got {given}; {least} to {most:,} is possible")


def check_at_most(given: int, most: int, option: str) -> None:
    """Raises InputError where an option is beyond a bound."""
    if given > most:
        raise InputError(f"{option}: got {given}; at most {most} is possible")


FREE_RESOLUTIONS = (32, 1024)
"""Sides of images that OFA's supernets may be asked for: their maps are halved five times, and are at least a pixel."""
