"""Kits: a ZIP that measures a device which is elsewhere, and the device that its result becomes."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oncefit.devices import KeptDevice, keep_device, new_file_of
from oncefit.supernets import Supernet, as_supernet
from supernet import documents
from supernet.bounds import MOST_SEED, check_between
from supernet.messages import Say, say

if TYPE_CHECKING:
    from cost_models.kit.documents import Manifest
    from search.reports.words import Lines

FEWEST, MOST_SUBNETS = 8, 1000
"""Subnets of a kit."""


@dataclass(frozen=True, repr=False)
class Kit:
    """A kit in a ZIP file; ``manifest`` says which subnets it measures, and how."""

    file: Path
    manifest: Manifest

    @property
    def megabytes(self) -> float:
        """Of the ZIP file."""
        return self.file.stat().st_size / 1e6

    def to_dict(self) -> dict[str, Any]:
        """What it holds, as ``oncefit profile kit --json`` prints it."""
        made = self.manifest
        return {
            "kit": str(self.file), "name": made.name, "seal": made.seal, "bytes": self.file.stat().st_size,
            "subnets": len(made.models), "supernet": made.supernet, "fingerprint": made.fingerprint,
            "settings": made.settings.model_dump(mode="json"),
        }  # fmt: skip

    def sections(self) -> list[Lines]:
        """The same for people: names and figures, as the command shows them."""
        made, there = self.manifest, self.manifest.weights.bytes / 1e6
        return [
            [
                ("supernet", made.supernet),
                ("subnets to measure", str(len(made.models))),
                ("threads, batch", f"{made.settings.threads}, {made.settings.batch}"),
                ("size", f"{self.megabytes:.2f} MB; there it makes {there:.0f} MB of weights"),
            ]
        ]

    def __repr__(self) -> str:
        made = self.manifest
        return f"Kit({made.name!r}: {len(made.models)} subnets of {made.supernet}, {str(self.file)!r})"

    def _repr_html_(self) -> str:
        from search.reports.words import html_table

        return f"<b>{escape(self.manifest.name)}</b>, a kit in {escape(str(self.file))}{html_table(self.sections())}"


def make_kit(
    name: str,
    supernet: str | Path | Supernet = "fmnist_mbv3",
    *,
    samples: int = 30,
    threads: int = 1,
    batch: int = 1,
    seed: int = 0,
    out: str | Path = "kit.zip",
    say: Say = say,
) -> Kit:
    """Write a kit that measures a device which is elsewhere (docs/profiling-elsewhere.md), to be called ``name``.

    Raises InputError for a name that no device may have, and where the file cannot be written.
    """
    from cost_models.devices import check_name
    from cost_models.kit import making
    from cost_models.measurements import Setup

    check_name(name)
    check_between(seed, 0, MOST_SEED, "--seed")
    check_between(samples, FEWEST, MOST_SUBNETS, "--samples")
    documents.check({"threads": threads, "batch": batch}, Setup, f"oncefit profile kit {name}")
    file, net = Path(out), as_supernet(supernet).described
    return Kit(file, making.make_kit(name, net, samples, threads, batch, seed, file, say))


def import_kit_result(
    result: str | Path,
    *,
    name: str | None = None,
    supernet: str | Path | Supernet | None = None,
    kit: str | Path | None = None,
    out: str | Path | None = None,
    replace: bool = False,
    say: Say = say,
) -> KeptDevice:
    """The device that a kit measured; ``result`` is what its ``measure.py`` wrote.

    Name and supernet are as the kit says where they are not given. Raises InputError for a result that is damaged,
    partial, changed, or of another supernet or ``kit``. ``say`` is told what makes its times doubtful.
    """
    from cost_models.kit.result import device_of, doubts, read_result

    path = Path(result)
    measured = read_result(path, Path(kit) if kit is not None else None)
    called = name if name is not None else measured.manifest.name
    file = new_file_of(called, out, replace)
    net = as_supernet(supernet if supernet is not None else measured.manifest.supernet).described
    made = device_of(measured, net, called, path)
    return keep_device(made, net, file, warnings=doubts(made), say=say)
