"""Measured subnets from CSV files and runs, against ``ofa``'s settings, published figures and the study itself."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
import yaml

from cost_models.compute import of_layers
from search.cli.app import main
from search.predictors.measured import Measured, from_csv
from search.reports import report
from search.runs.config import RunConfig
from search.runs.measured_subnets import from_run, read_all
from search.runs.opening import start, write_down
from search.runs.results import conclude
from search.runs.trials import search
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from supernet.images.data import Dataset
from tests.helpers.ofa_settings import OFA_SUPERNETS, settings
from tests.helpers.own_data import write_folders

HEADING = ["Sub-network", "Top-1 Acc (%)"]


def write_csv(path: Path, rows: list[list[object]], heading: list[str] = HEADING) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([heading, *rows])
    return path


def write_settings(path: Path, supernet: Supernet, codes: np.ndarray, top1: list[float]) -> Path:
    """A file as DyNAS-T writes it, from ``ofa``'s settings of the archs."""
    archs = supernet.space.decode(codes)
    given = [settings(supernet.space, arch) | {"wid": None, "r": [arch.resolution]} for arch in archs]
    return write_csv(path, [[one, 100 * value] for one, value in zip(given, top1, strict=True)])


@pytest.mark.parametrize("name", OFA_SUPERNETS)
def test_settings_of_ofa_are_read_as_the_archs_they_are_of(name: str, tmp_path: Path) -> None:
    supernet = open_supernet(name)
    rng = np.random.default_rng(3)
    codes, top1 = supernet.space.sample(40, rng), rng.uniform(0.6, 0.8, 40)
    rows = from_csv(write_settings(tmp_path / "rows.csv", supernet, codes, top1.tolist()), supernet)
    assert (rows.codes == codes).all()
    np.testing.assert_allclose(rows.top1, top1, rtol=1e-12)
    assert set(rows.groups) == {"rows.csv"}


def test_published_rows_have_the_published_costs(tmp_path: Path) -> None:
    """Five rows as DyNAS-T writes them (Intel Labs): a subnet's settings, with what was counted and measured of it."""
    heading = ["Sub-network", "Date", "Model Parameters", "Latency (ms)", "MACs", "Top-1 Acc (%)"]
    first, second = (
        write_csv(
            tmp_path / name,
            [
                [of_ofa(ks, e, d), "2022-11-01 05:40:09", params, 0, macs, top1]
                for ks, e, d, params, macs, top1 in rows
            ],
            heading,
        )
        for name, rows in (("first.csv", MEASURED[:2]), ("second.csv", MEASURED[2:]))
    )
    supernet = open_supernet("ofa_mbv3_w1.0")
    rows = read_all([first, second], supernet)
    assert list(rows.groups) == ["first.csv"] * 2 + ["second.csv"] * 3
    assert rows.top1.tolist() == pytest.approx([row[-1] / 100 for row in MEASURED])
    costs = [of_layers(supernet.layers(arch)) for arch in supernet.space.decode(rows.codes)]
    assert [(c["params"], c["macs"]) for c in costs] == [row[3:5] for row in MEASURED]


MEASURED = [
    ("57553337553773335555", "43444634434336664344", "23243", 5029656, 255502624, 75.448),
    ("55553777757333555755", "43636633644634364434", "33343", 4761632, 297261792, 76.042),
    ("73375333737773753333", "36636366664346433644", "32232", 4536768, 244945104, 74.69),
    ("55337533337375735575", "64636636646434434366", "34242", 4124080, 285396704, 75.126),
    ("55335555575555357333", "36443443444434446433", "32343", 4741368, 257867072, 75.918),
]
"""Kernels and expand ratios of 20 blocks, depths of 5 stages, parameters, multiply-adds and top-1 (%) at 224 pixels."""


def of_ofa(kernels: str, expands: str, depths: str) -> dict[str, object]:
    ks, e, d = ([int(digit) for digit in digits] for digits in (kernels, expands, depths))
    return {"wid": None, "ks": ks, "e": e, "d": d, "r": [224]}


def test_what_skipped_blocks_have_does_not_matter(tmp_path: Path) -> None:
    supernet = open_supernet("ofa_mbv3_w1.0")
    first = {"ks": [3] * 20, "e": [6] * 20, "d": [2] * 5, "r": [224]}
    second = first | {"ks": ([3, 3, 7, 5]) * 5, "e": [6, 6, 3, 4] * 5, "r": 224}
    rows = from_csv(write_csv(tmp_path / "rows.csv", [[first, 70], [second, 71]]), supernet)
    assert (rows.codes[0] == rows.codes[1]).all()
    assert rows.ids[0] == rows.ids[1]


