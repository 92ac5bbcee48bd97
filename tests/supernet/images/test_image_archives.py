"""Archives of somebody else's: what would leave the folder, or has no end, is refused and leaves nothing."""

from __future__ import annotations

import io
import stat
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from supernet.errors import InputError
from supernet.images import image_archives
from supernet.images.image_archives import is_archive, unpack_images


def tarred(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, size: int = 3, kind: bytes = tarfile.REGTYPE, leads_to: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.type, made.linkname = size, kind, leads_to
    return made


def zipped(path: Path, name: str, mode: int = 0) -> Path:
    info = zipfile.ZipInfo("placeholder")
    info.filename, info.external_attr = name, mode << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, b"xxx")
    return path


def test_images_are_unpacked_and_nothing_else(tmp_path: Path) -> None:
    archive = tarred(
        tmp_path / "a.tar", member("data/cat/1.png"), member("data/cat/notes.txt"), member("data/cat/.2.png"),
        member("__MACOSX/data/cat/._1.png"), member("data/dog", 0, tarfile.DIRTYPE), member("./data/dog/3.JPG"),
    )  # fmt: skip
    unpack_images(archive, tmp_path / "out")
    found = {
        str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()
    }
    assert found == {"data/cat/1.png", "data/dog/3.JPG"}
    assert (tmp_path / "out/data/cat/1.png").read_bytes() == b"xxx"


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (member("/etc/cat.png"), "leads out"),
        (member("cat/../../out.png"), "leads out"),
        (member("..", 0, tarfile.DIRTYPE), "leads out"),
        (member("cat/1.png", 0, tarfile.SYMTYPE, "/etc/passwd"), "neither file nor folder"),
        (member("cat/1.png", 0, tarfile.LNKTYPE, "cat/0.png"), "neither file nor folder"),
        (member("cat/fifo.png", 0, tarfile.FIFOTYPE), "neither file nor folder"),
        (member("cat\\1.png"), "no plain path"),
        (member("cat/0.png"), "is there twice"),
        (member("./cat/0.png"), "is there twice"),
        (member("cat/0.png/1.png"), "or a folder and a file"),
        (member(f"cat/{'n' * 300}.png"), "a longer name than this disk takes"),
    ],
    ids=lambda odd: getattr(odd, "name", odd)[:30],
)
def test_a_tar_with_what_images_do_not_need(odd: tarfile.TarInfo, said: str, tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", member("cat/0.png"), odd)
    with pytest.raises(InputError, match=said):
        unpack_images(archive, tmp_path / "deep" / "out")
    outside = [path for path in tmp_path.rglob("*.png") if "out" not in path.relative_to(tmp_path).parts]
    assert not outside


@pytest.mark.parametrize(
    ("name", "mode", "said"),
    [
        ("../cat.png", 0, "leads out"),
        ("/cat.png", 0, "leads out"),
        ("cat/1.png", stat.S_IFLNK | 0o777, "neither file nor folder"),
    ],
)
def test_a_zip_with_what_images_do_not_need(name: str, mode: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        unpack_images(zipped(tmp_path / "a.zip", name, mode), tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("*.png"))


def test_too_much_is_refused_before_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tarred(tmp_path / "a.tar", member("cat/0.png", 300), member("cat/1.png", 300))
    monkeypatch.setattr(image_archives, "LARGEST_IMAGE", 299)
    with pytest.raises(InputError, match="300 bytes, and an image has at most 299"):
        unpack_images(archive, tmp_path / "a")
    monkeypatch.setattr(image_archives, "LARGEST_IMAGE", 300)
    monkeypatch.setattr(image_archives, "MOST_PACKED", 1)
    with pytest.raises(InputError, match="more than 1 entries"):
        unpack_images(archive, tmp_path / "b")
    monkeypatch.setattr(image_archives, "MOST_PACKED", 10)
    monkeypatch.setattr(image_archives, "SHARE_OF_FREE", 0.0)
    with pytest.raises(InputError, match="more than fits on the disk"):
        unpack_images(archive, tmp_path / "c")
    assert not list(tmp_path.rglob("1.png"))


@pytest.mark.parametrize("packed", ["", ":gz", ":bz2", ":xz"])
def test_a_header_that_is_large_is_never_read(packed: str, tmp_path: Path) -> None:
    """A packed TAR of a few KB may claim names of any length, which Python's module would read into memory."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, f"w{packed}") as archive:
        archive.addfile(member("cat/0.png"), io.BytesIO(b"xxx"))
        archive.addfile(member("pax", 2 * 10**7, tarfile.XHDTYPE), io.BytesIO(bytes(2 * 10**7)))
    assert is_archive(path)
    tracemalloc.start()
    with pytest.raises(InputError, match="a header in it claims 20,"):
        unpack_images(path, tmp_path / "out")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 15 * 10**6, "the dictionary of LZMA alone is 8 MiB"


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip", ".tar"])
def test_an_archive_that_was_cut_short(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    data = bytes(range(256)) * 400
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("cat/0.png", data)
        damaged = path.read_bytes()
        path.write_bytes(damaged[:1000] + bytes(50) + damaged[1050:])
    else:
        with tarfile.open(path, "w:gz" if suffix == ".tar.gz" else "w") as archive:
            info = tarfile.TarInfo("cat/0.png")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(InputError, match="cannot be unpacked"):
        unpack_images(path, tmp_path / "out")


def test_what_is_an_archive(tmp_path: Path) -> None:
    (tmp_path / "no.zip").write_text("text")
    assert is_archive(zipped(tmp_path / "a.zip", "cat/0.png"))
    assert is_archive(tarred(tmp_path / "b", member("cat/0.png")))
    assert not is_archive(tmp_path / "no.zip")
    assert not is_archive(tmp_path)
