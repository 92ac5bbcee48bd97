"""What is on disk, and the command that makes it again."""

from __future__ import annotations

import shlex
from pathlib import Path

from search.reports.page.blocks import (
    Code,
    Grid,
    PageBlock,
    Section,
    Words,
)
from search.runs.config import to_yaml
from search.runs.own import is_given
from search.runs.run import CONFIG, DEVICE, Run
from supernet.errors import InputError


def bundles_of(run: Run) -> Section:
    title = "Bundles"
    blocks: list[PageBlock] = []
    for path in sorted(run.folder.glob("bundles/*/card.json")):
        from supernet.bundles.bundle_card import (
            CARD,
            read_card,
        )  # imports torch, which a run without bundles can do without

        try:
            card = read_card(path.parent)
        except InputError as error:
            blocks.append(Words([f"{path.parent} is not as it was written: {error}."], loud=True))
            continue
        rows = [[name, kib_of(path.parent / name), sha256] for name, sha256 in card.files.items()]
        rows.append([CARD, kib_of(path), card.card_sha256])
        calibrated = "" if card.calibrated else " NOT CALIBRATED."
        note = f"Written {card.created}.{calibrated} {shlex.join(['oncefit', 'verify', str(path.parent)])} compares the files with these hashes."
        blocks.append(
            Grid(f"{path.parent}: arch {card.arch_id}", ["file", "size (KiB)", "sha256"], rows, note)
        )
    if not blocks:
        blocks.append(
            Words(
                [
                    f"None was exported yet; {shlex.join(['oncefit', 'export', str(run.folder)])} writes the chosen subnet."
                ]
            )
        )
    return Section("bundles", title, blocks)


def kib_of(path: Path) -> str:
    return f"{path.stat().st_size / 1024:,.1f}" if path.is_file() else "-: not there"


def again(run: Run) -> Section:
    """The command that makes the same search anew, and its whole config."""
    folder = run.folder
    command = ["oncefit", "search", str(folder / CONFIG), "--out", f"{folder}-again"]
    if run.device is not None:
        command += ["--device", str(folder / DEVICE)]
    given = [name for name, value in run.config.model_dump(mode="json").items() if has_given(value)]
    blocks: list[PageBlock] = []
    if given:
        blocks.append(
            Words(
                [
                    f"This run was searched from Python with objects of its own ({', '.join(given)}); the same call of oncefit.search makes it anew."
                ]
            )
        )
    else:
        device = ", with the device as it was measured" if run.device is not None else ""
        blocks.append(Code(f"The same search anew{device}", shlex.join(command)))
    blocks.append(Code(str(folder / CONFIG), to_yaml(run.config), folded=True))
    return Section("again", "Do it again", blocks)


def has_given(value: object) -> bool:
    """Whether a key of a config, or a value in it, names an object that was given in Python."""
    if isinstance(value, dict):
        return any(map(has_given, value.values()))
    return isinstance(value, str) and is_given(value)
