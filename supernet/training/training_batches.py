"""Batches to train a subnet on, lightly augmented: a batch follows from the recipe's seed and its step alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from supernet.families.catalog import PreprocessingKeys
from supernet.images.data import Images
from supernet.images.image_folder import ImageFiles
from supernet.images.preprocessing import prepare
from supernet.training.augmentation import augment

if TYPE_CHECKING:
    from PIL import Image

DRAWING = Lock()
"""Held while torchvision draws a crop, from the one generator that all threads share."""


class ShownBy(Protocol):
    """What a recipe says of how images are shown."""

    @property
    def batch_size(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def mirror(self) -> bool: ...
    @property
    def shift_pixels(self) -> int: ...
    @property
    def crop_area(self) -> float: ...


@dataclass(frozen=True)
class Batch:
    """The same images at each resolution, (n, c, r, r) float32, and their labels (n,)."""

    inputs: tuple[Tensor, ...]
    labels: Tensor


@dataclass(frozen=True)
class Batches:
    """Batches of training images at one or more resolutions; :meth:`batch` may run in several threads.

    Of ``images`` in memory, each is shifted and half are mirrored; of photos in files a random crop is shown. Where
    ``count`` processes train together, the one of ``rank`` has every so manieth image of each batch.
    """

    images: Images | ImageFiles
    how: PreprocessingKeys
    recipe: ShownBy
    resolutions: tuple[int, ...] = ()
    rank: int = 0
    count: int = 1

    @property
    def size(self) -> int:
        return min(self.recipe.batch_size, len(self.images))

    @property
    def per_epoch(self) -> int:
        """Whole batches only: batch norms of a few last images would say little."""
        return len(self.images) // self.size

    def batch(self, step: int) -> Batch:
        """This process's images of a step: those that can be decoded of its share of :attr:`size`."""
        return self.drawn(step, lambda _: self.resolutions)

    def drawn(self, step: int, resolutions: Callable[[np.random.Generator], tuple[int, ...]]) -> Batch:
        """The same at resolutions that are drawn by the step's generator, after shifts of images in memory."""
        epoch, position = divmod(step, self.per_epoch)
        seed = self.recipe.seed
        order = np.random.default_rng((seed, epoch)).permutation(len(self.images))
        places = order[position * self.size :][: self.size].tolist()
        mine = slice(self.rank, None, self.count)
        rng = np.random.default_rng((seed, epoch, position))
        if isinstance(self.images, ImageFiles):
            return self.photos(self.images, places[mine], epoch, resolutions(rng))
        pixels = augment(self.images.pixels[places], self.recipe.shift_pixels, rng, self.recipe.mirror)
        inputs = tuple(prepare(pixels[mine], resolution, self.how) for resolution in resolutions(rng))
        return Batch(inputs, self.images.labels[places][mine])

    def photos(
        self, images: ImageFiles, places: Sequence[int], epoch: int, resolutions: tuple[int, ...]
    ) -> Batch:
        def shown(image: Image.Image, place: int) -> tuple[Tensor, ...]:
            [seed] = np.random.SeedSequence((self.recipe.seed, epoch, place)).generate_state(1, np.uint64)
            return cropped(image, resolutions, self.how, self.recipe, int(seed))

        found, labels = images.made(places, len(self.how.mean), shown)
        return Batch(tuple(map(torch.stack, zip(*found, strict=True))), labels)


def cropped(
    image: Image.Image,
    resolutions: tuple[int, ...],
    how: PreprocessingKeys,
    recipe: ShownBy,
    seed: int,
) -> tuple[Tensor, ...]:
    """The same random part of a photo at each resolution, mirrored or not: (c, r, r) float32 each."""
    from torchvision.transforms import v2

    crop = v2.RandomResizedCrop(max(resolutions), scale=(recipe.crop_area, 1.0))
    with DRAWING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        box = crop.make_params([image])
        mirrored = recipe.mirror and bool(torch.rand(()) < 0.5)
    if mirrored:
        image = v2.functional.horizontal_flip(image)
    return tuple(
        v2.functional.normalize(
            v2.functional.to_dtype(
                v2.functional.pil_to_tensor(
                    v2.functional.resized_crop(image, **box, size=[resolution, resolution])
                ),
                torch.float32,
                scale=True,
            ),
            list(how.mean),
            list(how.std),
        )
        for resolution in resolutions
    )
