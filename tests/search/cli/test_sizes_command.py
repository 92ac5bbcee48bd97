"""``oncefit sizes``: what people and programs see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import oncefit
from search.cli.app import main
from search.reports.size_words import binary
from tests.helpers.model_files import write_model


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["sizes", *map(str, arguments)])
    assert ended.value.code == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_one_file_is_shown_with_its_largest_tensors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_model("onnx", tmp_path)
    out, _ = run(capsys, path)
    for words in (
        "weights, float32",
        "repeated weights, float32",
        f"{path.stat().st_size:,}",
        "largest tensors",
        "4 x 6",
    ):
        assert words in out
    assert "2 tensors with the bytes of another are stored again, 104 B: c = c, again = w" in out


def test_several_files_are_held_against_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [write_model("pth", tmp_path), write_model("safetensors", tmp_path)]
    out, _ = run(capsys, *files)
    ratio = files[1].stat().st_size / files[0].stat().st_size
    for words in ("net.pth", "net.safetensors", f"{ratio:.3f}", "the same bytes", "and what they are in"):
        assert words in out
    assert "largest tensors" not in out


def test_json_has_what_python_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [write_model("pth", tmp_path), write_model("checkpoint", tmp_path)]
    out, err = run(capsys, *files, "--json", "--plot", tmp_path / "sizes.png")
    told = json.loads(out)
    assert told == oncefit.sizes(*files).to_dict()
    for path, one in zip(files, told["files"], strict=True):
        assert sum(part["bytes"] for part in one["parts"]) == one["bytes"] == path.stat().st_size
    [compared] = told["compared_with_the_first"]
    assert compared["file"] == str(files[1])
    assert err == f"wrote {tmp_path / 'sizes.png'}\n"
    with Image.open(tmp_path / "sizes.png") as picture:
        assert picture.format == "PNG"
    html = oncefit.sizes(files[0])._repr_html_()
    assert f"{files[0].stat().st_size:,}" in html


def test_a_name_with_brackets_is_shown_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_model("pth", tmp_path)
    odd = path.rename(tmp_path / "[bold]net[v1].pth")
    assert "[bold]net[v1].pth" in run(capsys, odd)[0]


def test_bundles_of_nothing_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.json").touch()
    assert "0 B" in run(capsys, tmp_path / "one", tmp_path / "other")[0]


def test_a_picture_is_png_or_svg_where_a_file_can_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_model("pth", tmp_path)
    assert "ends with .png or .svg" in run(capsys, path, "--plot", tmp_path / "sizes.pdf", code=2)[1]
    told = run(capsys, path, "--plot", path / "sizes.png", code=2)[1]
    assert told.endswith("give another file for the picture\n")
    run(capsys, path, "--plot", tmp_path / "sizes.svg")
    assert (tmp_path / "sizes.svg").read_text().startswith("<?xml")
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([path.name, "sizes.svg"])


def test_what_is_wrong_is_one_paragraph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.h5"
    path.write_bytes(b"x")
    out, err = run(capsys, path, code=2)
    assert out == ""
    assert err.startswith("oncefit: unknown ending of the model file")
    assert ".safetensors" in err
    with pytest.raises(oncefit.InputError, match="no file is given"):
        oncefit.sizes()


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (244_403_360, "233.08 MiB")]
)
def test_bytes_as_people_read_them(size: int, shown: str) -> None:
    assert binary(size) == shown
