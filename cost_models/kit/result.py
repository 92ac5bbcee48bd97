"""The result of a kit: checked, and made into a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import ZipFile

from cost_models.device import Device
from cost_models.drift import drift_percent, quiet_latencies
from cost_models.kit import measure
from cost_models.kit.documents import KitResult, Manifest, seal_of
from cost_models.latency_fit import fit
from cost_models.measurements import (
    Measurements,
    Reference,
    Setup,
    Timing,
    measured_arch,
    readings_of,
    subnets_of,
)
from cost_models.timing import BUSY_PERCENT
from supernet import documents
from supernet.archive_errors import ARCHIVE_ERRORS
from supernet.archs.arch import Arch
from supernet.errors import InputError, short, some
from supernet.families.catalog import Supernet
from supernet.reading import first_of

AGAIN = "measure again, or send the file anew"


def read_result(path: Path, kit: Path | None = None) -> KitResult:
    """A finished result that is as ``measure.py`` wrote it, of ``kit`` where that is given.

    Raises InputError, which names the file and what is wrong, for a damaged, partial, changed or foreign one.
    """
    data = documents.load_json(path)
    if data.get("kind") != measure.RESULT_KIND:
        raise InputError(
            f"{path} is {other(data)}, not the result of a kit: measure.py writes that, to {measure.RESULT}"
        )
    if data.get("format") != measure.FORMAT:
        raise InputError(
            f"{path}: format: got {short(data.get('format'))}; this version reads {measure.FORMAT}: "
            "make the kit with the version that imports its result"
        )
    result = documents.check(data, KitResult, str(path))
    check_manifest(result, data["manifest"], path, kit)
    check_rounds(result, path)
    if result.seal != seal_of(data):
        raise InputError(
            f"{path} was changed after it was written: its seal is another than that of what it holds; {AGAIN}"
        )
    return result


def other(data: Mapping[str, object]) -> str:
    """What a file is that is no result."""
    if data.get("kind") == Manifest.model_fields["kind"].default:
        return "the manifest of a kit"
    return f"another document (its keys are {some(data) or 'none'})"


def check_manifest(result: KitResult, manifest: Mapping[str, object], path: Path, kit: Path | None) -> None:
    """Raises InputError where the manifest in the result was changed or is not that of ``kit``, or settings are not its."""
    if result.manifest.seal != seal_of(manifest):
        raise InputError(f"{path}: manifest: it was changed after the kit was made; make a kit anew")
    if kit is not None and (seal := seal_in(kit)) != result.manifest.seal:
        raise InputError(
            f"{path} is of another kit than {kit}: its manifest has the seal {result.manifest.seal[:12]}, "
            f"the kit's has {seal[:12]}"
        )
    ids = [model.id for model in result.manifest.models]
    if len(set(ids)) < len(ids) or result.manifest.reference not in ids:
        raise InputError(
            f"{path}: manifest: its models do not differ, or its reference is none of them; make a kit anew"
        )
    free = {"threads", "provider"}  # what measure.py has options for
    asked, had = (s.model_dump(exclude=free) for s in (result.manifest.settings, result.settings))
    for name in asked:
        if asked[name] != had[name]:
            raise InputError(
                f"{path}: settings.{name}: got {had[name]}, but the kit says {asked[name]}; {AGAIN}"
            )


def seal_in(kit: Path) -> str:
    """The seal of the manifest in a kit."""
    try:
        with ZipFile(kit) as file, file.open(measure.MANIFEST) as manifest:
            text = first_of(manifest, documents.LARGEST_FILE).decode()
    except (*ARCHIVE_ERRORS, ValueError, KeyError) as error:
        raise InputError(f"{kit} is no kit: {error}") from error
    return documents.check_json(text, Manifest, f"{kit}: {measure.MANIFEST}").seal


def check_rounds(result: KitResult, path: Path) -> None:
    """Raises InputError where rounds are missing, or a round lacks a model or has one that is not of the kit."""
    wanted, there = result.settings.rounds, len(result.rounds)
    if not result.finished or there < wanted:
        raise InputError(
            f"{path} is partial: it has {there} of {wanted} rounds; python measure.py in the kit's folder goes on with it"
        )
    if there > wanted:
        raise InputError(f"{path}: rounds: it has {there}, but its settings say {wanted}; {AGAIN}")
    known = {model.id for model in result.manifest.models}
    for number, one in enumerate(result.rounds):
        if missing := sorted(known - set(one.times_ms)):
            raise InputError(f"{path}: rounds.{number}.times_ms: no time of model {some(missing)}; {AGAIN}")
        if foreign := sorted(set(one.times_ms) - known):
            raise InputError(
                f"{path}: rounds.{number}.times_ms: the kit has no model {some(foreign)}; {AGAIN}"
            )
        if sorted(one.order) != sorted(known):
            raise InputError(f"{path}: rounds.{number}.order: it must name each model once; {AGAIN}")
        readings = readings_of(len(known), result.settings.reference_every)
        if len(one.reference_ms) != readings:
            raise InputError(
                f"{path}: rounds.{number}.reference_ms: got {len(one.reference_ms)} times of {readings}; {AGAIN}"
            )


def kit_archs(result: KitResult, supernet: Supernet, path: Path) -> list[Arch]:
    """The arch of each model. Raises InputError where the kit was made for another network."""
    manifest = result.manifest
    if manifest.fingerprint != supernet.fingerprint:
        raise InputError(
            f"{path} is of a kit for {manifest.supernet} with fingerprint {manifest.fingerprint}, but {supernet.name} "
            f"here has {supernet.fingerprint}: they are different networks. --supernet names the one that was measured"
        )
    return [supernet.family.space.from_dict(model.arch) for model in manifest.models]


def device_of(result: KitResult, supernet: Supernet, name: str, path: Path) -> Device:
    """The device that was measured, with its raw times and the latency model that is fitted to them.

    Raises InputError where the kit was made for another network.
    """
    archs = kit_archs(result, supernet, path)
    random = [arch for arch, model in zip(archs, result.manifest.models, strict=True) if model.random]
    settings = result.settings.model_dump(exclude={"reference_every"})
    measured = raw(result, archs)
    settings["drift_percent"] = round(drift_percent(measured), 2)
    return Device(
        name=name,
        runtime=result.settings.runtime,
        threads=result.settings.threads,
        cpu=result.device.cpu,
        date=date_of(result),
        versions=result.device.versions,
        latency=fit(supernet.restricted({}), archs, quiet_latencies(measured), settings, tested=random),
        measurements=measured,
    )


def doubts(device: Device) -> list[str]:
    """Where a device was too busy, or changed its speed too much, for its times to be trusted."""
    found = []
    drift = drift_percent(device.measurements) if device.measurements is not None else 0.0
    if drift > BUSY_PERCENT:
        found.append(
            f"warning: the reference was {drift:.0f} % slower in one round than in another: the device was busy, hot or "
            "saved power. The fit is to the rounds that were quiet by the reference, corrected by it; measuring again "
            "when it is cool and idle is better"
        )
    spread = device.fitted.spread_percent if device.fitted is not None else 0.0
    if spread > BUSY_PERCENT:
        found.append(f"warning: repeated measurements spread by {spread:.0f} %, more than {BUSY_PERCENT:g} %")
    return found


def raw(result: KitResult, archs: Sequence[Arch]) -> Measurements:
    """The same times as a document that a device's file keeps."""
    ids = [model.id for model in result.manifest.models]
    done, settings = result.rounds, result.settings
    return Measurements(
        supernet=result.manifest.supernet,
        fingerprint=result.manifest.fingerprint,
        setup=Setup(runtime=settings.runtime, threads=settings.threads, batch=settings.batch),
        timing=Timing(slice_s=settings.slice_s, warm_up_runs=settings.warm_up_runs),
        reported={
            "provider": settings.provider,
            "system": result.device.system,
            "cores": result.device.cores,
        },
        versions=result.device.versions,
        cpu=result.device.cpu,
        date=date_of(result),
        order=tuple(tuple(ids.index(key) for key in one.order) for one in done),
        subnets=subnets_of(archs, [[one.times_ms[key] for one in done] for key in ids]),
        reference=Reference(
            arch=measured_arch(archs[ids.index(result.manifest.reference)]),
            every=settings.reference_every,
            rounds_ms=tuple(one.reference_ms for one in done),
        ),
    )


def date_of(result: KitResult) -> str:
    return result.ended.partition("T")[0]
