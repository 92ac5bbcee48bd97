"""The command line. Heavy packages are imported inside the commands that use them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from search.commands import cost, devices, predictor, weights
from search.terminal import print_json
from supernet.bounds import MOST, check_at_most
from supernet.errors import InputError, paragraph, refused_by_system, short

app = typer.Typer(
    name="oncefit",
    help="One pretrained once-for-all supernet, fitted to every device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else, on stdout.")]
Run = Annotated[Path, typer.Argument(help="Run folder.", metavar="RUN")]
Bundle = Annotated[Path, typer.Argument(help="Bundle folder.", metavar="BUNDLE")]


def out_folder(default: str) -> Any:
    return typer.Option("--out", help="Folder to write to.", metavar="DIR", show_default=default)


def show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"oncefit {version('oncefit')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=show_version, is_eager=True),
    ] = False,
) -> None:
    """One pretrained once-for-all supernet, fitted to every device."""


@app.command()
def search(
    config: Annotated[
        Path, typer.Argument(help="YAML file, as configs/searches/macs.yaml.", metavar="CONFIG")
    ],
    device: Annotated[
        str | None, typer.Option(help="Device name or YAML file; host is this machine.", metavar="NAME")
    ] = None,
    budget: Annotated[
        list[str] | None, typer.Option(help="Upper bound of a cost; may be repeated.", metavar="COST=NUMBER")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder of images to measure on.", metavar="DIR")] = None,
    predictor: Annotated[str | None, typer.Option(help="Predictor's name or file.", metavar="NAME")] = None,
    trials: Annotated[
        int | None, typer.Option(help="Subnets to measure, or to keep of those predicted.", metavar="N")
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="guided, nsga2, tpe or random.", metavar="NAME")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random choice.", metavar="N")] = None,
    race: Annotated[
        bool | None,
        typer.Option("--race/--no-race", help="Stop measuring a subnet that another dominates."),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="Optuna storage.", metavar="URL", show_default="SQLite in the run folder"),
    ] = None,
    out: Annotated[Path | None, out_folder("runs/NAME")] = None,
    as_json: Json = False,
) -> None:
    """Find the best subnet, or a front, within hard budgets.

    Options override what CONFIG says. The same command resumes a killed search.
    """
    from search import report, terminal
    from search.config import load_config
    from search.run import conclude, start
    from search.trials import search as make_trials

    overrides = {
        "device": device, "data": data, "predictor": predictor,
        "trials": trials, "sampler": sampler, "seed": seed, "race": race,
    }  # fmt: skip
    resolved = load_config(config, overrides, budget or [])
    folder = out or Path("runs") / run_name(config, budget or [], device, predictor, sampler, seed, race)
    run = start(folder, resolved, storage, terminal.say)
    with terminal.resumable():
        with terminal.search_progress(run) as progress:
            make_trials(run, progress)
        result = conclude(run, terminal.say)
        files = report.write(result)
    if as_json:
        print_json(report.result_dict(result))
    else:
        terminal.show_titled(str(folder), report.table(result), report.legend(result))
    terminal.say_files(files)


def run_name(
    config: Path,
    budgets: Sequence[str],
    device: str | None,
    predictor: str | None,
    sampler: str | None,
    seed: int | None,
    race: bool | None,
) -> str:
    """The default folder: the config's name and what was given beside it."""
    parts = [config.stem, *budgets]
    parts += [Path(device).stem] if device else []
    parts += [Path(predictor).name.removesuffix(".safetensors")] if predictor else []
    parts += [sampler] if sampler else []
    parts += [f"seed{seed}"] if seed is not None else []
    parts += ["race" if race else "no-race"] if race is not None else []
    return "-".join(part.replace("=", "").replace("/", "_") for part in parts)


@app.command()
def export(
    run: Run,
    pick: Annotated[str, typer.Option(help="best, knee or an arch id.", metavar="WHICH")] = "best",
    storage: Annotated[
        str | None, typer.Option(help="Optuna storage.", metavar="URL", show_default="where the run has it")
    ] = None,
    out: Annotated[Path | None, out_folder("RUN/bundles/ARCH")] = None,
    as_json: Json = False,
) -> None:
    """Write a subnet of a run as a bundle: weights, ONNX, card.

    It is read back and verified before it is in place.
    """
    from search import readable, terminal
    from search.export import export_bundle

    bundle, summary = export_bundle(run, pick, storage, out, terminal.say)
    if as_json:
        print_json(summary)
    else:
        terminal.show_titled(
            f"bundle {bundle}", readable.table(readable.of_export(summary)), readable.INTERVALS
        )


