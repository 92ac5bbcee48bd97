"""Extraction gives the supernet's own answer; ONNX Runtime gives torch's; a bundle has the run's figures."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sqlite3
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from torch import nn

import oncefit
from cost_models import profiling
from cost_models.profiling import LatencyMeasurement
from search.cli.app import main
from search.runs.config import RunConfig
from search.runs.measuring import MeasuredAccuracy
from search.runs.opening import open_run, start
from search.runs.results import conclude
from search.runs.study import REPORT, saved
from search.runs.trials import search
from supernet import documents
from supernet.bundles import bundle as bundles
from supernet.bundles.onnx_export import INPUT, OUTPUT, export_onnx
from supernet.errors import InputError
from supernet.evaluating.evaluation import evaluate, specialise
from supernet.families.catalog import PRETRAINED, open_supernet
from supernet.images.data import load_dataset
from tests.helpers.own_data import write_folders
from tests.helpers.own_predictor import write_mlp


@pytest.fixture(scope="module")
def archs(supernet):
    space = supernet.space
    sampled = space.decode(space.sample(10, np.random.default_rng(7)))
    return [space.smallest(), space.largest(), *sampled]


def images_for(arch, n: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(n, 1, arch.resolution, arch.resolution, generator=generator)


@torch.inference_mode()
def test_a_subnet_answers_as_the_supernet_does(random_net, archs):
    for arch in archs:
        x = images_for(arch)
        expected = random_net(x, arch.values)
        assert expected.std() > 0.1  # something to compare
        torch.testing.assert_close(random_net.extract(arch)(x), expected, atol=1e-5, rtol=1e-5)


def test_extraction_leaves_the_supernet_as_it_was(random_net, archs):
    before = {name: tensor.clone() for name, tensor in random_net.state_dict().items()}
    for arch in archs:
        subnet = random_net.extract(arch)
        with torch.no_grad():
            for tensor in subnet.state_dict().values():
                tensor.zero_()  # a subnet shares no memory with the supernet
    after = random_net.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_subnet_is_free_of_elastic_code(random_net, archs):
    for arch in archs[:3]:
        modules = {type(module).__module__.split(".")[0] for module in random_net.extract(arch).modules()}
        assert modules == {"torch", "supernet"}


def test_two_threads_extract_at_once(random_net, archs):
    alone = [random_net.extract(arch).state_dict() for arch in archs]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda arch: random_net.extract(arch).state_dict(), archs * 3))
    for found, expected in zip(together, alone * 3, strict=True):
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


@torch.inference_mode()
def test_onnx_answers_as_torch_for_any_batch_size(random_net, archs, tmp_path):
    for arch in (archs[0], archs[2]):
        subnet = random_net.extract(arch)
        path = tmp_path / f"{arch.id}.onnx"
        export_onnx(subnet, 1, arch.resolution, path)
        onnx.checker.check_model(onnx.load(path), full_check=True)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        assert session.get_inputs()[0].shape == ["n", 1, arch.resolution, arch.resolution]
        assert session.get_outputs()[0].shape == ["n", 10]
        for n in (1, 3, 8):
            x = images_for(arch, n)
            [logits] = session.run([OUTPUT], {INPUT: x.numpy()})
            np.testing.assert_allclose(logits, subnet(x).numpy(), atol=1e-4)


def test_an_export_is_one_file_and_warns_of_nothing(random_net, archs, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        export_onnx(random_net.extract(archs[0]), 1, archs[0].resolution, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert not caught


def test_a_failed_export_leaves_nothing(tmp_path):
    class Failing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        export_onnx(Failing(), 1, 8, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_an_export_below_a_file_is_refused(random_net, archs, tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match=r"cannot write .*model.onnx: .*; choose another folder"):
        export_onnx(random_net.extract(archs[0]), 1, archs[0].resolution, tmp_path / "file" / "model.onnx")


# -- from a run to a bundle ------------------------------------------------------


@pytest.fixture(scope="module")
def host_run(data, tmp_path_factory) -> Path:
    """A searched and concluded run for this host, whose latency is made up."""
    folder = tmp_path_factory.mktemp("run")
    own = write_folders(data, folder / "images")

    def pretend(net, archs, report, setup):
        times = [0.001 * len(net.layers(arch)) for arch in archs]
        return [LatencyMeasurement(1.02 * t, t, 1.5 * t, 9) for t in times]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONCEFIT_CACHE", str(folder / "cache"))
        patch.setattr(profiling, "profile", pretend)
        config = RunConfig(supernet="fmnist_mbv3", data=str(own), device="host", trials=6, sampler="random")
        run = start(folder / "run", config, None, lambda _: None)
        search(run, lambda _: None)
        conclude(run, lambda _: None)
    return folder / "run"


@pytest.fixture
def evaluated(monkeypatch) -> list[str]:
    """The splits that subnets are evaluated on in torch from now on."""
    splits: list[str] = []
    evaluate = MeasuredAccuracy.evaluate

    def spy(self, subnet, arch, split):
        splits.append(split)
        return evaluate(self, subnet, arch, split)

    monkeypatch.setattr(MeasuredAccuracy, "evaluate", spy)
    return splits


def export_bundle(
    folder: Path, which: str, out: Path | None, say=print, calibrated: bool = True, **given
) -> tuple[Path, dict]:
    """As the command does; the bundle's folder and its figures."""
    run = oncefit.open_run(folder, measure=calibrated, say=say, **given)
    bundle = run.export(which, out, calibrated=calibrated)
    return bundle.folder, dict(bundle.summary)


