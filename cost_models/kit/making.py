"""The kit to measure a device that is elsewhere: models, a manifest with hashes, and one program.

A model has no weights of its own. All of them share one file of pseudo-random numbers, which the program makes on the
device: 30 networks of 20 MB are a kit of less than 1 MB. Zeros would compress as well, but a chip that multiplies
zeros draws less power, and one that is bound by power or heat is then faster than on a real network; the random weights
of a fresh network can make activations so small that they are subnormal, and slow. Uniform numbers of
moderate size, biases too, keep activations in the middle of the range.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cost_models import profiling
from cost_models.fit_design import Design, choose_archs
from cost_models.kit import measure
from cost_models.kit.documents import (
    KitModel,
    KitSettings,
    Manifest,
    Weights,
    as_text,
    content_sha256,
    seal_of,
)
from supernet.archs.arch import Arch
from supernet.atomic import check_writable, whole
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from supernet.messages import Say

if TYPE_CHECKING:
    from onnx import ModelProto

WEIGHTS = "weights.bin"
WEIGHTS_SEED, WEIGHTS_BOUND = 0, 0.05
ALIGNMENT = 64
"""Bytes: where a tensor may begin in the file of weights."""
REFERENCE_EVERY = 8
"""Models between two measurements of the reference."""
PROGRAM = Path(measure.__file__)
READ_ME = """This kit measures how long a device takes for {count} subnets of {supernet}.

On the device: unpack it, then

    python -m pip install numpy onnxruntime
    python measure.py

needs Python 3.8 or newer, takes minutes, and can be stopped and started again. Leave the device alone meanwhile, on
mains power. Send back result.json; there, oncefit profile import result.json makes the device's file.
python measure.py --help tells how to measure with other threads, or another of ONNX Runtime's execution providers.
"""


def make_kit(
    name: str, supernet: Supernet, samples: int, threads: int, batch: int, seed: int, path: Path, report: Say
) -> Manifest:
    """Write the kit for a device to be called ``name``; at least ``samples`` subnets of the whole supernet.

    Raises InputError where the file cannot be written, and where there is another one that is no ZIP file.
    """
    check_place_of_kit(path)
    whole_net = supernet.restricted({})
    design = choose_archs(whole_net, samples, np.random.default_rng(seed))
    with tempfile.TemporaryDirectory(prefix="oncefit-") as folder:
        files, largest = write_models(whole_net, design.archs, Path(folder), report)
        manifest = manifest_of(name, whole_net, design, files, largest, threads, batch)
        with whole(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as kit:
            kit.writestr(measure.MANIFEST, as_text(manifest.model_dump(mode="json")))
            kit.write(PROGRAM, PROGRAM.name)
            kit.writestr("README.txt", READ_ME.format(count=len(files), supernet=whole_net.name))
            for file in files:
                kit.write(file, f"models/{file.name}")
    return manifest


def check_place_of_kit(path: Path) -> None:
    """Said before minutes of work; a kit is written over, and nothing else."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; a kit is one file: give --out {path / 'kit.zip'}, for example")
    if path.exists() and not zipfile.is_zipfile(path):
        raise InputError(f"{path} is there already, and is no kit; give another file with --out")
    check_writable(path.parent)


def write_models(
    supernet: Supernet, archs: Sequence[Arch], folder: Path, report: Say
) -> tuple[list[Path], int]:
    """A file without weights for each arch, and how many bytes of weights the largest needs."""
    import onnx

    from supernet.bundles.onnx_export import export_onnx

    files, largest = [], 0
    for i, arch in enumerate(archs):
        path = folder / f"{i:03d}.onnx"
        channels = supernet.layers(arch)[0].in_channels
        export_onnx(supernet.family.static(arch).eval(), channels, arch.resolution, path)
        model = onnx.load(str(path))
        largest = max(largest, share_weights(model))
        path.write_bytes(model.SerializeToString())
        files.append(path)
        if (i + 1) % 10 == 0 or i + 1 == len(archs):
            report(f"exported {i + 1} of {len(archs)} subnets")
    return files, largest


def share_weights(model: ModelProto) -> int:
    """Let the tensors of a model lie one after the other in the shared file; returns how many bytes of it they need.

    One after the other and not upon each other, since a network that read the same bytes for each layer would find
    them in its cache.
    """
    from onnx import TensorProto

    end = 0
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or not tensor.dims:
            continue
        length = 4 * int(np.prod(tensor.dims))
        for field in ("raw_data", "float_data"):
            tensor.ClearField(field)  # type: ignore[arg-type, unused-ignore]
        tensor.data_location = TensorProto.EXTERNAL
        del tensor.external_data[:]
        for key, value in (("location", WEIGHTS), ("offset", end), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        end += -(-length // ALIGNMENT) * ALIGNMENT
    return end


def manifest_of(
    name: str,
    supernet: Supernet,
    design: Design,
    files: Sequence[Path],
    largest: int,
    threads: int,
    batch: int,
) -> Manifest:
    random = set(design.random)
    models = [
        KitModel(
            id=file.stem, file=f"models/{file.name}", sha256=content_sha256(file.read_bytes()), arch=arch.to_dict(),
            channels=supernet.layers(arch)[0].in_channels, resolution=arch.resolution, random=arch in random,
        )
        for file, arch in zip(files, design.archs, strict=True)
    ]  # fmt: skip
    fields: dict[str, Any] = {
        "name": name, "supernet": supernet.name, "fingerprint": supernet.fingerprint,
        "classes": supernet.layers(design.archs[0])[-1].out_channels,
        "settings": settings(threads, batch), "weights": weights(largest),
        "reference": models[median_place(supernet, design.archs)].id, "models": tuple(models),
    }  # fmt: skip
    unsealed = Manifest(seal="", **fields)
    return unsealed.model_copy(update={"seal": seal_of(unsealed.model_dump(mode="json"))})


def settings(threads: int, batch: int) -> KitSettings:
    """Those of measuring here, as far as a kit measures alike."""
    here = {name: value for name, value in profiling.settings().items() if name in KitSettings.model_fields}
    return KitSettings.model_validate(
        {**here, "threads": threads, "batch": batch, "reference_every": REFERENCE_EVERY}
    )


def weights(length: int) -> Weights:
    """The shared numbers, of the generator whose numbers NumPy has frozen."""
    drawn = np.random.RandomState(WEIGHTS_SEED).random_sample(length // 4)
    content = ((drawn - 0.5) * (2 * WEIGHTS_BOUND)).astype("<f4").tobytes()
    return Weights(
        file=f"models/{WEIGHTS}",
        bytes=length,
        seed=WEIGHTS_SEED,
        bound=WEIGHTS_BOUND,
        sha256=content_sha256(content),
    )


def median_place(supernet: Supernet, archs: Sequence[Arch]) -> int:
    """The place of the arch with the median of multiply-adds."""
    macs = [sum(layer.macs for layer in supernet.layers(arch)) for arch in archs]
    return int(np.argsort(macs)[len(macs) // 2])
