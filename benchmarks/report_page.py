"""How large a report's page is, what of it is the charting library, how long it takes, and how large other libraries' programs are.

    python benchmarks/report_page.py

The runs are predicted fronts of ofa_mbv3_w1.0 with so many candidates; images and weights are not needed. Seconds are of making and writing
a page of a run that is open. Libraries that are
not installed (vl-convert-python, bokeh) are left out.
"""

from __future__ import annotations

import base64
import gzip
import tempfile
import time
from importlib.metadata import PackageNotFoundError, files, version
from pathlib import Path

import oncefit
from search.reports.page.writing import packed_plotly, plotly_source

CANDIDATES = (30, 300)


def main() -> None:
    print("| program | bytes | gzip, base64 | package, installed |\n|---|---|---|---|")
    for name, package, source in libraries():
        packed = len(base64.b64encode(gzip.compress(source)))
        print(
            f"| {name} | {len(source):,} | {packed:,} | {version(package)}, {installed_mb(package):.0f} MB |"
        )
    print("\n| candidates | page, bytes | without Plotly | to make it, processor s |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        packed = len(packed_plotly())
        for count in CANDIDATES:
            run = searched(Path(folder) / str(count), count)
            begun = time.process_time()
            size = run.report().stat().st_size
            seconds = time.process_time() - begun
            print(
                f"| {len(run.result.candidates):,} | {size:,} | {size - packed:,} | {seconds:.1f} |",
                flush=True,
            )


def libraries() -> list[tuple[str, str, bytes]]:
    """Programs that draw charts in a browser, whole, with the packages that bring them, as far as these are installed."""
    found = [("plotly.js", "plotly", plotly_source().encode())]
    try:
        import vl_convert

        found.append(
            ("vega, vega-lite, vega-embed", "vl-convert-python", vl_convert.javascript_bundle().encode())
        )
    except ImportError:
        pass
    try:
        [path] = [one for one in files("bokeh") or [] if one.name == "bokeh.min.js"]
        found.append(("bokeh.js", "bokeh", path.read_binary()))
    except PackageNotFoundError:
        pass
    return found


def installed_mb(package: str) -> float:
    return sum(one.size or 0 for one in files(package) or []) / 1e6


def searched(folder: Path, candidates: int) -> oncefit.Run:
    """A front by the predictor that ships."""
    return oncefit.search(
        "ofa_mbv3_w1.0", out=folder, accuracy="predicted", predictor="ofa_mbv3_w1.0", objectives=["top1", "macs"],
        space={"resolution": [224]}, trials=candidates, say=lambda _: None,
    )  # fmt: skip


if __name__ == "__main__":
    main()