def reports_in(folder: Path) -> dict[str, dict]:
    """Report accuracies that a run has saved, read with plain SQL."""
    query = "select key, value_json from study_user_attributes where key like 'report:%'"
    with sqlite3.connect(f"file:{folder / 'study.db'}?mode=ro", uri=True) as connection:
        found = dict(connection.execute(query).fetchall())
    return {key.removeprefix("report:"): json.loads(json.loads(value)) for key, value in found.items()}


def test_an_export_has_the_runs_report_figures_and_measures_them_no_second_time(
    host_run, evaluated, tmp_path, monkeypatch
):
    compared = []
    compare = bundles.compare
    monkeypatch.setattr(bundles, "compare", lambda *args: compared.append(args) or compare(*args))
    bundle, summary = export_bundle(host_run, "best", tmp_path / "bundle")
    card = json.loads((bundle / "card.json").read_text())
    assert card["figures"]["measured"]["report"] == reports_in(host_run)[card["arch_id"]]
    assert evaluated == []
    assert len(compared) == 1, "ONNX Runtime and torch are compared all the same"
    assert summary["measured"] == card["figures"]["measured"]


def test_what_an_export_measures_is_kept_in_the_study(host_run, evaluated, tmp_path):
    before = reports_in(host_run)
    result = conclude(open_run(host_run), print)
    other = next(c.arch.id for c in result.front if c.arch.id not in before)
    for _ in range(2):
        _, summary = export_bundle(host_run, other, tmp_path / "other")
    assert evaluated == ["report"]
    kept = reports_in(host_run)
    assert kept == {**before, other: summary["measured"]["report"]}
    study = open_run(host_run).study()
    assert dataclasses.asdict(saved(study, REPORT)[other]) == kept[other]


def test_the_card_tells_predicted_and_measured_costs_and_their_device(host_run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        profiling, "measure_latency_ms", lambda *_: LatencyMeasurement(0.25, 0.2, 0.3, profiling.ROUNDS)
    )
    export_bundle(host_run, "best", tmp_path / "here")
    card = json.loads((tmp_path / "here" / "card.json").read_text())
    device = open_run(host_run).device
    assert card["device"] == {
        "name": "host", "cpu": profiling.cpu_name(), "runtime": "onnxruntime", "versions": profiling.versions(),
        "threads": 1, "region": "WORLD", "date": device.date,
        "latency_error_percent": device.latency.error_percent,
    }  # fmt: skip
    predicted, measured = card["figures"]["predicted"], card["figures"]["measured"]
    estimated = {f"{name}{end}" for name in ("energy_mj", "co2e_mg") for end in ("", "_low", "_high")}
    assert set(predicted) == {"macs", "params", "peak_memory_bytes", "latency_ms"} | estimated
    assert predicted["energy_mj_low"] < predicted["energy_mj"] < predicted["energy_mj_high"]
    assert measured["latency"] == {
        "median_ms": 0.25,
        "low_ms": 0.2,
        "high_ms": 0.3,
        "rounds": profiling.ROUNDS,
    }
    assert measured["latency"]["median_ms"] != predicted["latency_ms"]

    monkeypatch.setattr(profiling, "cpu_name", lambda: "another CPU")
    export_bundle(host_run, "best", tmp_path / "elsewhere")
    card = json.loads((tmp_path / "elsewhere" / "card.json").read_text())
    assert card["device"]["cpu"] == device.cpu
    assert "latency" not in card["figures"]["measured"], "a latency of this machine is none of that device"


