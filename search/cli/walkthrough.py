"""``oncefit demo``: the main job from end to end on the embedded supernet."""

from __future__ import annotations

import re
import resource
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import oncefit
from cost_models.host import HOST, cached_path
from cost_models.measuring import said
from cost_models.profiling import BUSY_PERCENT, LatencyMeasurement, profile
from cost_models.variants import in_region
from search.reports import report, words
from search.reports.comparing import compare as comparing
from search.reports.comparing.verdict_words import significance_advice
from search.reports.on_device import line_of_timed, verdict, verified_dict
from search.reports.report import range_figures
from search.reports.units import heading, scaled
from search.runs.config import NO_PREDICTOR, RunConfig
from search.runs.opening import start
from search.runs.results import Result, conclude
from search.runs.run import Progress, Run
from search.runs.study import Candidate, exclusive
from search.runs.trials import search
from search.runs.verifying import verify_run
from supernet.archs.arch import Arch
from supernet.atomic import check_writable

if TYPE_CHECKING:
    from rich.table import Table

SUPERNET = "fmnist_mbv3"
BUDGET_SHARE = 0.3
"""The demo's latency budget lies this far up the reachable range."""
TIMED = 5
"""So many of the most accurate candidates are timed, to find one that holds its budget."""
TAKEN_UP = "taken up from an earlier run"


@dataclass(frozen=True)
class WalkthroughStage:
    """A stage of the demo; ``peak_memory_mib`` is the process's largest resident set up to its end."""

    name: str
    seconds: float
    peak_memory_mib: int
    note: str


@dataclass
class Stages:
    """The stages of the demo that have ended."""

    ended: list[WalkthroughStage] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[list[str]]:
        """Yields the notes of the stage, to be added to."""
        began, notes = time.monotonic(), list[str]()
        yield notes
        seconds = round(time.monotonic() - began, 1)
        self.ended.append(WalkthroughStage(name, seconds, peak_memory_mib(), ", ".join(notes)))

    def figures(self) -> dict[str, Any]:
        return {
            "stages": [asdict(stage) for stage in self.ended],
            "seconds": round(sum(stage.seconds for stage in self.ended), 1),
            "peak_memory_mib": self.ended[-1].peak_memory_mib,
        }


