"""Which report images a run's subnets get right: kept beside their accuracies, so that comparing evaluates nothing.

A bit an image and subnet, packed, as an attribute of the study, ``report_hits:ARCH``: it is written whole or not at all,
and lies wherever the study does. What it is of is what the study is of: the sha256 of images and weights and the
network's fingerprint, which are checked when a study is opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from search.runs import study as studies
from search.runs.racing import Bits, packed_bits
from search.runs.results import check_images
from search.runs.run import Run
from supernet.accuracy import Accuracy
from supernet.errors import InputError
from supernet.messages import Say

if TYPE_CHECKING:
    import optuna

    from supernet.archs.arch import Arch


@dataclass(frozen=True)
class ReportHits:
    """Bits by arch id of the subnets that they are kept of, each of ``images`` images that can be decoded."""

    images: int
    of: Mapping[str, Bits]


def kept_hits(study: optuna.Study) -> dict[str, str]:
    """Packed bits by arch id."""
    prefix = f"{studies.REPORT_HITS}:"
    return {k.removeprefix(prefix): v for k, v in study.user_attrs.items() if k.startswith(prefix)}


def report_hits(run: Run, study: optuna.Study) -> ReportHits:
    """What is kept; nothing of a run of an earlier version. Raises InputError where bits and accuracies fall apart."""
    accuracies, packed = studies.saved(study, studies.REPORT), kept_hits(study)
    found = {name: packed_bits(packed[name]) for name in accuracies if name in packed}
    for name, bits in found.items():
        check_bits(run, name, bits, accuracies[name])
    return ReportHits(max((accuracies[name].images for name in found), default=0), found)


def check_bits(run: Run, arch_id: str, bits: Bits, accuracy: Accuracy) -> None:
    """Raises InputError where as many images are not right as the accuracy says."""
    share = float(getattr(accuracy, run.accuracy_name))
    told = round(share * accuracy.images)
    if int(bits.sum()) != told or len(bits) < accuracy.images:
        raise InputError(
            f"{run.folder} keeps {int(bits.sum()):,} right images of {arch_id}, but its accuracy is of {told:,}: its "
            "study was changed; search again in another folder"
        )


def measure_hits(run: Run, study: optuna.Study, wanted: Sequence[Arch], say: Say) -> None:
    """Measure on the report split those of ``wanted`` whose bits are not kept, by one process of the run at a time.

    Raises InputError where the images that are here are not those of the run.
    """
    kept = kept_hits(study)
    if all(arch.id in kept for arch in wanted):
        return
    check_images(run)
    with studies.in_turn(run.folder, lambda: None):
        kept, before = kept_hits(study), studies.saved(study, studies.REPORT)
        missing = [arch for arch in dict.fromkeys(wanted) if arch.id not in kept]
        for i, arch in enumerate(missing, 1):
            say(f"{run.folder}: measuring on the report split: {i} of {len(missing)}")
            found, hits = run.accuracy.with_hits(arch, run.accuracy_name, studies.REPORT)
            studies.save(study, arch, found, hits)
            known = before.get(arch.id)
            if known is not None and not np.isclose(known.top1, found.top1, rtol=0, atol=1e-9):
                say(
                    f"top-1 of {arch.id} on the report split is {100 * found.top1:.2f} %, and was "
                    f"{100 * known.top1:.2f} % with other libraries or hardware; {run.folder} keeps what was measured now"
                )