def test_rows_of_one_subnet_are_merged_into_their_mean(tmp_path: Path) -> None:
    supernet = open_supernet("ofa_mbv3_w1.0")
    a, b, c = supernet.space.sample(3, np.random.default_rng(0))
    one = write_settings(tmp_path / "one.csv", supernet, np.array([a, b, a]), [0.70, 0.71, 0.74])
    other = write_settings(tmp_path / "other.csv", supernet, np.array([c, a]), [0.6, 0.78])
    rows = read_all([one, other], supernet)
    assert len(rows) == 5
    merged = rows.merged()
    assert (merged.codes == [a, b, c]).all()
    np.testing.assert_allclose(merged.top1, [0.74, 0.71, 0.6])
    assert merged.groups == ("one.csv", "one.csv", "other.csv")
    assert (rows.of("other.csv").without(rows.of("one.csv")).codes == [c]).all()
    assert (rows[[1, 3]].codes == [b, c]).all()
    assert (rows[rows.top1 < 0.705].codes == [a, c]).all()
    assert len(rows[[]]) == 0
    assert len(rows.without(rows)) == 0


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    supernet = open_supernet("ofa_mbv3_w1.0")
    codes = supernet.space.sample(2, np.random.default_rng(0))
    places = []
    for folder, row in zip("ab", codes, strict=True):
        (tmp_path / folder).mkdir()
        places.append(write_settings(tmp_path / folder / "x.csv", supernet, row[None], [0.7]))
    assert read_all(places, supernet).groups == tuple(map(str, places))


# -- the unit of top-1 ---------------------------------------------------------------

TOP1 = (0.71, 0.742, 0.76, 0.755, 0.7, 0.749, 0.751, 0.73, 0.72, 0.7444)
Write = Callable[[Path, Sequence[object]], Path]


def as_settings(path: Path, top1: Sequence[object]) -> Path:
    """In the form of ``ofa``, whose heading says percent."""
    space = open_supernet("ofa_mbv3_w1.0").space
    archs = space.decode(space.sample(len(top1), np.random.default_rng(2)))
    given = [settings(space, arch) | {"r": [arch.resolution]} for arch in archs]
    return write_csv(path, [[one, value] for one, value in zip(given, top1, strict=True)])


def as_columns(path: Path, top1: Sequence[object]) -> Path:
    """In the form of a run's front, which has fractions."""
    space = open_supernet("ofa_mbv3_w1.0").space
    archs = space.decode(space.sample(len(top1), np.random.default_rng(2)))
    rows = [{"top1": value} | dict(arch.values) for value, arch in zip(top1, archs, strict=True)]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


both_forms = pytest.mark.parametrize("written", [as_settings, as_columns])


@both_forms
def test_the_unit_is_that_of_the_range_and_is_said(written: Write, tmp_path: Path) -> None:
    supernet, heard = open_supernet("ofa_mbv3_w1.0"), list[str]()
    places = [
        written(tmp_path / "fractions.csv", TOP1),
        written(tmp_path / "percent.csv", [round(100 * value, 2) for value in TOP1]),
    ]
    rows = read_all(places, supernet, heard.append)
    for name in ("fractions.csv", "percent.csv"):
        np.testing.assert_allclose(rows.of(name).top1, TOP1, rtol=1e-12)
    as_fractions, in_percent = heard
    assert "is read as fractions, 0.7 to 0.76" in as_fractions
    assert "is read in percent, 70 to 76" in in_percent
    surprising = as_fractions if written is as_settings else in_percent
    assert [said for said in heard if said.endswith("by its range and not by its heading")] == [surprising]


@both_forms
@pytest.mark.parametrize(
    ("changed", "lines", "why"),
    [
        ({3: 0}, "line 5", "a subnet that was not measured"),
        ({0: 0, 4: 0.0, 9: -1}, "lines 2, 6, 11", "a subnet that was not measured"),
        ({2: 76, 7: 73}, "lines 4, 9", "not in the unit of the other rows, of which one holds 0.71"),
        ({5: "inf"}, "line 7", "top-1 is a number above 0"),
        ({5: "n/a"}, "line 7", "top-1 is a number above 0"),
        ({1: 0.001}, "line 3", "over 30 points from the median of the column, 73.7 %: an outlier"),
        ({1: 0.0742, 8: 0.072}, "lines 3, 10", "an outlier"),
    ],
)
def test_what_was_not_measured_or_cannot_be_is_refused_with_its_rows(
    written: Write, changed: dict[int, object], lines: str, why: str, tmp_path: Path
) -> None:
    top1 = [changed.get(i, value) for i, value in enumerate(TOP1)]
    said = said_of(written(tmp_path / "rows.csv", top1), open_supernet("ofa_mbv3_w1.0"))
    assert f"{lines}: column " in said
    assert why in said


