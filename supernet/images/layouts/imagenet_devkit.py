"""The labels of ImageNet's validation images as its development kit has them.

``ILSVRC2012_validation_ground_truth.txt`` has one number a line for the images in sorted order. These numbers are the
kit's own, from 1, and in another order than the outputs of every known network: ``meta.mat`` says which class each is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from supernet.errors import InputError

GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
META = "meta.mat"
GROUND_TRUTH_FOLDERS = ("ILSVRC2012_devkit_t12/data", "devkit/data")
"""Where an archive of the kit is unpacked to, from the folder of the data set."""


def wnids_of(listing: Path, numbers: Sequence[str]) -> list[str]:
    """The class ``n01440764`` of each number, by the ``meta.mat`` beside the list. Raises InputError without it."""
    meta = listing.with_name(META)
    if not meta.is_file():
        raise InputError(
            f"{listing} has numbers of ImageNet's development kit, which are in another order than the outputs of networks, "
            f"and there is no {META} beside it that says which classes they are; put the kit's data/{META} there, or give rows of "
            "file,label with the names of the classes (n01440764)"
        )
    known = read_meta(meta)
    for line, number in enumerate(numbers, 1):
        if not number.isdecimal() or int(number) not in known:
            raise InputError(
                f"{listing}, line {line}: {number!r} is no number of a class in {meta}, which has {len(known):,} of them"
            )
    return [known[int(number)] for number in numbers]


def read_meta(meta: Path) -> Mapping[int, str]:
    """Classes by their number, without those that are groups of others. Nothing in the file is run."""
    from scipy.io import loadmat

    try:
        rows = loadmat(meta, squeeze_me=True)["synsets"]
        return {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in rows if int(row["num_children"]) == 0}
    except Exception as error:  # whatever a parser says of bytes that it does not understand
        raise InputError(f"{meta} is not the {META} of ImageNet's development kit: {error}") from error