def peak_memory_mib() -> int:
    """This process's largest resident set so far.

    Linux starts ``ru_maxrss`` of a new process at its parent's, so a demo that a large process
    launches would report that one's memory; VmHWM counts the process's own.
    """
    try:
        [peak] = re.findall(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        return int(peak) // 1024
    except (OSError, ValueError):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20


def run_demo(
    out: Path, trials: int, terminal: ModuleType, as_json: bool, region: str | None = None
) -> dict[str, Any]:
    """Run every step, tell what it does and why; returns the figures that it printed."""
    check_writable(out)
    with exclusive(out):
        return told_steps(out, trials, terminal, as_json, region)


def told_steps(
    out: Path, trials: int, terminal: ModuleType, as_json: bool, region: str | None
) -> dict[str, Any]:
    say: Callable[[str], None] = terminal.say
    supernet, where = oncefit.open_supernet(SUPERNET), in_region(HOST, region)
    stages = Stages()
    say(
        filled(
            f"oncefit demo. {SUPERNET} is one network trained once on Fashion-MNIST; "
            f"{supernet.space.size / 1e9:.1f} billion smaller networks lie inside it and share its weights. "
            "We look for the one that fits this machine."
        )
    )

    def step(number: int, text: str) -> None:
        say("\n" + filled(text, f"{number}/7  "))

    step(
        1,
        "How fast is this machine? Some subnets are timed with ONNX Runtime (one thread, batch 1), and a "
        "latency model is fitted, so that millions of others need no timing.",
    )
    with stages.stage("fit latency") as notes:
        kept = cached_path(supernet.described).is_file()
        device = oncefit.device(HOST, supernet=supernet, region=region, say=lambda text: say(f"     {text}"))
        notes += [TAKEN_UP] if kept else []

    budget = latency_budget(out, supernet.described, device)
    step(
        2,
        f"Search the most accurate subnet within {budget:g} ms. Optuna proposes, each candidate is cut out of "
        "the supernet and measured on 5,000 validation images. The budget holds for the predicted latency.",
    )
    config = RunConfig(
        supernet=SUPERNET, device=where, budgets={"latency_ms": budget}, trials=trials, predictor=NO_PREDICTOR,
        verify_on_device=TIMED,
    )  # fmt: skip
    with stages.stage("search within a budget") as notes:
        fast = searched(out / "latency", config, terminal, notes)

    step(3, "Search a front: all the best trade-offs of accuracy against multiply-adds (MACs).")
    config = RunConfig(
        supernet=SUPERNET, device=where, objectives=("top1", "macs"), trials=trials, predictor=NO_PREDICTOR
    )
    with stages.stage("search a front") as notes:
        front = searched(out / "macs", config, terminal, notes)

    step(4, "Measure what was found on 10,000 report images that no search has seen.")
    with stages.stage("report split"):
        results = [conclude(run, lambda _: None) for run in (fast, front)]

    step(
        5,
        f"Are they as fast as predicted? The {TIMED} most accurate candidates are timed on this machine, with ONNX "
        f"Runtime as before; the winner is the most accurate that holds {budget:g} ms when measured.",
    )
    with stages.stage("time the winner"):
        verify_run(fast, said(lambda _: None))
        results[0] = conclude(fast, lambda _: None)
        verified = results[0].verified
        assert verified is not None
        for one in verified.timed:
            say(f"     {line_of_timed(one, budget, 'top1')}")
        runs = [oncefit.Run(result, lambda _: None) for result in results]
        files = [path for run in runs for path in run.write()]

    step(
        6,
        "Export the winner as a bundle (weights, ONNX, card), read it back and verify it, and set it beside the "
        "largest and the smallest subnet.",
    )
    with stages.stage("export and verify"):
        bundle = runs[0].export(runs[0].chosen, out / "bundle")
        agreement = bundle.verify()
        rows = side_by_side(results[0], out)

    step(7, "Compare the two runs.\n")
    with stages.stage("compare"):
        comparison = oncefit.compare(runs)
        files += comparison.write(out / "comparison")

    figures = {
        "budget": {"latency_ms": budget},
        "winner": {"arch_id": runs[0].chosen.id, **verified_dict(verified, "top1")},
        "subnets": rows,
        "verified": agreement,
        "comparison": comparing.comparison_dict(comparison.found),
        **stages.figures(),
        "files": [str(path) for path in [*files, out / "bundle"]],
    }
    tell_stage(figures, results, comparison.found, terminal, as_json)
    return figures


def filled(text: str, indent: str = "") -> str:
    """Lines of at most eighty characters; all but the first stand below the indent's end."""
    return textwrap.fill(text, 80, initial_indent=indent, subsequent_indent=" " * len(indent))


def latency_budget(out: Path, supernet: Any, device: Any) -> float:
    """Between the fastest and the slowest subnet; a run that was begun keeps its budget."""
    from cost_models.protocol import Target
    from cost_models.registry import build
    from search.runs.run import CONFIG
    from supernet import documents

    if (out / "latency" / CONFIG).exists():
        begun = documents.read(out / "latency" / CONFIG, RunConfig).budgets
        if "latency_ms" in begun:
            return begun["latency_ms"]
    reach = build("latency_ms", Target(supernet, device)).reach()
    return float(f"{reach.minimum + BUDGET_SHARE * (reach.maximum - reach.minimum):.2g}")


def searched(folder: Path, config: RunConfig, terminal: ModuleType, notes: list[str]) -> Run:
    """The run of a folder, searched to its end; a note tells what an earlier process had measured."""
    # not oncefit.search, which also measures what it chose on the report split: a stage of its own here, with its time
    run = start(folder, config, None, lambda text: terminal.say(filled(text, "     ")))
    with terminal.search_progress(run) as progress:

        def show(now: Progress) -> None:
            if now.proposals == 0 < now.trials:
                notes.append(
                    TAKEN_UP if now.trials >= now.of else f"{now.trials} of {now.of} from an earlier run"
                )
            progress(now)

        search(run, show)
    return run


def onnx_bytes(run: Run, arch: Arch, folder: Path) -> int:
    """The size of the ONNX model of a subnet with its weights."""
    from supernet.bundles.onnx_export import export_onnx

    channels = run.supernet.layers(arch)[0].in_channels
    with tempfile.TemporaryDirectory(dir=folder) as made:
        model = Path(made) / "model.onnx"
        export_onnx(run.accuracy.subnet(arch), channels, arch.resolution, model)
        return model.stat().st_size


def side_by_side(result: Result, out: Path) -> dict[str, Any]:
    """The winner, the largest and the smallest subnet: all measured here, costs predicted."""
    from supernet.evaluating.evaluation import evaluate

    run, winner = result.run, result.chosen
    space = run.supernet.space
    ends = {"largest": space.largest(), "smallest": space.smallest()}
    timed = dict(zip(ends, profile(run.supernet, list(ends.values()), lambda _: None), strict=True))
    rows: dict[str, Any] = {}
    for name, arch in {"winner": winner.arch, **ends}.items():
        latency = timed.get(name) or report.measured_latency(result, winner)
        assert latency is not None
        final = result.reports.get(arch.id)
        if final is None:
            final = evaluate(run.accuracy.subnet(arch), arch, run.accuracy.data, "report")
        validation = winner.validation if name == "winner" else run.accuracy(arch, "validation")
        assert validation is not None
        costs = {cost: model(arch) for cost, model in run.costs.items()}
        rows[name] = {
            "arch_id": arch.id,
            "predicted": costs | range_figures(run.ranges(Candidate(-1, arch, costs))),
            "measured": {
                "report": asdict(final),
                "validation": asdict(validation),
                "latency": asdict(latency),
            },
            "onnx_bytes": onnx_bytes(run, arch, out),
        }
    if luck := report.corrected_figures(result, winner):
        rows["winner"]["validation_corrected_for_choice"] = luck
    return rows


def beside(subnets: dict[str, Any], budget_ms: float) -> Table:
    """The winner beside the ends of the space, one figure a line; the budget is the winner's."""
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
        return lambda row: "{:.2f}-{:.2f}".format(
            *(100 * row["measured"]["report"][f"{name}_{end}"] for end in ("low", "high"))
        )

    def latency(row: dict[str, Any]) -> str:
        found = LatencyMeasurement(**row["measured"]["latency"])
        return f"{found.median_ms:.3f}" + (" (busy)" if found.busy else "")

    def cost(name: str) -> Callable[[dict[str, Any]], str]:
        return lambda row: f"{scaled(name, row['predicted'][name]):.3g}"

    def co2e_range(row: dict[str, Any]) -> str:
        _, ranges = words.split_ranges(row["predicted"])
        return words.briefly("co2e_mg", ranges["co2e_mg"]) if "co2e_mg" in ranges else "-"

    line("arch", lambda row: str(row["arch_id"]))
    for name in ("top1", "top5"):
        line(f"{name.replace('top', 'top-')} (%), measured", accuracy(name))
        line("   95 % interval", interval(name))
    line("top-1 (%), validation", lambda row: f"{100 * row['measured']['validation']['top1']:.2f}")
    line(
        "   corrected for the choice",
        lambda row: (
            f"{100 * luck['top1']:.2f}" if (luck := row.get("validation_corrected_for_choice")) else "-"
        ),
    )
    table.add_row("latency (ms), budget", f"{budget_ms:.3f}")
    line("latency (ms), measured", latency)
    line(
        "   quietest to slowest round",
        lambda row: "{low_ms:.3f}-{high_ms:.3f}".format(**row["measured"]["latency"]),
    )
    line("latency (ms), predicted", lambda row: f"{row['predicted']['latency_ms']:.3f}")
    line(heading("macs"), cost("macs"))
    line(heading("params"), cost("params"))
    line(heading("co2e_mg") + "/inference, estimated", cost("co2e_mg"))
    line("   range", co2e_range)
    line("model.onnx (KiB)", lambda row: f"{row['onnx_bytes'] / 1024:.0f}")
    return table


def tell_stage(
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
    for told in significance_advice(
        comparison.significance, [str(one.run.folder) for one in comparison.runs]
    ):
        say("\n" + filled(told))
    say("")
    con.print(beside(figures["subnets"], figures["budget"]["latency_ms"]))
    say(filled(told_verdict(results[0], figures["subnets"])) + "\n")
    if luck := of_choice(figures["subnets"]["winner"]):
        say(filled(luck) + "\n")
    say(filled(beside_largest(figures["subnets"])) + "\n")
    con.print(stage_table(figures))
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


def beside_largest(subnets: dict[str, Any]) -> str:
    """The winner's speed and accuracy beside the largest subnet's; a busy machine gives no ratio."""
    winner, largest = (subnets[name]["measured"] for name in ("winner", "largest"))
    gap = 100 * (largest["report"]["top1"] - winner["report"]["top1"])
    accuracy = f"{abs(gap):.2f} points {'less' if gap > 0 else 'more'} accurate"
    times = [LatencyMeasurement(**measured["latency"]) for measured in (largest, winner)]
    if any(found.busy for found in times):
        return (
            f"It is {accuracy} than the largest subnet; no training was needed to get it. How much faster it is "
            "cannot be said: the machine was busy while they were timed."
        )
    speed = times[0].median_ms / times[1].median_ms
    return (
        f"It is {speed:.1f} times as fast as the largest subnet and {accuracy}; "
        "no training was needed to get it."
    )


def told_verdict(result: Result, subnets: dict[str, Any]) -> str:
    """Whether the winner holds its budget when it is measured, and what is to be done where it does not."""
    verified = result.verified
    assert verified is not None
    told = verdict(verified, "this machine")
    if verified.holds is None:
        return f"{told} Run the demo again, with another --out, when the machine is quiet."
    return told if verified.holds else f"{told} {cause(subnets)}"


def of_choice(winner: dict[str, Any]) -> str:
    """How accurate the winner is on the images that it was chosen by, and without what that choice added."""
    luck, measured = winner.get("validation_corrected_for_choice"), winner["measured"]
    if luck is None:
        return ""
    validation, report_split = measured["validation"], measured["report"]
    return (
        f"It was chosen among {luck['among']} candidates by {validation['images']:,} validation images, so its "
        f"{100 * validation['top1']:.2f} % there is partly luck: corrected for having been chosen, "
        f"{100 * luck['top1']:.2f} % [{100 * luck['top1_low']:.2f}, {100 * luck['top1_high']:.2f}]. The "
        f"{report_split['images']:,} report images, by which nothing was chosen, give {100 * report_split['top1']:.2f} %."
    )


def cause(subnets: dict[str, Any]) -> str:
    """Why subnets that are within their budget by prediction may be over it on a quiet machine."""
    if all(slower(subnets[name]) for name in ("largest", "smallest")):
        return (
            "The largest and the smallest subnet are slower than predicted too: the machine is slower than when it "
            "was measured. Run the demo again later, or with another ONCEFIT_CACHE and --out to measure it anew."
        )
    return "The latency fit is off for them: with another ONCEFIT_CACHE and --out the demo fits it anew."


def slower(subnet: dict[str, Any]) -> bool:
    """Whether even the quietest round took longer than predicted, by more than a quiet machine's spread."""
    ratio = subnet["measured"]["latency"]["low_ms"] / subnet["predicted"]["latency_ms"]
    return bool(100 * (ratio - 1) > BUSY_PERCENT)


def stage_table(figures: dict[str, Any]) -> Table:
    """Seconds of each stage, and the peak memory up to its end."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title_justify="left", show_footer=True,
                  title="Stages; peak memory is up to its end")  # fmt: skip
    table.add_column("", footer="total")
    table.add_column("seconds", justify="right", footer=f"{figures['seconds']:g}")
    table.add_column("MiB", justify="right", footer=str(figures["peak_memory_mib"]))
    table.add_column("")
    for stage in figures["stages"]:
        table.add_row(stage["name"], f"{stage['seconds']:g}", str(stage["peak_memory_mib"]), stage["note"])
    return table
