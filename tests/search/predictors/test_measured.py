"""Measured subnets from CSV files and runs, against ``ofa``'s settings, published figures and the study itself."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
import yaml

from cost_models.compute import of_layers
from search.predictors.measured import Measured, from_csv
from search.reports import report
from search.runs.config import RunConfig
from search.runs.measured_subnets import from_run, read_all
from search.runs.run import conclude, start, write_down
from search.runs.trials import search
from supernet.catalog import Supernet, open_supernet
from supernet.data import Dataset
from supernet.errors import InputError
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
    report.write(conclude(run, lambda _: None))
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
        (FINE | {"e": [6] * 19}, 70, "e is a list of 20 numbers here; got [6, 6"),
        (FINE | {"r": None}, 70, "r is the resolution as a number"),
        ("[1, 2]", 70, "column Sub-network: got '[1, 2]'; it is a dict"),
        ("__import__('os').getcwd()", 70, "it is a dict of ks, e, d and r"),
        (FINE, "good", "column Top-1 Acc (%): got 'good'; top-1 is a number from 0 to 100"),
        (FINE, 170, "got '170'; top-1 is a number from 0 to 100"),
        (FINE, "nan", "got 'nan'; top-1 is a number from 0 to 100"),
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
    assert "column top1: got '90'; top-1 is a number from 0 to 1" in said_of(written({"top1": 90}), supernet)
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
    assert "is not a CSV file" in said_of(tmp_path / "bytes.csv", supernet)
    (tmp_path / "empty.csv").write_text("")
    assert "this one has none" in said_of(tmp_path / "empty.csv", supernet)
    assert "no rows" in said_of(write_csv(tmp_path / "heading.csv", []), open_supernet("ofa_mbv3_w1.0"))


def test_no_files_are_no_rows(supernet: Supernet) -> None:
    rows = read_all([], supernet)
    assert isinstance(rows, Measured)
    assert len(rows) == 0
    assert rows.codes.shape == (0, len(supernet.space.dimensions))
