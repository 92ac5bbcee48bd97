"""Images that look alike: against copies of known images, and images of which none is a copy of another."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from sklearn.datasets import load_digits

from supernet.images import near_copies
from supernet.images.data_check import check_images_in
from supernet.images.near_copies import THUMB_COLUMNS, THUMB_ROWS, look_alike, thumb
from tests.helpers.command_here import command_here

COUNT = 40


def blurred(seed: int, width: int = 96, height: int = 72) -> Image.Image:
    """Clouds of colour with some noise, no two of which are alike."""
    rng = np.random.default_rng(seed)
    clouds = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    return Image.fromarray(
        np.clip(np.asarray(clouds) + rng.normal(0, 8, (height, width, 3)), 0, 255).astype(np.uint8)
    )


def saved(image: Image.Image, form: str, **options: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, form, **options)
    return Image.open(file)


def found(images: Sequence[Image.Image]) -> list[tuple[int, int]]:
    pixels = np.frombuffer(b"".join(map(thumb, images)), np.uint8)
    return look_alike(pixels.reshape(-1, THUMB_ROWS, THUMB_COLUMNS))


@pytest.mark.parametrize(
    "copy",
    [
        lambda image: saved(image, "JPEG", quality=40),
        lambda image: saved(image, "WEBP", quality=60),
        lambda image: image.resize((50, 37)),
        lambda image: image.resize((300, 200), Image.Resampling.LANCZOS),
        lambda image: saved(image.resize((64, 48)), "JPEG", quality=60),
        lambda image: image.convert("L"),
        lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    ],
    ids=["JPEG", "WebP", "smaller", "larger", "smaller JPEG", "grey", "darker"],
)
def test_copies_are_found_and_nothing_else(copy: Callable[[Image.Image], Image.Image]) -> None:
    images = [blurred(seed) for seed in range(COUNT)]
    copies = [copy(image) for image in images[: COUNT // 2]]
    assert found([*images, *copies]) == [(i, COUNT + i) for i in range(COUNT // 2)]


def test_images_of_one_grey_look_like_nothing_and_few_are_no_matter() -> None:
    assert found([Image.new("L", (40, 40), 128 + i % 3) for i in range(50)]) == []
    assert found([blurred(1)]) == found([]) == []
    assert found([blurred(1), blurred(1)]) == [(0, 1)]


def test_pairs_are_compared_a_block_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [blurred(seed) for seed in (0, 1, 0, 1, 2, 0)]
    monkeypatch.setattr(near_copies, "PAIRS_AT_ONCE", 2)
    assert found(images) == [(0, 2), (0, 5), (1, 3), (2, 5)]


def test_a_copy_is_found_in_a_crowd_of_images_that_differ_in_a_corner_alone() -> None:
    crowd = []
    for seed in range(100):
        image = blurred(0)
        image.paste(blurred(seed).resize((48, 36)), (48, 36))
        crowd.append(image)
    assert (7, 100) in found([*crowd, saved(crowd[7], "JPEG", quality=80)])


def test_handwritten_digits_are_no_copies() -> None:
    """Of 600 by 43 people, none is known to be there twice; drawn alike are some."""
    digits = np.round(load_digits().images[:600] * 255 / 16).astype(np.uint8)
    alike = {place for pair in found([Image.fromarray(pixels) for pixels in digits]) for place in pair}
    assert len(alike) <= 6, "1 %"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two parts of two classes; of the second part one image is a smaller JPEG of one in the first."""
    for seed in range(24):
        part, name = ("train", "val")[seed % 2], ("cat", "dog")[seed // 2 % 2]
        file = tmp_path / "photos" / part / name / f"{seed}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        blurred(seed).save(file)
    copy = Image.open(tmp_path / "photos" / "train" / "cat" / "4.png").resize((60, 45))
    copy.save(tmp_path / "photos" / "val" / "cat" / "again.jpg", quality=70)
    return tmp_path / "photos"


def test_a_copy_in_another_part_is_a_warning_with_both_names(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [warning] = [f for f in check_images_in(photos).findings if f.kind == "near copies"]
    first, then = str(photos / "train" / "cat" / "4.png"), str(photos / "val" / "cat" / "again.jpg")
    assert warning.severity == "warning"
    assert warning.files == (first, then)
    assert warning.told == f"1 image of val looks like images in train: {then} ~ {first}"
    shown = " ".join(command_here(capsys)("data", "check", photos).split())  # which ends well
    assert "WARNING (near copies): 1 image of val looks like images in train" in shown


def test_images_of_calibration_that_are_also_in_train_are_told_of_once(photos: Path) -> None:
    (photos / "val").rename(photos / "validation")
    for part, of in (("calibration", "train"), ("report", "validation")):
        for file in (photos / of).glob("*/?.png"):
            copy = photos / part / file.relative_to(photos / of)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    told = [f.told for f in check_images_in(photos).findings if f.kind == "near copies"]
    assert [words.split(":")[0] for words in told] == ["1 image of validation looks like images in train"]


def test_the_same_bytes_are_told_as_such_alone_and_copies_in_one_part_too(photos: Path) -> None:
    (photos / "val" / "cat" / "bytes.png").write_bytes((photos / "train" / "cat" / "8.png").read_bytes())
    Image.open(photos / "val" / "dog" / "3.png").save(photos / "val" / "dog" / "more.webp", quality=90)
    findings = check_images_in(photos).findings
    assert [f.told for f in findings if f.kind == "near copies"] == [
        f"1 image of val looks like images in train: {photos}/val/cat/again.jpg ~ {photos}/train/cat/4.png",
        f"1 image of val looks like others in it: {photos}/val/dog/more.webp ~ {photos}/val/dog/3.png",
    ]
    [leak] = [f for f in findings if f.kind == "leakage"]
    assert leak.told.startswith("1 image of val")
