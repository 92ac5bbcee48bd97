"""``oncefit demo``: the main job from end to end on the embedded supernet."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cost_models.devices import open_device
from search import compare as comparing
from search import report
from search.config import RunConfig
from search.export import export_candidate, verify_summary
from search.run import Result, Run, conclude, search, start
from search.study import exclusive
from search.units import heading, scaled
from supernet.arch import Arch
from supernet.atomic import check_writable
from supernet.catalog import open_supernet

if TYPE_CHECKING:
    from rich.table import Table

SUPERNET = "fmnist_mbv3"
BUDGET_SHARE = 0.3
"""The demo's latency budget lies this far up the reachable range."""


@dataclass
class Stages:
    """Seconds of each stage of the demo."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 1)


def run_demo(out: Path, trials: int, terminal: ModuleType, as_json: bool) -> dict[str, Any]:
    """Run every step, tell what it does and why; returns the figures that it printed."""
    say: Callable[[str], None] = terminal.say
    check_writable(out)
    supernet = open_supernet(SUPERNET)
    stages = Stages()
    say(
        f"oncefit demo. {SUPERNET} is one network trained once on Fashion-MNIST; {supernet.space.size:.2g} "
        "smaller networks\nlie inside it and share its weights. We look for the one that fits this machine.\n"
    )
    say("1/6  How fast is this machine? Some subnets are timed with ONNX Runtime (one thread, batch 1),")
    say("     and a latency model is fitted, so that millions of others need no timing.")
    with stages.stage("fit latency"):
        device = open_device("host", supernet, lambda text: say(f"     {text}"))

    budget = latency_budget(out, supernet, device)
    say(
        f"\n2/6  Search the most accurate subnet within {budget:g} ms. Optuna proposes, each candidate is cut out"
    )
    say(
        "     of the supernet and measured on 5,000 validation images. The budget holds for the predicted latency."
    )
    config = RunConfig(supernet=SUPERNET, device="host", budgets={"latency_ms": budget}, trials=trials)
    with stages.stage("search within a budget"):
        fast = searched(out / "latency", config, terminal)

    say("\n3/6  Search a front: all the best trade-offs of accuracy against multiply-adds (MACs).")
    config = RunConfig(supernet=SUPERNET, device="host", objectives=("top1", "macs"), trials=trials)
    with stages.stage("search a front"):
        front = searched(out / "macs", config, terminal)

    say("\n4/6  Measure what was found on 10,000 report images that no search has seen.")
    with stages.stage("report split"):
        results = [conclude(run, lambda _: None) for run in (fast, front)]
        files = [path for result in results for path in report.write(result)]

    say("\n5/6  Export the winner as a bundle (weights, ONNX, card), read it back and verify it,")
    say("     and set it beside the largest and the smallest subnet.")
    with stages.stage("export and verify"):
        winner = results[0]
        bundle = out / "bundle"
        export_candidate(winner, winner.chosen, bundle)
        verified = verify_summary(bundle)
        rows = side_by_side(winner, out)

    say("\n6/6  Compare the two runs.\n")
    with stages.stage("compare"):
        comparison = comparing.compare([fast.folder, front.folder], None, [])
        files += comparing.write(comparison, out / "comparison")

    figures = {
        "budget": {"latency_ms": budget},
        "subnets": rows,
        "verified": verified,
        "comparison": comparing.as_dict(comparison),
        "seconds": {**stages.seconds, "total": round(sum(stages.seconds.values()), 1)},
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "files": [str(path) for path in [*files, bundle]],
    }
    tell(figures, results, comparison, terminal, as_json)
    return figures


def latency_budget(out: Path, supernet: Any, device: Any) -> float:
    """Between the fastest and the slowest subnet; a run that was begun keeps its budget."""
    from cost_models.protocol import Target
    from cost_models.registry import build
    from search.run import CONFIG
    from supernet import documents

    if (out / "latency" / CONFIG).exists():
        begun = documents.read(out / "latency" / CONFIG, RunConfig).budgets
        if "latency_ms" in begun:
            return begun["latency_ms"]
    reach = build("latency_ms", Target(supernet, device)).reach()
    return float(f"{reach.minimum + BUDGET_SHARE * (reach.maximum - reach.minimum):.2g}")


def searched(folder: Path, config: RunConfig, terminal: ModuleType) -> Run:
    run = start(folder, config, None, terminal.say)
    with exclusive(folder), terminal.search_progress(run) as progress:
        search(run, progress)
    return run


def side_by_side(result: Result, out: Path) -> dict[str, Any]:
    """The winner, the largest and the smallest subnet: all measured here, costs predicted."""
    import tempfile

    from cost_models.profiling import measure_latency_ms
    from supernet.evaluation import evaluate
    from supernet.onnx_export import export_onnx

    run = result.run
    measuring = run.accuracy()
    space = run.supernet.space
    rows = {}
    archs: dict[str, Arch] = {
        "winner": result.chosen.arch,
        "largest": space.largest(),
        "smallest": space.smallest(),
    }
    for name, arch in archs.items():
        subnet = measuring.subnet(arch)
        with tempfile.TemporaryDirectory(dir=out) as folder:
            model = Path(folder) / "model.onnx"
            export_onnx(subnet, 1, arch.resolution, model)
            latency = measure_latency_ms(model, 1, arch.resolution)
            size = model.stat().st_size
        rows[name] = {
            "arch_id": arch.id,
            "predicted": {cost: model_(arch) for cost, model_ in run.costs.items()},
            "measured": {
                "report": asdict(evaluate(subnet, arch, measuring.data, "report")),
                "latency": asdict(latency),
            },
            "onnx_bytes": size,
        }
    return rows


def beside(subnets: dict[str, Any]) -> Table:
    """The winner beside the ends of the space, one figure a line."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title="The winner beside the ends of the space", title_justify="left")
    table.add_column("")
    for name in subnets:
        table.add_column(name, justify="right")

    def line(label: str, of: Callable[[dict[str, Any]], str]) -> None:
        table.add_row(label, *(of(row) for row in subnets.values()))

    def accuracy(name: str) -> Callable[[dict[str, Any]], str]:
        return lambda row: f"{100 * row['measured']['report'][name]:.2f}"

    def interval(name: str) -> Callable[[dict[str, Any]], str]:
        return lambda row: "{:.2f} to {:.2f}".format(
            *(100 * row["measured"]["report"][f"{name}_{end}"] for end in ("low", "high"))
        )

    def cost(name: str) -> Callable[[dict[str, Any]], str]:
        return lambda row: f"{scaled(name, row['predicted'][name]):.3g}"

    line("arch", lambda row: str(row["arch_id"]))
    for name in ("top1", "top5"):
        line(f"{name.replace('top', 'top-')} (%), measured", accuracy(name))
        line("   95 % interval", interval(name))
    line("latency (ms), measured", lambda row: f"{row['measured']['latency']['median_ms']:.3f}")
    line(
        "   quietest to slowest round",
        lambda row: "{low_ms:.3f} to {high_ms:.3f}".format(**row["measured"]["latency"]),
    )
    line("latency (ms), predicted", lambda row: f"{row['predicted']['latency_ms']:.3f}")
    line(heading("macs"), cost("macs"))
    line(heading("params"), cost("params"))
    line(heading("co2e_mg") + " per inference, estimated", cost("co2e_mg"))
    line("model.onnx (KiB)", lambda row: f"{row['onnx_bytes'] / 1024:.0f}")
    return table


