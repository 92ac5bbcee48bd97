"""``oncefit doctor``: what is installed here and works."""

from __future__ import annotations

from search.cli.options import Json


def doctor(as_json: Json = False) -> None:
    """Try what is installed: runtimes, converters, extras.

    Each format is written of a small network, read back by its own runtime and compared with torch, in a
    process of its own; further extras are imported. What is missing is said with what to type.
    """
    from search.cli import terminal
    from search.reports import doctor as found_by

    found = found_by.diagnose()
    if as_json:
        terminal.print_json(found)
        return
    terminal.show_titled(
        found_by.doctor_title(found), found_by.doctor_table(found), found_by.doctor_notes(found)
    )