def test_the_card_has_the_validation_figure_and_what_is_left_of_it_without_the_choice(host_run, tmp_path):
    result = conclude(open_run(host_run), print)
    bundle, _ = export_bundle(host_run, "best", tmp_path / "bundle")
    figures = json.loads((bundle / "card.json").read_text())["figures"]
    luck = figures["validation_corrected_for_choice"]
    expected = result.corrected[result.chosen.arch.id]
    assert (luck["top1"], luck["top1_low"], luck["top1_high"]) == (
        expected.value,
        expected.low,
        expected.high,
    )
    assert luck["among"] == expected.among
    assert figures["measured"]["validation"]["top1"] == result.chosen.value("top1")
    assert "corrected for having been chosen" in oncefit.open_bundle(bundle)._repr_html_()


# -- an arch that is given -------------------------------------------------------


def test_a_run_hands_out_an_arch_in_any_encoding_unless_it_is_over_budget(
    bare: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = oncefit.open_run(bare / "run")
    smallest = run.supernet.smallest()
    (tmp_path / "subnet.json").write_text('{"d": 1, "ks": 3, "e": 2, "r": 18}')
    said = command(
        "export",
        bare / "run",
        "--pick",
        tmp_path / "subnet.json",
        "--uncalibrated",
        "--json",
        "--out",
        tmp_path / "out",
        capsys=capsys,
    )
    card = json.loads(said)
    assert card["arch_id"] == smallest.id
    assert card["predicted"]["macs"] == run.supernet.costs(smallest)["macs"]
    assert card["predicted"]["top1"] == run.result.run.judge(smallest).top1
    assert run.pick(run.chosen.to_dict()) == run.chosen
    strict = oncefit.search(
        "fmnist_mbv3", accuracy=lambda arch: 0.5, budgets={"macs": 2e6}, trials=1, out=tmp_path / "strict"
    )
    with pytest.raises(
        InputError, match=r"is over a budget of .*, macs .* > 2e\+06; .* export it of the supernet"
    ):
        strict.pick(strict.supernet.largest())
    narrow = oncefit.search(
        "fmnist_mbv3",
        accuracy=lambda arch: 0.5,
        space={"resolution": [18]},
        trials=1,
        out=tmp_path / "narrow",
    )
    with pytest.raises(InputError, match=r"resolution = 28 is not in space"):
        narrow.pick(strict.supernet.largest())


def test_a_supernet_exports_an_arch_without_a_search(
    bare: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = bare / "bare.yaml"
    given = str({"d": 1, "ks": 3, "e": 2, "r": 18})
    out = tmp_path / "out"
    arguments = ("export", name, "--pick", given, "--uncalibrated", "--out", out)
    assert "NOT CALIBRATED" in command(*arguments, capsys=capsys)
    supernet = oncefit.open_supernet(name)
    found = oncefit.open_bundle(out, supernet=supernet)
    assert found.arch == supernet.smallest()
    assert found.card.figures.predicted["macs"] == supernet.costs(found.arch)["macs"]
    expected = supernet.extract(found.arch, calibrated=False).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.subnet().state_dict().items())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fmnist_mbv3"], "is a supernet, and nothing was searched in it: give a subnet of it, as --pick FILE"),
        (["fmnits_mbv3"], "is no folder of a run, nor a supernet: unknown supernet 'fmnits_mbv3'. Did you mean"),
        (["fmnist_mbv3", "--pick", "nowhere.json"], "cannot read nowhere.json"),
        (["fmnist_mbv3", "--pick", "{d: 1, ks: 3, e: 9, r: 18}"], "expand.1.1 = 9 is not in space"),
        (["fmnist_mbv3", "--pick", "{}", "--storage", "sqlite:///x"], "--supernet and --storage are for runs"),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_told(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in command("export", *arguments, code=2, capsys=capsys)


# -- a run whose accuracies are predicted ----------------------------------------


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """A supernet that ships no images, with its weights, and a predicted front of it."""
    folder = tmp_path_factory.mktemp("predicted")
    keys = yaml.safe_load((documents.CONFIGS / "supernets" / "fmnist_mbv3.yaml").read_text())
    keys["weights"]["file"] = str(PRETRAINED / keys["weights"]["file"])
    del keys["data"]
    (folder / "bare.yaml").write_text(yaml.safe_dump({**keys, "name": "bare"}))
    supernet = open_supernet(str(folder / "bare.yaml"))
    config = RunConfig(
        supernet=str(folder / "bare.yaml"), accuracy="predicted", objectives=("top1", "macs"), trials=4,
        predictor=str(write_mlp(supernet, folder / "drawn.safetensors")),
    )  # fmt: skip
    run = start(folder / "run", config, None, lambda _: None)
    search(run, lambda _: None)
    return folder


@pytest.fixture(scope="module")
def photos(data, tmp_path_factory) -> Path:
    return write_folders(data, tmp_path_factory.mktemp("photos"))


def test_a_predicted_run_says_what_its_export_needs(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        InputError, match=r"bare ships no images: give --data FOLDER .*, or --uncalibrated to go"
    ):
        export_bundle(bare / "run", "best", None)
    said = command("export", bare / "run", "--data", "x", "--uncalibrated", code=2, capsys=capsys)
    assert "--data x is for calibrating, and --uncalibrated is for no images" in said


def test_missing_weights_are_said_to_be_missing_before_anything_is_read(
    bare: Path, photos: Path, tmp_path
) -> None:
    shutil.copytree(bare, tmp_path / "copy")
    keys = yaml.safe_load((tmp_path / "copy" / "bare.yaml").read_text())
    del keys["weights"]
    (tmp_path / "copy" / "bare.yaml").write_text(yaml.safe_dump(keys))
    without = str(tmp_path / "copy" / "bare.yaml")
    for given in ({"data": str(photos)}, {"calibrated": False}):
        with pytest.raises(
            InputError, match="the weights of bare are not here: oncefit weights import bare FILE"
        ):
            export_bundle(tmp_path / "copy" / "run", "best", None, supernet=without, **given)


def test_a_predicted_run_is_calibrated_and_measured_on_the_images_given(
    bare: Path, photos: Path, tmp_path
) -> None:
    said: list[str] = []
    folder, summary = export_bundle(bare / "run", "best", tmp_path / "out", said.append, data=str(photos))
    assert [line.partition(" ")[0] for line in said] == [
        "reading",
        "calibrating",
        "measuring",
        "writing",
        "comparing",
    ]
    found = bundles.open_bundle(folder, open_supernet(str(bare / "bare.yaml")))
    assert found.card.calibrated
    assert set(summary["measured"]) == {"report"}
    own = load_dataset(str(photos), found)
    expected = specialise(found.supernet.load(), found.arch, own)  # type: ignore[union-attr]
    assert all(
        torch.equal(tensor, expected.state_dict()[name])
        for name, tensor in found.subnet().state_dict().items()
    )
    assert summary["measured"]["report"] == dataclasses.asdict(evaluate(expected, found.arch, own, "report"))
    assert not reports_in(bare / "run"), "other images next time"


def test_an_export_without_images_keeps_the_supernets_statistics_and_says_so_everywhere(
    bare: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(bare / "run")
    text = command("export", run, "--pick", "knee", "--uncalibrated", capsys=capsys)
    [folder] = (bare / "run" / "bundles").glob("*-uncalibrated")
    card = json.loads((folder / "card.json").read_text())
    assert card["calibrated"] is False
    assert json.loads((folder / "arch.json").read_text())["calibrated"] is False
    assert "data" not in card
    assert card["figures"]["measured"] == {}
    for said in ("not calibrated", "not measured", "NOT CALIBRATED", "top-1 (%), predicted if calibrated"):
        assert said in text
    supernet = open_supernet(str(bare / "bare.yaml"))
    found = bundles.open_bundle(folder, supernet)
    expected = supernet.load().extract(found.arch).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.subnet().state_dict().items())

    given = ("--supernet", bare / "bare.yaml")
    verified = command("verify", folder, *given, capsys=capsys)
    assert "NOT CALIBRATED" in verified
    assert "32 random inputs; there are no images" in verified
    on_images = command("verify", folder, *given, "--data", photos, capsys=capsys)
    assert "top-1 (%), ONNX Runtime" in on_images
    assert "NOT CALIBRATED" in on_images
    assert "NOT CALIBRATED" in command("evaluate", folder, "--images", photos / "report", capsys=capsys)
    assert "was measured on no images; oncefit evaluate takes images as --images" in command(
        "evaluate", folder, code=2, capsys=capsys
    )


def command(*arguments: object, capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    """What a command prints on standard output, or on standard error where it fails."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(list(map(str, arguments)))
    printed = capsys.readouterr()
    assert end.value.code == code, printed.err
    return printed.err if code else printed.out


def test_a_measured_run_takes_its_own_images_from_where_they_are_now_and_no_others(
    host_run: Path, data, tmp_path
) -> None:
    moved = write_folders(data, tmp_path / "moved")
    export_bundle(host_run, "best", tmp_path / "out", data=str(moved))
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["data"]["name"] == str(moved)
    assert card["figures"]["measured"]["report"] == reports_in(host_run)[card["arch_id"]]
    fewer = Path(shutil.copytree(moved, tmp_path / "fewer"))
    next(fewer.glob("validation/*/*.png")).unlink()
    with pytest.raises(InputError, match="give the run's own images with --data"):
        export_bundle(host_run, "best", tmp_path / "other", data=str(fewer))
    assert not (tmp_path / "other").exists()
