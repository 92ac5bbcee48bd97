"""Formats that a bundle had and the one made of it has not: they were of other weights, so none is taken over."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from supernet.bundles.bundle_card import CARD, Card, FormatKeys, read_card
from supernet.bundles.ports import OPSET
from supernet.errors import InputError

BUNDLE = "BUNDLE"
"""What stands for the bundle's folder in a command on its card."""


def formats_left(parent: Card | None, folder: Path) -> dict[str, str]:
    """Formats of a bundle that is updated or trained on, and of one that is replaced in ``folder``: what makes each again."""
    found: dict[str, str] = {}
    for card in (card_there(folder), parent):
        if card is not None:
            side = card.preprocessing.resolution
            found |= {
                name: convert_command(name, about, side) for name, about in (card.formats or {}).items()
            }
    return found


def card_there(folder: Path) -> Card | None:
    """The card of a bundle that will be replaced; None where there is none that can be read."""
    if (folder / CARD).is_file():
        with suppress(InputError):
            return read_card(folder)
    return None


def convert_command(name: str, about: FormatKeys, side: int) -> str:
    """What a person types for a format as it was; ``side`` is the one that is taken where none is given."""
    options = {
        "--batch": about.batch if about.batch != "dynamic" else None,
        "--image-size": about.image_size if about.image_size != side else None,
        "--opset": about.opset if about.opset != OPSET else None,
        "--threads": about.threads if about.threads != 1 else None,
    }
    given = " ".join(f"{option} {value}" for option, value in options.items() if value is not None)
    return f"oncefit convert {BUNDLE} --format {name} {given}".strip()


def without_made(gone: Mapping[str, str] | None, made: Iterable[str]) -> dict[str, str] | None:
    """Those that are still gone, None where none is."""
    return {name: how for name, how in (gone or {}).items() if name not in set(made)} or None


def told_gone(card: Card, folder: Path) -> str | None:
    """A sentence with the commands to type."""
    if not card.formats_gone:
        return None
    names, one = ", ".join(card.formats_gone), len(card.formats_gone) == 1
    place = shlex.quote(str(folder))
    commands = "; ".join(how.replace(BUNDLE, place) for how in card.formats_gone.values())
    return (
        f"{folder} has no {names}, which the bundle before it had: {'that was' if one else 'those were'} of other weights. "
        f"To make {'it' if one else 'them'} again: {commands}"
    )
