"""One format, tried with a small network: ``python -m search.reports.probe_format NAME``, as ``oncefit doctor`` does."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

PROBED = "fmnist_mbv3"


def probe(name: str) -> str:
    """What was found of a format: the embedded supernet's smallest subnet is written, read back and compared with torch.

    Raises whatever its converter or its runtime does.
    """
    from supernet.bundles.bundle import write_bundle
    from supernet.families.catalog import open_supernet
    from supernet.formats.conversion import convert_bundle
    from supernet.formats.protocol import FormatRequest
    from supernet.formats.registry import export_format

    supernet, format = open_supernet(PROBED), export_format(name)
    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
        folder = Path(scratch) / "bundle"
        write_bundle(folder, supernet, supernet.load(), supernet.space.smallest(), None, {}, {})
        card = convert_bundle(folder, [format], FormatRequest(), None).card
    about = (card.formats or {})[name]
    if about.max_abs_difference is None:
        return f"written; {about.not_run}"
    told = f"a small network differs from torch by {about.max_abs_difference:.0e}"
    return f"{told}; {about.not_run}" if about.not_run else told


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"told": probe(sys.argv[1])}) + "\n")
