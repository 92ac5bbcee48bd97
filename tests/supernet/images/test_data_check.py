"""What is noticed in a folder of images: against what was put into it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from search.runs.own import adapted
from supernet.archs.space import Dimension, SearchSpace
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from supernet.images.data import load_dataset
from supernet.images.data_check import DataFinding, FolderCheck, check_images_in

GREY_SIZES = {"calibration": 12, "validation": 4, "report": 4}


def save(path: Path, rng: np.random.Generator, width: int = 32, height: int = 32, mode: str = "L") -> Path:
    """Noise, so that no two images are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = rng.integers(0, 256, (height, width, channels), np.uint8)
    Image.fromarray(pixels.squeeze(-1) if channels == 1 else pixels, mode=None).convert(mode).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three splits of three classes without a fault but their size."""
    rng = np.random.default_rng(0)
    for split, count in GREY_SIZES.items():
        for name in ("Bag", "Coat", "Dress"):
            for i in range(count):
                save(tmp_path / split / name / f"{i}.png", rng)
    return tmp_path


def of_kind(found: FolderCheck, kind: str) -> list[DataFinding]:
    return [finding for finding in found.findings if finding.kind == kind]


def kinds(found: FolderCheck) -> set[str]:
    return {finding.kind for finding in found.findings}


def test_a_folder_without_a_fault_has_its_counts_and_sizes(folder: Path, supernet: Supernet) -> None:
    rng = np.random.default_rng(1)
    save(folder / "report" / "Bag" / "wide.png", rng, width=90, height=40)
    found = check_images_in(folder, supernet)
    assert kinds(found) == {"few images", "classes without images"}
    report = found.parts["report"]
    assert dict(report.classes) == {"Bag": 5, "Coat": 4, "Dress": 4}
    assert (report.images, report.unreadable, report.imbalance) == (13, 0, 1.25)
    assert (report.width, report.height) == ((32, 32, 90), (32, 32, 40))
    assert report.modes == {"L": 13}
    assert found.splits == {"calibration": 36, "validation": 12, "report": 13}
    assert found.preprocessing is not None
    assert "stored 28, resolution 18 to 28" in found.preprocessing


def test_files_are_really_decoded(folder: Path, supernet: Supernet) -> None:
    whole = save(folder / "report" / "Bag" / "cut.jpg", np.random.default_rng(2), mode="RGB")
    whole.write_bytes(whole.read_bytes()[:-200])
    with Image.open(whole) as opened:
        assert opened.size == (32, 32)  # its header is sound
    [alone] = of_kind(check_images_in(folder), "unreadable")
    assert (alone.severity, alone.files) == ("warning", (str(whole),))
    assert "1 file of 13 in report" in alone.told
    [stopping] = of_kind(check_images_in(folder, supernet), "unreadable")
    assert stopping.severity == "error"  # stored images are refused as a whole
    with pytest.raises(InputError, match="cannot be decoded"):
        load_dataset(str(folder), supernet)


def test_an_image_of_two_splits_is_leakage(folder: Path) -> None:
    first = folder / "calibration" / "Bag" / "3.png"
    second = shutil.copy(first, folder / "report" / "Bag" / "other-name.png")
    [leak] = of_kind(check_images_in(folder), "leakage")
    assert (leak.severity, leak.files) == ("error", (str(first), str(second)))
    assert f"1 image of report (7.7 %) is in calibration too: {second} = {first}" in leak.told


def test_little_leakage_is_a_warning(folder: Path) -> None:
    rng = np.random.default_rng(3)
    for i in range(100):
        save(folder / "report" / "Bag" / f"more-{i}.png", rng, 8, 8)
    shutil.copy(folder / "validation" / "Bag" / "0.png", folder / "report" / "Bag" / "copy.png")
    [leak] = of_kind(check_images_in(folder), "leakage")
    assert leak.severity == "warning"  # 1 of 113


def test_copies_within_a_split_and_copies_with_other_labels(folder: Path) -> None:
    first = folder / "validation" / "Bag" / "0.png"
    same = shutil.copy(first, folder / "validation" / "Bag" / "copy.png")
    other = shutil.copy(first, folder / "validation" / "Coat" / "copy.png")
    found = check_images_in(folder)
    [copies] = of_kind(found, "duplicates")
    assert copies.told.startswith("2 images of validation are copies of others in it")
    assert set(copies.files) == {str(first), str(same), str(other)}
    [labels] = of_kind(found, "labels")
    assert "(Bag)" in labels.told
    assert "(Coat)" in labels.told
    assert not of_kind(found, "leakage")


def test_imbalance_and_a_class_of_one_image(folder: Path) -> None:
    for i in range(11):
        (folder / "calibration" / "Bag" / f"{i}.png").unlink()
    found = check_images_in(folder)
    [uneven] = of_kind(found, "imbalance")
    assert uneven.severity == "warning"
    assert "12 images of Dress and 1 of Bag, 12 to 1" in uneven.told
    [single] = of_kind(found, "one image")
    assert single.told == "calibration has one image only of Bag"


def test_classes_that_differ_and_one_class_only(folder: Path) -> None:
    for name in ("Bag", "Coat"):
        shutil.rmtree(folder / "report" / name)
    found = check_images_in(folder)
    [one] = of_kind(found, "one class")
    assert (one.severity, one.told) == ("error", "report has images of one class only, Dress")
    told = {finding.told for finding in of_kind(found, "classes differ")}
    assert told == {
        f"2 classes of {part} have no image in report: Bag, Coat" for part in ("calibration", "validation")
    }


def test_small_and_grey_images_for_a_network_of_imagenet(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for part in ("train", "val"):
        for wnid in ("n01440764", "n99999999"):  # the second is none of ImageNet's
            for i in range(3):
                save(tmp_path / part / wnid / f"{i}.png", rng, 300, 255 + i, "L" if part == "val" else "RGBA")
    found = check_images_in(tmp_path, open_supernet("ofa_mbv3_w1.0"))
    small = of_kind(found, "small images")
    assert [finding.severity for finding in small] == ["note", "note"]
    assert "2 images of 6 in train are smaller than the 256 pixels" in small[0].told  # 224 / 0.875
    assert [(f.severity, f.told[:20]) for f in of_kind(found, "colour")] == [
        ("warning", "6 images of 6 in val")
    ]
    assert [f.told for f in of_kind(found, "transparency")] == [
        "6 images of train may be transparent, which is dropped"
    ]
    [layout] = of_kind(found, "layout")
    assert layout.severity == "error"
    assert "2 class folders" in layout.told  # of a thousand outputs, which nothing names
    assert found.splits == {}
    assert found.findings[0] is layout  # errors come first


def test_labels_that_no_name_vouches_for_are_shown(folder: Path, supernet: Supernet) -> None:
    assert "label order" not in kinds(check_images_in(folder, supernet))  # called like classes
    for split in GREY_SIZES:
        for label in range(10):
            save(folder / split / f"w{9 - label}" / "1.png", np.random.default_rng(label))
        for name in ("Bag", "Coat", "Dress"):
            shutil.rmtree(folder / split / name)
    notes = of_kind(check_images_in(folder, supernet), "label order")
    assert len(notes) == 3
    assert (
        "class folders are the outputs in sorted order: w0 counts as T-shirt/top, w1 counts as Trouser"
        in notes[0].told
    )
    assert notes[0].told.endswith("w4 counts as Coat and 5 more")


def test_a_split_that_is_missing_is_an_error_and_the_rest_is_looked_at(folder: Path) -> None:
    shutil.rmtree(folder / "validation")
    found = check_images_in(folder)
    [layout] = of_kind(found, "layout")
    assert "lacks the folders validation" in layout.told
    assert set(found.parts) == {"calibration", "report"}


def test_class_folders_alone_are_one_part(folder: Path, supernet: Supernet) -> None:
    found = check_images_in(folder / "calibration", supernet)
    assert set(found.parts) == {"images"}
    assert not [finding for finding in found.findings if finding.severity == "error"]
    assert "one part" in kinds(found)


def test_no_folder_and_no_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        check_images_in(tmp_path / "missing")
    with pytest.raises(InputError, match="holds no image"):
        check_images_in(tmp_path)


def test_arrays_are_checked_too(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 5, 7, 3), np.uint8)
    for name, images in (("train", pixels[:9]), ("val", pixels[8:])):
        np.savez(tmp_path / f"{name}.npz", images=images, labels=np.arange(len(images)) % 3)
    found = check_images_in(tmp_path)
    assert found.parts["train"].width == (7, 7, 7)
    assert dict(found.parts["val"].classes) == {"0": 2, "1": 1, "2": 1}
    [leak] = [finding for finding in found.findings if finding.kind == "leakage"]
    assert leak.files == ("train, image 8", "val, image 0")


def test_a_supernet_that_does_not_say_what_it_takes(folder: Path, supernet: Supernet) -> None:
    space = SearchSpace("grid", (Dimension("width", (1, 2)),))
    with pytest.raises(InputError, match="grid does not say what images it takes"):
        check_images_in(folder, adapted(SimpleNamespace(name="grid", space=space)))
