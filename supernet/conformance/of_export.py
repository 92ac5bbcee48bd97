"""Subnets in ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from supernet.bundles.onnx_export import INPUT, OUTPUT, export_onnx
from supernet.conformance.subject import Mismatch, Subject, difference

EXPORTED = 2
"""Of the archs: the largest and the smallest; each takes half a second."""


@torch.no_grad()
def check_onnx(subject: Subject) -> Iterator[Mismatch]:
    """The ONNX model gives the logits of the network, whatever the number of images."""
    import onnxruntime

    for arch in subject.archs[:EXPORTED]:
        net, images = subject.network(arch), subject.images(arch, 3)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.onnx"
            export_onnx(net, images.shape[1], arch.resolution, file)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.log_severity_level = 3
            session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        found = torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])
        off = difference(found, net(images))
        if off is not None:
            yield Mismatch("the ONNX model", "the logits of network(arch)", off, arch)
