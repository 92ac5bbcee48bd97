"""A network that torch itself runs, as what a format is read back into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from supernet.formats.protocol import Logits, NetworkInputs, Opened, Reading, batched
from supernet.threads import torch_threads


@contextmanager
def opened_module(net: Any, reading: Reading) -> Iterator[Opened]:
    """``net``, images (n, c, r, r) to logits (n, classes), on as many threads as ``reading`` says."""

    def run(images: NetworkInputs) -> Logits:
        with torch.inference_mode():
            found: Logits = net(torch.from_numpy(images)).numpy()
        return found

    def bound(images: NetworkInputs) -> Any:
        given = torch.from_numpy(images)

        def call() -> object:
            with torch.inference_mode():
                return net(given)

        return call

    with torch_threads(reading.threads):
        yield Opened(batched(run, reading.batch), bound)
