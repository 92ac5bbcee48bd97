"""Latencies of whole networks in a CSV file: the same subnet in every form, and what wrong cells are told."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from cost_models.latency_csv import LatencyRows, read_latency_csv
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet

SIZES = tuple(range(128, 225, 4))
D, KS, E = "2 3 4 2 4", " ".join("3575" * 5), " ".join("3464" * 5)
Read = Callable[[str], LatencyRows]


@pytest.fixture(scope="module")
def net() -> Supernet:
    return open_supernet("ofa_mbv3_w1.2")


@pytest.fixture
def read(net: Supernet, tmp_path: Path) -> Read:
    def of_text(text: str) -> LatencyRows:
        path = tmp_path / "latency.csv"
        path.write_text(text)
        return read_latency_csv(path, net)

    return of_text


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def settings(size: int = 160) -> dict[str, object]:
    lists = {key: [int(n) for n in text.split()] for key, text in (("ks", KS), ("e", E), ("d", D))}
    return {**lists, "r": [size]}


def test_every_form_names_the_same_subnet(read: Read, net: Supernet) -> None:
    plain = read(f"d,ks,e,r,phone_1\n{D},{KS},{E},160,12.5\n")
    arch = plain.archs[0]
    assert (arch.resolution, arch["depth.2"], arch["kernel.1.2"], arch["expand.1.2"]) == (160, 3, 5, 4)
    assert "kernel.1.3" not in arch.values
    dimensions = [d.name for d in net.space.dimensions]
    cells = [f"{arch.values[name]:g}" if name in arch.values else "" for name in dimensions]
    forms = [
        f"r,phone_1,e,ks,d\n160,12.5,{E},{KS},{D}\n",
        f'd,ks,e,image_size,phone_1\n"[{D.replace(" ", ", ")}]",{KS},{E},160,12.5\n',
        f"arch,phone_1\n{quoted(json.dumps(settings()))},12.5\n",
        f"Sub-network,phone_1\n{quoted(str(settings()))},12.5\n",
        f"phone_1,whatever\n12.5,{quoted(arch.to_json())}\n",
        f"{','.join(dimensions)},phone_1\n{','.join(cells)},12.5\n",
        f"\ufeffd,ks,e,r,phone_1\r\n{D},{KS},{E},160,12.5\r\n",
    ]
    for text in forms:
        rows = read(text)
        assert rows.archs == (arch,), text
        assert (rows.names, rows.column("phone_1").tolist(), rows.lines) == (("phone_1",), [12.5], (2,))


def test_resolutions_are_told_from_their_indices_by_the_whole_column(read: Read) -> None:
    def sizes(*given: int) -> list[int]:
        rows = "".join(f"{D},{KS},{E},{r},1\n" for r in given)
        return [arch.resolution for arch in read(f"d,ks,e,r,ms\n{rows}").archs]

    assert sizes(128, 224, 132) == [128, 224, 132]
    assert sizes(0, 24, 1) == [SIZES[0], SIZES[24], SIZES[1]]
    for wrong, line in ((25, 3), (130, 3), (224, 2)):
        with pytest.raises(InputError, match=rf"latency.csv, line {line}: column r: got .*index, 0 to 24"):
            sizes(7, wrong)


def test_a_subnet_that_was_not_measured_is_nan_and_a_column_of_words_is_no_measurement(read: Read) -> None:
    row = f"{D},{KS},{E},160"
    rows = read(f"d,ks,e,r,a,b,note\n{row},,2,first\n{row},3,,second\n")
    assert rows.names == ("a", "b")
    assert math.isnan(rows.column("a")[0])
    assert rows.column("a")[1] == 3
    with pytest.raises(InputError, match=r"unknown column of latencies in .*'aa'.* Known: a, b"):
        rows.column("aa")


@pytest.mark.parametrize("cell", ["-1", "0", "nan", "inf", "12 ms", "1e999"])
def test_what_is_no_latency_is_refused_by_its_line(read: Read, cell: str) -> None:
    row = f"{D},{KS},{E},160"
    rows = read(f"d,ks,e,r,a\n{row},1\n{row},{cell}\n{row},{cell}\n")
    with pytest.raises(InputError, match=rf"latency.csv, lines 3, 4: column a: got '{cell}'; .* above 0"):
        rows.column("a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no heading and no rows"),
        ("d,ks,e,r,a\n", "has a heading but no rows"),
        ("d,ks,e,r,a,a\n1,1,1,1,1,1\n", "several columns called 'a'"),
        (f"d,ks,e,r,a\n{D},{KS},{E},160\n", "line 2: another number of cells than the heading's 5"),
        (f"d,ks,e,r,a\n{D},{KS},{E},160,1,1\n", "line 2: another number of cells"),
        (f"d,ks,e,r,a\n{D},{KS[:-2]},{E},160,1\n", "line 2: ks is a list of 20 numbers"),
        (f"d,ks,e,r,a\n{D},{KS},{E.replace('6', '5')},160,1\n", r"line 2: expand.* = 5 is not in space"),
        (f"d,ks,e,r,a\n{D},{KS},x,160,1\n", "line 2: e is a list of 20 numbers.*; got x"),
        (f"d,ks,e,r,a\n{D},{KS},{E},,1\n", r"line 2: column r: got None"),
        ("arch,a\nnonsense,1\n", "line 2: column arch: got 'nonsense'; it is an arch"),
        ('arch,a\n"{""space"": ""other"", ""choices"": {}}",1\n', "line 2: this arch is of space 'other'"),
        ("net,a\nnonsense,1\n", "does not say which subnets its rows are of.* columns are net, a"),
        ('d,ks,e,r,a\n"1,1,1,1,1\n', "is not a CSV file"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_by_name(read: Read, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(text)
    assert "latency.csv" in str(caught.value)
