"""ncnn's two files, by pnnx, for one image: a graph as text and its weights in float32."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from supernet.errors import InputError
from supernet.formats.protocol import (
    ExportFormat,
    Logits,
    NetworkInputs,
    Opened,
    Reading,
    ToWrite,
    in_fixed_batches,
)
from supernet.quiet import quietly

MODEL_PARAM, MODEL_BIN = "model.param", "model.bin"
FIRST_IN, FIRST_OUT = "in0", "out0"


def write_ncnn(material: ToWrite, folder: Path) -> None:
    if material.batch != 1:
        raise InputError(f"--batch {material.batch}: ncnn takes one image at a time; leave --batch out")
    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch, quietly():
        import pnnx  # type: ignore[import-not-found, unused-ignore]

        start = Path(scratch) / "model.pt"
        pnnx.export(material.subnet, str(start), (material.example,), fp16=False)
        for name, made in ((MODEL_PARAM, "model.ncnn.param"), (MODEL_BIN, "model.ncnn.bin")):
            (folder / name).write_bytes((Path(scratch) / made).read_bytes())


@contextmanager
def opened_ncnn(reading: Reading) -> Iterator[Opened]:
    """In float32 throughout: what ncnn would do by itself is half precision."""
    import ncnn  # type: ignore[import-not-found, unused-ignore]

    net = ncnn.Net()
    net.opt.num_threads = reading.threads
    net.opt.use_vulkan_compute = False
    for half in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, half, False)
    for load, name in ((net.load_param, MODEL_PARAM), (net.load_model, MODEL_BIN)):
        path = reading.folder / name
        if load(str(path)) != 0:
            raise InputError(f"ncnn cannot load {path}; export it again")

    def answer(image: Any) -> Any:
        with net.create_extractor() as extractor:
            extractor.input(FIRST_IN, image)
            return extractor.extract(FIRST_OUT)[1]

    def run(images: NetworkInputs) -> Logits:
        found: Logits = np.array(answer(ncnn.Mat(images[0])), dtype=np.float32).reshape(1, -1)
        return found

    def bound(images: NetworkInputs) -> Any:
        image = ncnn.Mat(images[0])
        return lambda: answer(image)

    yield Opened(in_fixed_batches(run, 1), bound)
    net.clear()


FORMAT = ExportFormat(
    "ncnn", "ncnn's graph and weights, for phones and boards", MODEL_PARAM, ("pnnx", "ncnn"), write_ncnn, opened_ncnn,
    batch=1, any_batch=False, runtime=("ncnn",), extra="ncnn", needs_room=True,
)  # fmt: skip
