"""The command line. Heavy packages are imported inside the commands that use them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from supernet.errors import InputError

app = typer.Typer(
    name="oncefit",
    help="One pretrained once-for-all supernet, fitted to every device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, nothing else there.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder to write to.")]
Budgets = Annotated[
    list[str] | None, typer.Option("--budget", help="Upper bound as cost=number; repeat for several.")
]


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """One pretrained once-for-all supernet, fitted to every device."""


@app.command()
def search(
    config: Annotated[Path, typer.Argument(help="YAML file, for example configs/searches/latency.yaml.")],
    device: Annotated[
        str | None, typer.Option(help="Device name or YAML file; host measures this machine.")
    ] = None,
    budget: Budgets = None,
    trials: Annotated[int | None, typer.Option(help="Candidates to measure.")] = None,
    sampler: Annotated[str | None, typer.Option(help="guided, nsga2, tpe or random.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random choice.")] = None,
    storage: Annotated[
        str | None, typer.Option(help="Optuna storage URL; SQLite in the run folder without.")
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Search a supernet for the best subnet, or a front, within hard budgets; the same command resumes."""
    from search import report, terminal
    from search.config import load_config
    from search.run import conclude, start
    from search.run import search as measure
    from search.study import exclusive

    overrides = {"device": device, "trials": trials, "sampler": sampler, "seed": seed}
    resolved = load_config(config, overrides, budget or [])
    folder = out or Path("runs") / run_name(config, budget or [], device, sampler, seed)
    run = start(folder, resolved, storage, terminal.say)
    with terminal.resumable(), exclusive(folder):
        with terminal.search_progress(run) as progress:
            measure(run, progress)
        result = conclude(run, terminal.say)
        files = report.write(result)
    if as_json:
        print_json(report.result_dict(result))
    else:
        terminal.show(report.table(result))
        terminal.show(report.legend(result))
    terminal.say_files(files)


def run_name(
    config: Path, budgets: Sequence[str], device: str | None, sampler: str | None, seed: int | None
) -> str:
    """The default folder: the config's name and what was given beside it."""
    parts = [config.stem, *budgets]
    parts += [Path(device).stem] if device else []
    parts += [sampler] if sampler else []
    parts += [f"seed{seed}"] if seed is not None else []
    return "-".join(part.replace("=", "").replace("/", "_") for part in parts)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    pick: Annotated[str, typer.Option(help="best, knee or an arch id of the front.")] = "best",
    storage: Annotated[
        str | None, typer.Option(help="Optuna storage URL of the run, if not in its folder.")
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Export a subnet of a run as a bundle: weights, ONNX, arch, card; verified before it is in place."""
    from search import terminal
    from search.export import export_bundle

    bundle, summary = export_bundle(run, pick, storage, out, terminal.say)
    if as_json:
        print_json(summary)
    else:
        terminal.show_pairs(f"bundle {bundle}", summary)


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    supernet: Annotated[
        str | None, typer.Option(help="YAML file of its supernet, if that does not ship with oncefit.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Folder of its data set, if that is not where it was.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a bundle: hashes, ONNX Runtime against torch on real images, top-1 of both on the report split."""
    from search import terminal
    from search.export import verify_summary

    summary = verify_summary(bundle, supernet, data)
    if as_json:
        print_json(summary)
    else:
        terminal.show_pairs(f"{bundle} is sound", summary)


@app.command()
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    images: Annotated[
        Path | None, typer.Option(help="Your own images, one folder a class; the report split without.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a bundle with ONNX Runtime: top-1, top-5, their 95 % intervals, and latency on this host."""
    from search import terminal
    from search.export import evaluate_summary

    summary = evaluate_summary(bundle, images)
    if as_json:
        print_json(summary)
    else:
        terminal.show_pairs(f"{bundle}, measured on this host", summary)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two or more run folders.")],
    cost: Annotated[str | None, typer.Option(help="Cost of the horizontal axis.")] = None,
    at: Annotated[
        list[float] | None, typer.Option(help="Budget of that cost to compare at; repeat for several.")
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Compare the fronts of runs: hypervolume, who dominates whom, best accuracy at given budgets."""
    from search import compare as comparing
    from search import terminal

    comparison = comparing.compare(runs, cost, at or [])
    files = comparing.write(comparison, out or Path("runs") / "comparison")
    if as_json:
        print_json(comparing.to_json(comparison))
    else:
        for table in comparing.tables(comparison):
            terminal.show(table)
    terminal.say_files(files)


@app.command()
def device(
    name: Annotated[str, typer.Argument(help="Device name or YAML file.")] = "host",
    supernet: Annotated[str, typer.Option(help="Supernet whose latency is fitted.")] = "fmnist_mbv3",
    as_json: Json = False,
) -> None:
    """Show a device; host is measured and fitted to a supernet if it was not before."""
    from cost_models.devices import open_device
    from search import terminal
    from supernet.catalog import open_supernet

    found = open_device(name, open_supernet(supernet), terminal.say).model_dump(mode="json")
    if as_json:
        print_json(found)
    else:
        terminal.show_pairs(f"device {found['name']}", found)


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="YAML file, for example configs/training/fmnist_mbv3.yaml.")],
    alone: Annotated[
        str | None, typer.Option(help="Train one subnet from scratch: small, medium or large.")
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Train a supernet by progressive shrinking; the same command resumes a killed training."""
    from search import terminal
    from supernet import documents, training_job
    from supernet.atomic import check_writable
    from supernet.errors import unknown

    if alone is not None and alone not in training_job.SIZES:
        raise unknown("size", alone, training_job.SIZES)
    path = documents.find("training", recipe)
    folder = out or Path("runs") / "training" / path.stem
    check_writable(folder)
    with terminal.resumable(), terminal.training_progress() as progress:
        trained = training_job.run(path, folder, alone, progress)
    figures = {
        size: {"top1": a.top1, "top5": a.top5, "top1_low": a.top1_low, "top1_high": a.top1_high}
        for size, a in trained.accuracy.items()
    }
    summary = {"weights": str(trained.weights), "sha256": trained.sha256, "report": figures}
    if as_json:
        print_json(summary)
    else:
        terminal.show_pairs("trained; accuracy on the report split", summary)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("runs/demo"),
    trials: Annotated[int, typer.Option(min=1, help="Candidates that each search measures.")] = 40,
    as_json: Json = False,
) -> None:
    """The main job on the embedded supernet: fit this host, search, evaluate, export, compare."""
    from search import terminal
    from search.demo import run_demo

    with terminal.resumable():
        figures = run_demo(out, trials, terminal, as_json)
    if as_json:
        print_json(figures)


def print_json(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point: wrong input is one paragraph and exit code 2; Ctrl-C is 130."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    try:
        app(given, prog_name="oncefit")
    except InputError as error:
        if debug:
            import traceback

            traceback.print_exc()
        sys.stderr.write(f"oncefit: {error}\n")
        raise SystemExit(2) from None
    raise SystemExit(0)


if __name__ == "__main__":
    main()