def tell(
    figures: dict[str, Any],
    results: list[Result],
    comparison: comparing.Comparison,
    terminal: ModuleType,
    as_json: bool,
) -> None:
    """The final words: what was won, where it lies, what to type next."""
    say: Callable[[str], None] = terminal.say
    con = terminal.console(stderr=as_json)
    for table in comparing.tables(comparison):
        con.print(table)
    con.print(beside(figures["subnets"]))
    rows = figures["subnets"]
    gap = 100 * (rows["largest"]["measured"]["report"]["top1"] - rows["winner"]["measured"]["report"]["top1"])
    speed = (
        rows["largest"]["measured"]["latency"]["median_ms"]
        / rows["winner"]["measured"]["latency"]["median_ms"]
    )
    say(
        f"The winner is {speed:.1f} times as fast as the largest subnet and {abs(gap):.2f} points "
        f"{'less' if gap > 0 else 'more'} accurate; no training was needed to get it."
    )
    say("\nSeconds: " + ", ".join(f"{name} {value:g}" for name, value in figures["seconds"].items())
        + f"; peak memory {figures['peak_memory_mib']} MiB.")  # fmt: skip
    say("\nFiles:")
    for path in figures["files"]:
        say(f"  {path}")
    fast, front = (result.run.folder for result in results)
    prefix = ".venv/bin/oncefit" if Path(".venv/bin/oncefit").exists() else "oncefit"
    say("\nNext, type one of these:")
    for command, purpose in (
        (f"evaluate {fast.parent / 'bundle'}", "measure the bundle again; --images DIR for your own images"),
        ("search configs/searches/macs.yaml --budget macs=2e6", "another budget; --help shows what else"),
        (f"export {front} --pick knee", "the best compromise of the front as a bundle"),
    ):
        say(f"  {prefix} {command}\n      {purpose}")
