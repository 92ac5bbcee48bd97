"""``oncefit search``: find the best subnet, or a front, within hard budgets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import Json, out_folder


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
    measure: Annotated[
        int | None, typer.Option(help="Of those predicted, so many best are measured.", metavar="N")
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
    from search.cli import terminal
    from search.reports import report
    from search.runs.config import load_config
    from search.runs.run import conclude, start
    from search.runs.trials import search as make_trials

    overrides = {
        "device": device, "data": data, "predictor": predictor,
        "trials": trials, "measure": measure, "sampler": sampler, "seed": seed, "race": race,
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
        terminal.print_json(report.result_dict(result))
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