@app.command()
def verify(
    bundle: Bundle,
    supernet: Annotated[
        str | None,
        typer.Option(help="Supernet's name or YAML file.", metavar="NAME", show_default="by its card"),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Folder of its data set.", metavar="DIR", show_default="by its card")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a bundle: hashes, and ONNX Runtime against torch.

    Logits are compared on real images, top-1 on the whole report split.
    """
    from search import readable, terminal
    from search.export import verify_summary

    summary = verify_summary(bundle, supernet, data)
    if as_json:
        print_json(summary)
    else:
        terminal.show_titled(
            f"bundle {bundle} is sound",
            readable.table(readable.of_verification(summary)),
            readable.INTERVAL,
        )


@app.command()
def evaluate(
    bundle: Bundle,
    images: Annotated[
        Path | None,
        typer.Option(help="Images, one folder a class.", metavar="DIR", show_default="the report split"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a bundle on this machine: top-1, top-5, latency.

    What is measured is the ONNX model in ONNX Runtime.
    """
    from search import readable, terminal
    from search.export import evaluate_summary

    summary = evaluate_summary(bundle, images)
    if as_json:
        print_json(summary)
    else:
        terminal.show_titled(
            f"bundle {bundle}", readable.table(readable.of_evaluation(summary, images)), readable.INTERVALS
        )


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two or more run folders.", metavar="RUN")],
    cost: Annotated[
        str | None, typer.Option(help="Cost to compare in.", metavar="COST", show_default="that of the runs")
    ] = None,
    at: Annotated[
        list[float] | None,
        typer.Option(help="Budget of that cost; may be repeated.", metavar="NUMBER", show_default="four"),
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="Optuna storage.", metavar="URL", show_default="where the runs have it")
    ] = None,
    out: Annotated[Path | None, out_folder("runs/comparison")] = None,
    as_json: Json = False,
) -> None:
    """Compare the fronts of runs, in a table and a plot.

    Hypervolume, who dominates whom, and the best accuracy at given budgets.
    """
    from search import compare as comparing
    from search import terminal

    comparison = comparing.compare(runs, cost, at or [], storage)
    files = comparing.write(comparison, out or Path("runs") / "comparison")
    if as_json:
        print_json(comparing.to_json(comparison))
    else:
        for table in comparing.tables(comparison):
            terminal.show(table)
    terminal.say_files(files)


@app.command()
def device(
    name: Annotated[str, typer.Argument(help="Device name or YAML file.", metavar="NAME")] = "host",
    supernet: Annotated[
        str, typer.Option(help="Supernet to fit latency to.", metavar="NAME")
    ] = "fmnist_mbv3",
    refresh: Annotated[bool, typer.Option("--refresh", help="Measure this machine again.")] = False,
    as_json: Json = False,
) -> None:
    """Show a device and how well its latency model fits.

    The device host is this machine. It is measured if it was not before, and kept if it was quiet.
    """
    from cost_models.devices import open_device
    from search import readable, terminal
    from supernet.catalog import open_supernet

    found = open_device(name, open_supernet(supernet), terminal.say, refresh)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        terminal.show_titled(f"device {found.name}", readable.table(readable.of_device(found)))


@app.command()
def train(
    recipe: Annotated[
        Path, typer.Argument(help="YAML file, as configs/training/fmnist_mbv3.yaml.", metavar="RECIPE")
    ],
    alone: Annotated[
        str | None, typer.Option(help="Train one subnet only: small, medium or large.", metavar="SIZE")
    ] = None,
    out: Annotated[Path | None, out_folder("runs/training/RECIPE")] = None,
    as_json: Json = False,
) -> None:
    """Train a supernet by progressive shrinking.

    The same command resumes a killed training.
    """
    from search import readable, terminal
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
    if as_json:
        print_json(asdict(trained) | {"weights": str(trained.weights)})
    else:
        terminal.show_titled(
            f"weights {trained.weights}\nsha256  {trained.sha256}",
            readable.table(readable.of_training(trained.validation)),
            f"Measured on the validation split. {readable.INTERVAL}",
        )


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.", metavar="DIR")] = Path("runs/demo"),
    trials: Annotated[int, typer.Option(min=1, help="Subnets each search measures.", metavar="N")] = 40,
    as_json: Json = False,
) -> None:
    """Do the main job on the embedded supernet, from end to end.

    Fit this machine's latency, search, evaluate, export, compare.
    """
    from search import terminal
    from search.demo import run_demo

    check_at_most(trials, MOST, "--trials")
    with terminal.resumable():
        figures = run_demo(out, trials, terminal, as_json)
    if as_json:
        print_json(figures)


app.command()(cost.cost)
app.add_typer(predictor.app, name="predictor")
app.add_typer(weights.app, name="weights")
app.add_typer(devices.app, name="devices")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point: wrong input is one paragraph and exit code 2; Ctrl-C is 130."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    try:
        check_text(given)
        app(given, prog_name="oncefit")
    except (InputError, OSError, RuntimeError) as error:
        told = error if isinstance(error, InputError) else refused_by_system(error)
        if told is None:
            raise
        if debug:
            import traceback

            traceback.print_exc()
        sys.stderr.write(f"oncefit: {paragraph(str(told))}\n")
        raise SystemExit(2) from None
    raise SystemExit(0)


def check_text(arguments: Sequence[str]) -> None:
    """Raises InputError for an argument that is not UTF-8, which no file and no message could hold."""
    for argument in arguments:
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise InputError(f"{short(argument)} is not UTF-8 text; rename the file, or mend the locale")


if __name__ == "__main__":
    main()
