"""Devices: what is known of a machine that subnets are to run on, and devices made of measurements or of tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cost_models.device import Device
from cost_models.device_files import kept_devices, write_device
from oncefit.supernets import Supernet, as_supernet
from supernet import documents
from supernet.bounds import MOST, MOST_SEED, check_between
from supernet.errors import InputError, unknown
from supernet.families import catalog
from supernet.messages import Say, say

if TYPE_CHECKING:
    from cost_models.csv_device import Errors
    from search.reports.words import Lines

FEWEST_SAMPLES = 2


def device(
    name: str = "host",
    *,
    supernet: str | Path | Supernet = "fmnist_mbv3",
    region: str | None = None,
    refresh: bool = False,
    say: Say = say,
) -> Device:
    """A device by its name or YAML file, with its latency model of a supernet.

    ``host`` is this machine: it is measured if it was not before, or anew with ``refresh``, and kept if it was quiet.
    ``region`` is the grid region of its energy. Raises InputError for a device that is not known.
    """
    from cost_models.devices import open_device

    return open_device(name, as_supernet(supernet).described, say, refresh, region)


@dataclass(frozen=True, repr=False)
class KeptDevice:
    """A device that was made and is kept in a file.

    ``reach_ms`` are the least and the greatest predicted latency of its supernet's subnets, of a table at its
    resolutions. ``unseen`` are errors on measured subnets that it was not fitted to, where there are any, and
    ``warnings`` what was suspicious.
    """

    device: Device
    file: Path
    reach_ms: tuple[float, float]
    unseen: Errors | None = None
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What ``device=`` of a search takes: its name, or its file where that is not among the kept devices."""
        return self.device.name if self.file == kept_file(self.device.name) else str(self.file)

    def to_dict(self) -> dict[str, Any]:
        """What it is and how well it is known, as ``--json`` prints it; the raw times are in its file only."""
        from cost_models.drift import drift_percent

        latency, measured, power = self.device.latency, self.device.measurements, self.device.power
        assert latency is not None
        found: dict[str, Any] = {
            "device": self.device.name, "file": str(self.file), "supernet": latency.supernet,
            "fingerprint": latency.fingerprint, "latency_ms": dict(zip(("minimum", "maximum"), self.reach_ms, strict=True)),
        }  # fmt: skip
        if (table := self.device.table) is not None:
            found |= {
                "format": table.format,
                "resolutions": list(table.resolutions),
                "entries": table.count_entries(),
            }
        if (fit := self.device.fit) is not None:
            found |= {
                "subnets": fit.subnets, "error_percent": fit.error_percent,
                "worst_error_percent": fit.worst_error_percent, "spread_percent": fit.spread_percent,
            }  # fmt: skip
        if (model := self.device.fitted) is not None and model.rows is not None:
            unseen = asdict(self.unseen) if self.unseen is not None else None
            found |= {
                "rows": list(model.rows), "like": list(model.like), "predicted_against_measured": unseen,
            }  # fmt: skip
        if measured is not None:
            found |= {
                "cpu": measured.cpu, "setup": measured.setup.model_dump(), "reported": measured.reported,
                "versions": measured.versions, "rounds": measured.rounds,
                "drift_percent": round(drift_percent(measured), 2),
            }  # fmt: skip
        if power is not None:
            fitted = power.fitted.model_dump() if power.fitted is not None else None
            found["power"] = {"how": "assumed" if fitted is None else "measured", "fitted": fitted}
        return found | {"warnings": list(self.warnings)}

    def sections(self) -> list[Lines]:
        """The same for people: names and figures, as the commands show them."""
        from search.reports import words

        reach = ("latency (ms) of its subnets, predicted", "{:.4g} to {:.4g}".format(*self.reach_ms))
        what, estimates = words.of_device(self.device)
        unseen = [words.of_unseen(self.unseen)] if self.unseen is not None else []
        return [[*what, reach], *unseen, estimates]

    def __repr__(self) -> str:
        fit = self.device.fit
        error = f", error {fit.error_percent:.1f} % (median)" if fit is not None else ""
        of = self.device.latency.supernet if self.device.latency is not None else None
        return f"KeptDevice({self.device.name!r} for {of}{error}, {str(self.file)!r})"

    def _repr_html_(self) -> str:
        from search.reports.words import html_table

        return f"<b>{escape(self.device.name)}</b> in {escape(str(self.file))}{html_table(self.sections())}"


def profile(
    name: str,
    supernet: str | Path | Supernet = "fmnist_mbv3",
    *,
    runtime: str = "onnxruntime",
    threads: int = 1,
    batch: int = 1,
    precision: str = "fp32",
    samples: int = 30,
    layers: bool = False,
    resolutions: Sequence[int] | None = None,
    seed: int = 0,
    energy: bool = False,
    out: str | Path | None = None,
    refresh: bool = False,
    even_busy: bool = False,
    progress: bool = False,
    say: Say = say,
) -> KeptDevice:
    """Measure this machine with a runtime of your choice, and keep it as a device of its own (docs/profiling-host.md).

    ``samples`` subnets are chosen for what they tell, measured, and a latency model is fitted to them. With ``layers``
    it has a latency table instead: every distinct layer at ``resolutions``, or at as many as there is time for, is
    measured alone, and at most ten whole subnets tell what their sum is worth. With ``energy`` its power figures are
    fitted to this machine's meter. ``refresh`` measures again and writes over the device, ``even_busy`` keeps what a
    busy machine measured. ``progress`` shows a bar on standard error. Nothing is written before the end. Raises
    InputError, before anything is measured, for what the runtime cannot do, a device that is there already, and for
    ``energy`` without a meter.
    """
    from cost_models.measurements import Setup
    from cost_models.measuring import said
    from cost_models.profile_here import check_not_there, meter_for, profile_here
    from cost_models.runtimes.registry import open_runtime
    from search.reports.progress import bar

    asked = {"runtime": runtime, "threads": threads, "batch": batch, "precision": precision}
    setup = documents.check(asked, Setup, f"oncefit profile {name}")
    open_runtime(setup)
    check_samples(samples, seed)
    meter = meter_for(setup, samples) if energy else None
    net = as_supernet(supernet).described
    file = file_of(name, out)
    check_not_there(file, net, refresh)
    made = profile_here(
        name, net, setup, samples, seed, bar if progress else said(say), even_busy, meter, layers, resolutions
    )
    return keep_device(made, net, file)


