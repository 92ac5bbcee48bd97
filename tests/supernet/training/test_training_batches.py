"""Batches follow from seed and step; photos are cropped as torchvision does it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from supernet.families.catalog import PreprocessingKeys
from supernet.images.data import Dataset, Images
from supernet.images.image_folder import ImageFiles
from supernet.training.finetuning_recipe import read_finetuning_recipe
from supernet.training.training_batches import Batches, cropped

PHOTOS = PreprocessingKeys(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), crop=0.875)
RECIPE = read_finetuning_recipe(None, {"batch_size": 4, "seed": 5})


@pytest.fixture
def photos(tmp_path: Path) -> ImageFiles:
    rng = np.random.default_rng(0)
    files = tuple(f"{i}.png" for i in range(10))
    for file in files:
        height, width = rng.integers(40, 120, 2)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(tmp_path / file)
    return ImageFiles(tmp_path, files, torch.arange(10))


def test_a_crop_is_torchvisions_own() -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (60, 90, 3), dtype=np.uint8))
    made = v2.Compose(
        [
            v2.RandomResizedCrop(32, scale=(RECIPE.crop_area, 1)), v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True), v2.Normalize(PHOTOS.mean, PHOTOS.std),
        ]
    )  # fmt: skip
    recipe = RECIPE.model_copy(update={"mirror": False})
    before = torch.get_rng_state()
    for seed in range(5):
        [found] = cropped(image, (32,), PHOTOS, recipe, seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            torch.testing.assert_close(found, made(image), rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_half_of_the_photos_are_mirrored_where_that_is_wanted() -> None:
    half = np.zeros((40, 40, 3), dtype=np.uint8)
    half[:, :20] = 255
    image = Image.fromarray(half)
    for mirror, share in ((True, 0.5), (False, 0.0)):
        recipe = RECIPE.model_copy(update={"mirror": mirror, "crop_area": 1.0})
        shown = [cropped(image, (16,), PHOTOS, recipe, seed)[0][0] for seed in range(200)]
        turned = np.mean([float(x[:, 0].mean()) < float(x[:, -1].mean()) for x in shown])
        assert abs(turned - share) < 0.15


def test_both_resolutions_show_the_same_part(photos: ImageFiles) -> None:
    large, small = Batches(photos, PHOTOS, RECIPE, (64, 16)).batch(0).inputs
    assert (large.shape, small.shape) == ((4, 3, 64, 64), (4, 3, 16, 16))
    for one, other in zip(large, small, strict=True):
        coarse = torch.nn.functional.avg_pool2d(one, 4)
        assert np.corrcoef(coarse.flatten(), other.flatten())[0, 1] > 0.9


def test_a_step_has_the_same_batch_in_any_order_and_thread(photos: ImageFiles) -> None:
    batches = Batches(photos, PHOTOS, RECIPE, (16,))
    assert (batches.size, batches.per_epoch) == (4, 2)
    in_order = [batches.batch(step) for step in range(6)]
    with ThreadPoolExecutor(4) as pool:
        others = dict(zip(range(5, -1, -1), pool.map(batches.batch, range(5, -1, -1)), strict=True))
    for step, one in enumerate(in_order):
        assert torch.equal(one.labels, others[step].labels)
        assert torch.equal(one.inputs[0], others[step].inputs[0])
    assert not torch.equal(in_order[0].labels, in_order[2].labels), "another epoch has another order"
    first_epoch = torch.cat([in_order[0].labels, in_order[1].labels])
    assert len(set(first_epoch.tolist())) == 8, "no image twice in an epoch"


def test_a_photo_that_cannot_be_decoded_is_left_out(photos: ImageFiles) -> None:
    (photos.folder / "3.png").write_bytes(b"none")
    seen = [Batches(photos, PHOTOS, RECIPE, (16,)).batch(step).labels for step in range(4)]
    assert 3 not in torch.cat(seen).tolist()
    assert len(photos.undecodable) == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_small_images_are_shifted_alike_in_all_channels(data: Dataset, channels: int) -> None:
    grey = data.calibration.pixels[:8]
    how = PreprocessingKeys(mean=(0.0,) * channels, std=(1.0,) * channels, stored=28)
    pixels = grey if channels == 1 else grey[:, None].expand(-1, 3, -1, -1)
    images = Images(pixels, data.calibration.labels[:8])
    [found] = Batches(images, how, RECIPE, (28,)).batch(1).inputs
    of_grey = Batches(Images(grey, images.labels), data.preprocessing, RECIPE, (28,)).batch(1).inputs[0]
    expected = (of_grey * 0.353 + 0.286).expand(-1, channels, -1, -1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_fewer_images_than_a_batch_are_one_batch(photos: ImageFiles) -> None:
    few = Batches(photos.picked([0, 1, 2]), PHOTOS, RECIPE, (16,))
    assert (few.size, few.per_epoch) == (3, 1)
