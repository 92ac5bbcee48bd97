"""``oncefit profile kit`` and ``oncefit profile import``: a device that is elsewhere, measured there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.options import DeviceFile, Json, ReplaceFile

if TYPE_CHECKING:
    from cost_models.device import Device
    from cost_models.kit.documents import KitResult

Supernet = Annotated[str, typer.Option(help="Supernet: name or YAML file.", metavar="NAME")]


def kit(
    name: Annotated[str, typer.Argument(help="What to call the device.", metavar="NAME")],
    supernet: Supernet = "fmnist_mbv3",
    samples: Annotated[
        int,
        typer.Option(help="Subnets that are measured.", metavar="N", min=8, max=1000),
    ] = 30,
    threads: Annotated[
        int, typer.Option(help="Threads that a subnet runs on.", metavar="N", min=1, max=1024)
    ] = 1,
    batch: Annotated[int, typer.Option(help="Images at once.", metavar="B", min=1, max=4096)] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the choice.", metavar="K", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="ZIP file to write.", metavar="FILE")] = Path("kit.zip"),
    as_json: Json = False,
) -> None:
    """Write a kit that measures a device which is elsewhere.

    There it needs Python, numpy and onnxruntime only, and writes result.json, of which oncefit profile import makes
    the device.
    """
    from cost_models.devices import check_name
    from cost_models.kit.making import make_kit
    from search.cli import terminal
    from search.reports import words as readable
    from supernet.bounds import MOST_SEED, check_at_most
    from supernet.catalog import open_supernet

    check_name(name)
    check_at_most(seed, MOST_SEED, "--seed")
    made = make_kit(name, open_supernet(supernet), samples, threads, batch, seed, out, terminal.say)
    size = out.stat().st_size
    if as_json:
        terminal.print_json(
            {
                "kit": str(out), "name": name, "seal": made.seal, "bytes": size, "subnets": len(made.models),
                "supernet": made.supernet, "fingerprint": made.fingerprint,
                "settings": made.settings.model_dump(mode="json"),
            }
        )  # fmt: skip
        return
    terminal.show_titled(
        f"kit for {name} in {out}",
        readable.table(
            [
                [
                    ("supernet", made.supernet),
                    ("subnets to measure", str(len(made.models))),
                    ("threads, batch", f"{threads}, {batch}"),
                    (
                        "size",
                        f"{size / 1e6:.2f} MB; there it makes {made.weights.bytes / 1e6:.0f} MB of weights",
                    ),
                ]
            ]
        ),
        "On the device: unpack it, python -m pip install numpy onnxruntime, python measure.py. "
        "Here, with what that wrote: oncefit profile import result.json",
    )


def import_result(
    result: Annotated[Path, typer.Argument(help="What measure.py wrote.", metavar="RESULT")],
    name: Annotated[
        str | None,
        typer.Option(help="What to call the device.", metavar="NAME", show_default="as the kit says"),
    ] = None,
    supernet: Annotated[
        str | None,
        typer.Option(help="Supernet of the kit.", metavar="NAME", show_default="as the kit says"),
    ] = None,
    kit: Annotated[
        Path | None, typer.Option(help="Refuse a result that is not of this kit.", metavar="FILE")
    ] = None,
    out: DeviceFile = None,
    replace: ReplaceFile = False,
    as_json: Json = False,
) -> None:
    """Make a device of the result of a kit.

    A result that is damaged, partial, changed or of another kit or supernet is refused.
    """
    from cost_models.device_files import kept_devices, write_device
    from cost_models.devices import check_name
    from cost_models.kit.result import device_of, read_result
    from search.cli import terminal
    from search.cli.devices import check_place
    from search.reports import words as readable
    from supernet.catalog import open_supernet

    measured = read_result(result, kit)
    called = name if name is not None else measured.manifest.name
    check_name(called)
    file = out if out is not None else kept_devices() / f"{called}.yaml"
    check_place(file, replace)
    found = device_of(measured, open_supernet(supernet or measured.manifest.supernet), called, result)
    write_device(found, file)
    if as_json:
        terminal.print_json(summary(found, measured, file))
        return
    terminal.show_titled(
        f"device {called} in {file}",
        readable.table(readable.of_device(found)),
        f"For a search: device: {file if out is not None else called}.",
    )
    warn(found, terminal.say)


def summary(device: Device, result: KitResult, file: Path) -> dict[str, Any]:
    """What ``--json`` prints."""
    from cost_models.drift import drift_percent

    latency, measured = device.fitted, device.measurements
    assert latency is not None
    assert measured is not None
    return {
        "device": device.name, "file": str(file), "supernet": latency.supernet, "fingerprint": latency.fingerprint,
        "cpu": device.cpu, "versions": device.versions, "subnets": latency.subnets, "rounds": len(result.rounds),
        "error_percent": latency.error_percent, "worst_error_percent": latency.worst_error_percent,
        "spread_percent": latency.spread_percent, "drift_percent": round(drift_percent(measured), 2),
    }  # fmt: skip


def warn(device: Device, say: Any) -> None:
    """Say where the device was too busy, or changed its speed too much, for its times to be trusted."""
    from cost_models.drift import drift_percent
    from cost_models.profiling import BUSY_PERCENT

    drift = drift_percent(device.measurements) if device.measurements is not None else 0.0
    if drift > BUSY_PERCENT:
        say(
            f"warning: the reference was {drift:.0f} % slower in one round than in another: the device was busy, hot or "
            "saved power. The fit is to the rounds that were quiet by the reference, corrected by it; measuring again "
            "when it is cool and idle is better"
        )
    spread = device.fitted.spread_percent if device.fitted is not None else 0.0
    if spread > BUSY_PERCENT:
        say(f"warning: repeated measurements spread by {spread:.0f} %, more than {BUSY_PERCENT:g} %")