def test_a_fraction_among_percents_is_named(tmp_path: Path) -> None:
    top1 = [100 * value for value in TOP1[:-1]] + [TOP1[-1]]
    said = said_of(as_settings(tmp_path / "rows.csv", top1), open_supernet("ofa_mbv3_w1.0"))
    assert "line 11: column Top-1 Acc (%): got '0.7444'; that is not in the unit" in said


def test_many_rows_are_counted_and_not_all_named(tmp_path: Path) -> None:
    said = said_of(as_settings(tmp_path / "rows.csv", [0.7] * 20 + [0] * 30), open_supernet("ofa_mbv3_w1.0"))
    assert "lines 22, 23, 24, 25, 26, 27, 28, 29, 30, 31 and 20 more: " in said


def test_bad_subnets_are_no_outliers(tmp_path: Path) -> None:
    """A search's rows are near the best, and those of its start may be 25 points below."""
    top1 = [0.76 + i / 1e4 for i in range(40)] + [0.51, 0.6]
    rows = from_csv(as_settings(tmp_path / "rows.csv", top1), open_supernet("ofa_mbv3_w1.0"))
    assert rows.top1.min() == 0.51


@pytest.mark.parametrize("place", ["train", "test", "exclude"])
def test_every_command_that_reads_rows_says_the_unit_and_refuses(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fine = as_settings(tmp_path / "fine.csv", [100 * value for value in TOP1])
    bad = as_settings(tmp_path / "bad.csv", [0, *TOP1[1:]])
    arguments = {
        "train": [
            "train",
            "mine",
            bad,
            "--supernet",
            "ofa_mbv3_w1.0",
            "--out",
            tmp_path / "mine.safetensors",
        ],
        "test": ["test", "ofa_mbv3_w1.0", bad],
        "exclude": ["test", "ofa_mbv3_w1.0", fine, "--exclude", bad],
    }[place]
    with pytest.raises(SystemExit) as stop:
        main(["predictor", *map(str, arguments)])
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert (
        f"{bad}, line 2: column Top-1 Acc (%): got '0'; that stands for a subnet that was not measured"
        in " ".join(said.split())
    )
    assert (f"{fine}: top-1 in column Top-1 Acc (%) is read in percent" in said) == (place == "exclude")


def test_a_row_may_hold_any_encoding(tmp_path: Path) -> None:
    supernet = open_supernet("ofa_mbv3_w1.0")
    arch = supernet.space.smallest()
    given = settings(supernet.space, arch) | {"r": arch.resolution}
    one_for_all = {"ks": 3, "e": 3, "d": 2, "r": 128, "w": 1.0}
    rows = [[given, 70], [json.dumps(given), 70], [json.dumps(arch.to_dict()), 70], [one_for_all, 70]]
    assert set(from_csv(write_csv(tmp_path / "rows.csv", rows), supernet).ids) == {arch.id}
    said = said_of(write_csv(tmp_path / "rows.csv", [[one_for_all | {"w": 1.2}, 70]]), supernet)
    assert "line 2: column Sub-network: w is the width multiplier 1.2" in said


# -- runs --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run_folder(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real search in a part of the embedded space, with its report."""
    folder = tmp_path_factory.mktemp("measured") / "run"
    config = RunConfig(
        supernet="fmnist_mbv3",
        space={"resolution": (18, 28)},
        data=str(write_folders(data, folder.parent / "images")),
        objectives=("top1", "macs"),
        trials=6,
    )
    run = start(folder, config, None, lambda _: None)
    write_down(run)
    search(run, lambda _: None)
    report.write_report(conclude(run, lambda _: None))
    return folder


def test_a_run_gives_what_its_study_holds(run_folder: Path, supernet: Supernet) -> None:
    rows = from_run(run_folder, supernet)
    name = yaml.safe_load((run_folder / "study.yaml").read_text())["name"]
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{run_folder / 'study.db'}")
    trials = {
        trial.user_attrs["arch_id"]: trial.user_attrs["validation"]["top1"]
        for trial in study.get_trials()
        if "validation" in trial.user_attrs
    }
    assert len(trials) == 6
    assert dict(zip(rows.ids, rows.top1.tolist(), strict=True)) == trials
    assert rows.space == supernet.space
    assert set(rows.groups) == {"run"}
    resolutions = {arch.resolution for arch in supernet.space.decode(rows.codes)}
    assert resolutions == {18, 28}


def test_a_front_csv_gives_the_same_rows(run_folder: Path, supernet: Supernet) -> None:
    both = read_all([run_folder, run_folder / "front.csv"], supernet)
    run, front = both.of("run"), both.of("front.csv")
    assert len(front) == len(pd.read_csv(run_folder / "front.csv")) > 0
    known = dict(zip(run.ids, run.top1, strict=True))
    assert [known[id] for id in front.ids] == front.top1.tolist()


def test_a_run_of_another_network_is_refused(run_folder: Path) -> None:
    with pytest.raises(InputError, match=r"is a run of fmnist_mbv3 .* not of ofa_mbv3_w1\.0"):
        from_run(run_folder, open_supernet("ofa_mbv3_w1.0"))


# -- what can be wrong with a file ---------------------------------------------------

FINE = {"ks": [3] * 20, "e": [6] * 20, "d": [2] * 5, "r": [224]}


def said_of(path: Path, supernet: Supernet) -> str:
    with pytest.raises(InputError) as error:
        from_csv(path, supernet)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("subnet", "top1", "said"),
    [
        (FINE | {"r": [226]}, 70, "resolution = 226 is not in space ofa_mbv3_w1.0; allowed: (128, 132"),
        (FINE | {"d": [2, 2, 5, 2, 2]}, 70, "depth.3 = 5 is not in space"),
        (FINE | {"ks": [9] + [3] * 19}, 70, "kernel.1.1 = 9 is not in space"),
        (
            FINE | {"e": [6] * 19},
            70,
            "e is a list of 20 numbers here, of 10 without the skipped blocks, or one number for all; got [6, 6",
        ),
        (FINE | {"r": None}, 70, "r is the resolution as a number"),
        ("[1, 2]", 70, "column Sub-network: got '[1, 2]'; it is a dict"),
        ("__import__('os').getcwd()", 70, "it is a dict of ks, e, d and r"),
        (FINE, "good", "column Top-1 Acc (%): got 'good'; top-1 is a number above 0, of at most 1 as a"),
        (FINE, 170, "got '170'; top-1 is a number above 0"),
        (FINE, "nan", "got 'nan'; top-1 is a number above 0"),
        (FINE, "", "got ''; top-1 is a number"),
    ],
)
def test_a_wrong_row_is_named(subnet: object, top1: object, said: str, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", [[FINE, 70], [subnet, top1]])
    found = said_of(path, open_supernet("ofa_mbv3_w1.0"))
    assert "line 3" in found
    assert said in found


def columns_of(supernet: Supernet, row: int = 0) -> dict[str, object]:
    [arch] = supernet.space.decode(supernet.space.sample(row + 1, np.random.default_rng(1))[row:])
    return {"arch_id": arch.id} | dict(arch.values)


def test_a_wrong_row_of_columns_is_named(supernet: Supernet, tmp_path: Path) -> None:
    def written(changed: dict[str, object]) -> Path:
        row = {"top1": 0.9} | columns_of(supernet) | changed
        pd.DataFrame([row]).to_csv(tmp_path / "rows.csv", index=False)
        return tmp_path / "rows.csv"

    assert len(from_csv(written({}), supernet)) == 1
    assert "column top1: got '900'; top-1 is a number above 0" in said_of(written({"top1": 900}), supernet)
    assert "column resolution: got 'big'; allowed" in said_of(written({"resolution": "big"}), supernet)
    said = said_of(written({"arch_id": "0123456789"}), supernet)
    assert "line 2: column arch_id: 0123456789 is not the arch of this row in fmnist_mbv3" in said


def test_a_file_without_the_columns_is_refused(supernet: Supernet, tmp_path: Path) -> None:
    said = said_of(write_csv(tmp_path / "x.csv", [[1, 2]], ["resolution", "cost"]), supernet)
    assert "has no column depth.1" in said
    assert "top1" in said
    assert "this one has resolution, cost" in said
    said = said_of(write_csv(tmp_path / "x.csv", [[FINE]], ["Sub-network"]), open_supernet("ofa_mbv3_w1.0"))
    assert "has no column Top-1 Acc (%)" in said


def test_a_file_that_is_none_is_refused(supernet: Supernet, tmp_path: Path) -> None:
    assert "cannot read" in said_of(tmp_path / "missing.csv", supernet)
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00\x01")
    assert "is not valid CSV" in said_of(tmp_path / "bytes.csv", supernet)
    (tmp_path / "empty.csv").write_text("")
    assert "this one has none" in said_of(tmp_path / "empty.csv", supernet)
    assert "no rows" in said_of(write_csv(tmp_path / "heading.csv", []), open_supernet("ofa_mbv3_w1.0"))


def test_no_files_are_no_rows(supernet: Supernet) -> None:
    rows = read_all([], supernet)
    assert isinstance(rows, Measured)
    assert len(rows) == 0
    assert rows.codes.shape == (0, len(supernet.space.dimensions))
