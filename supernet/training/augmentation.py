"""Images that are stored small, shifted and mirrored at random."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def augment(batch: Tensor, shift: int, rng: np.random.Generator, mirror: bool = True) -> Tensor:
    """Mirror half of the images and shift each by up to ``shift`` pixels: uint8, grey (n, h, w) or (n, c, h, w)."""
    n, (h, w) = len(batch), batch.shape[-2:]
    padded = F.pad(batch, (shift, shift, shift, shift))
    rows = torch.from_numpy(rng.integers(0, 2 * shift + 1, n))[:, None] + torch.arange(h)
    columns = torch.from_numpy(rng.integers(0, 2 * shift + 1, n))[:, None] + torch.arange(w)
    mirrored = torch.from_numpy(rng.random(n) < (0.5 if mirror else 0))
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    rows, columns, image = rows[:, :, None], columns[:, None, :], torch.arange(n)[:, None, None]
    if batch.ndim == 3:
        return padded[image, rows, columns]
    return padded.movedim(1, -1)[image, rows, columns].movedim(-1, 1)
