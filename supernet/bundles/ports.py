"""Names of a model's input and output, and the opsets of ONNX that it can be written in."""

from __future__ import annotations

INPUT, OUTPUT = "images", "logits"
OPSET = 17
OPSETS = range(9, 21)
"""What torch's exporter writes; below 14 there is no HardSwish, and it is written by its parts."""