def profile_from_csv(
    name: str,
    file: str | Path,
    column: str | None = None,
    supernet: str | Path | Supernet = "fmnist_mbv3",
    *,
    like: Sequence[str] = (),
    samples: int | None = 30,
    seed: int = 0,
    batch: int = 1,
    unit: str = "ms",
    out: str | Path | None = None,
    replace: bool = False,
    say: Say = say,
) -> KeptDevice:
    """A device of measured subnets in a CSV file, whose latencies stand in ``column`` (docs/profiling.md).

    ``samples`` of its subnets are chosen for what they tell and fitted to, the others tell the error; None fits to all.
    ``like`` lends prices of other columns (``"all"`` of them) and of devices. Latencies are in ``unit``, ms, us or s,
    of ``batch`` images. Raises InputError for what is wrong in the file, by line.
    """
    from cost_models.csv_device import AskedColumn, device_of_csv

    check_samples(samples, seed)
    check_between(batch, 1, MOST, "--batch")
    place = new_file_of(name, out, replace)
    net = as_supernet(supernet).described
    wanted = (like,) if isinstance(like, str) else tuple(like)
    asked = AskedColumn(Path(file), column, samples, seed, batch, wanted, unit)
    found = device_of_csv(name, asked, net, say)
    return keep_device(found.device, net, place, found.unseen)


def import_device(
    format_name: str,
    tables: str | Path,
    supernet: str | Path | Supernet = "ofa_mbv3_w1.2",
    *,
    name: str | None = None,
    unit: str = "ms",
    out: str | Path | None = None,
    replace: bool = False,
    say: Say = say,
) -> KeptDevice:
    """A device of published latency tables in a folder, or in one file (docs/latency-tables.md).

    ``format_name`` is ofa, note10, pixel1 or nsganetv2, ``name`` what to call the device, where the format does not
    say it. ``say`` is told what is suspicious. Raises InputError for what cannot be meant, and for what the tables lack.
    """
    from cost_models import devices

    net = as_supernet(supernet).described
    called = device_called(name, format_name, tables)
    file = new_file_of(called, out, replace)
    warnings: list[str] = []
    made = devices.import_device(format_name, Path(tables), net, called, unit, warnings.append)
    return keep_device(made, net, file, warnings=warnings, say=say)


def device_called(name: str | None, format_name: str, tables: str | Path) -> str:
    """What the device is called. Raises InputError for an unknown format, and where one without a name is given none."""
    from cost_models.published_tables import AFTER_DEVICES, FORMATS

    if format_name == "csv":
        raise InputError(
            f"measured subnets in a CSV file are no latency table: oncefit profile NAME --from-csv {tables} makes a "
            "device of them, with --samples all of all of them"
        )
    if format_name not in FORMATS:
        raise unknown("format of latency tables", format_name, FORMATS)
    if name is not None:
        return name
    if format_name not in AFTER_DEVICES:
        raise InputError(
            f"--name NAME says what to call the device: {format_name} is a layout, and no device"
        )
    return format_name


# -- files -------------------------------------------------------------------------------


def keep_device(
    made: Device,
    supernet: catalog.Supernet,
    file: Path,
    unseen: Errors | None = None,
    warnings: Sequence[str] = (),
    say: Say = say,
) -> KeptDevice:
    """Write a device, then say its warnings."""
    from cost_models.latency import latency_ms
    from cost_models.protocol import Target

    part = {"resolution": made.table.resolutions} if made.table is not None else {}
    reach = latency_ms(Target(supernet.restricted(part), made)).reach()
    write_device(made, file)
    for warning in warnings:
        say(warning)
    return KeptDevice(made, file, (reach.minimum, reach.maximum), unseen, tuple(warnings))


def kept_file(name: str) -> Path:
    """Where a device is that has no file elsewhere."""
    return kept_devices() / f"{name}.yaml"


def file_of(name: str, out: str | Path | None) -> Path:
    """The file that a new device goes to. Raises InputError for a name that none may have, and where no device is found."""
    from cost_models.devices import check_name
    from supernet.atomic import check_writable

    check_name(name)
    file = Path(out) if out is not None else kept_file(name)
    if file.suffix not in (".yaml", ".yml"):
        raise InputError(f"a device is a .yaml file, which --out must name; got {file}")
    check_writable(file.parent)
    return file


def new_file_of(name: str, out: str | Path | None, replace: bool) -> Path:
    """The same file. Raises InputError where it is there already, unless it is to be replaced."""
    file = file_of(name, out)
    if file.exists() and not replace:
        raise InputError(f"{file} is there already, perhaps with your edits: --replace writes over it")
    return file


def check_samples(samples: int | None, seed: int) -> None:
    """Raises InputError for numbers beyond their bounds."""
    check_between(seed, 0, MOST_SEED, "--seed")
    if samples is not None:
        check_between(samples, FEWEST_SAMPLES, MOST, "--samples")
