"""Scores in closed form, predictor files that are wrong, and ``oncefit predictor`` as it is typed."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from search.cli.app import main
from search.predictors import files, mlp
from search.predictors.kinds import KINDS
from search.predictors.measured import from_csv
from search.predictors.protocol import Prediction, PredictorCard
from search.predictors.scores import score
from supernet.documents import CONFIGS
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from tests.helpers.ofa_settings import settings
from tests.helpers.own_predictor import write_mlp

LARGE = "ofa_mbv3_w1.2"


# -- scores --------------------------------------------------------------------------


def scores_of(predicted: list[float], measured: list[float], std: list[float] | None = None) -> object:
    deviations = None if std is None else np.array(std)
    return score(Prediction(np.array(predicted), deviations), np.array(measured))


def test_scores_of_a_case_done_by_hand() -> None:
    # errors of 1, 0, 2 and 0 points; of 6 pairs one is in another order: tau (5 - 1) / 6; rank
    # differences 0, 1, 1, 0: Spearman 1 - 6 * 2 / (4 * 15)
    found = scores_of([0.70, 0.72, 0.71, 0.74], [0.69, 0.72, 0.73, 0.74])
    assert found.rows == 4
    assert found.rmse_points == pytest.approx((5 / 4) ** 0.5)
    assert found.largest_error_points == pytest.approx(2)
    assert found.kendall_tau == pytest.approx(4 / 6)
    assert found.spearman == pytest.approx(0.8)
    assert found.coverage is None


def test_tau_allows_for_ties() -> None:
    # 5 concordant pairs and one tie among the predictions: tau-b is 5 / sqrt(6 * 5)
    assert scores_of([1, 2, 2, 3], [1, 2, 3, 4]).kendall_tau == pytest.approx(5 / 30**0.5)


def test_coverage_is_the_share_within_the_interval() -> None:
    found = scores_of([0.7, 0.7, 0.7, 0.7], [0.716, 0.717, 0.683, 0.684], [0.01] * 4)  # 1.645 points wide
    assert found.coverage == 0.5


def test_no_rank_is_claimed_where_there_is_none() -> None:
    assert np.isnan(scores_of([0.7, 0.7], [0.6, 0.8]).kendall_tau)
    assert np.isnan(scores_of([0.7], [0.6]).spearman)


# -- files -----------------------------------------------------------------------------


def random_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict as the OFA tutorial's, but of one hidden layer; its predictions are around a half."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"0.weight": (8, 128), "0.bias": (8,), "2.weight": (1, 8), "2.bias": (1,)}
    state = {name: torch.randn(*shape, generator=generator) / 10 for name, shape in shapes.items()}
    return state | {"2.bias": torch.tensor([0.5])}


def made(seed: int = 0) -> mlp.Mlp:
    supernet = open_supernet(LARGE)
    state = {name: tensor.numpy() for name, tensor in random_state(seed).items()}
    return mlp.import_published("mine", state, supernet.space, supernet.fingerprint, "a split", "a source")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ONCEFIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_predictor_is_found_by_name_and_by_path(cache: Path, tmp_path: Path) -> None:
    supernet = open_supernet(LARGE)
    files.write_predictor(made(1), cache / "predictors" / "mine.safetensors")
    files.write_predictor(made(2), tmp_path / "other.safetensors")
    assert "mine" in files.predictor_names()
    by_name = files.open_predictor("mine", supernet)
    by_path = files.open_predictor(str(tmp_path / "other.safetensors"), supernet)
    assert [files.digest(by_name), files.digest(by_path)] == [files.digest(made(1)), files.digest(made(2))]
    with pytest.raises(
        InputError, match=r"unknown predictor 'mime'\. Did you mean 'mine'\?.*predictor import"
    ):
        files.find_predictor("mime")
    with pytest.raises(InputError, match=r"no predictor file none\.safetensors; known by name: .*mine"):
        files.find_predictor("none.safetensors")


def test_a_digest_changes_with_a_number_and_with_the_card() -> None:
    one = made()
    changed = mlp.Mlp(one.card, one.inputs, one.weights, (one.biases[0] + np.float32(1e-6), one.biases[1]))
    renamed = mlp.Mlp(one.card.model_copy(update={"split": "another"}), one.inputs, one.weights, one.biases)
    digests = [files.digest(p) for p in (one, made(), changed, renamed)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def card_of(path: Path) -> dict:
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        return json.loads(file.metadata()["card"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "oracle"}, r"unknown kind of predictor .* 'oracle'\. Known: mlp"),
        ({"supernet": None}, r"card of .*: supernet: got 'None'"),
        ({"acuracy": 1}, r"unknown key 'acuracy'"),
        ({"settings": {}}, r"is no mlp"),
        ({"settings": {"inputs": [["resolution", [224]]]}}, r"do not fit 1 inputs"),
    ],
)
def test_a_file_with_a_wrong_card_is_refused(change: dict, said: str, tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    files.write_predictor(made(), path)
    save_file(load_file(path), path, {"card": json.dumps(card_of(path) | change)})
    with pytest.raises(InputError, match=said):
        files.read_predictor(path)


def test_files_that_are_no_predictors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    save_file({"x": np.zeros(3, np.float32)}, path)
    with pytest.raises(InputError, match="holds no predictor: it has no card"):
        files.read_predictor(path)
    save_file({"x": np.zeros(3, np.float32)}, path, {"card": "{"})
    with pytest.raises(InputError, match=r"card of .* is not JSON"):
        files.read_predictor(path)
    path.write_bytes(b"not a file of tensors")
    with pytest.raises(InputError, match="is not a safetensors file"):
        files.read_predictor(path)
    files.write_predictor(made(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="is not a safetensors file"):
        files.read_predictor(path)


def test_every_choice_of_a_space_needs_an_input() -> None:
    supernet, predictor = open_supernet(LARGE), made()
    files.check_choices(predictor, supernet.restricted(predictor.card.domain).space)
    with pytest.raises(InputError, match="no input for resolution 132"):
        files.check_choices(predictor, supernet.space)
    odd = supernet.restricted({"resolution": (128, 220, 224)}).space
    with pytest.raises(InputError, match=r"no input for resolution 220; .* \{resolution: \[128, 224\]\}"):
        files.check_choices(predictor, odd)


def test_tensors_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    for value in (np.nan, np.inf):
        files.write_predictor(made(), path)
        tensors = load_file(path)
        tensors["1.weight"][0, 3] = value
        save_file(tensors, path, {"card": json.dumps(card_of(path))})
        with pytest.raises(
            InputError, match=r"p\.safetensors is damaged: its tensor 1\.weight holds numbers that"
        ):
            files.read_predictor(path)


def with_bias(value: float) -> mlp.Mlp:
    """All predictions are ``value``."""
    one = made()
    constant = (np.zeros_like(one.weights[-1]), np.array([value], np.float32))
    return mlp.Mlp(one.card, one.inputs, (one.weights[0], constant[0]), (one.biases[0], constant[1]))


@pytest.mark.parametrize(("value", "said"), [(-0.51, "-0.51"), (1.51, "1.51"), (76.1, "76.1"), (1e38, "1e")])
def test_predictions_that_are_no_top1_are_refused(value: float, said: str) -> None:
    space = open_supernet(LARGE).restricted({"resolution": (160, 224)}).space
    with pytest.raises(
        InputError, match=rf"mine predicts a top-1 of {said}.*(\d+) of \1 .* outside -0\.5 to 1\.5"
    ):
        files.check_choices(with_bias(value), space)


def test_predictions_a_little_beyond_the_possible_are_let_be() -> None:
    space = open_supernet(LARGE).restricted({"resolution": (160, 224)}).space
    for value in (-0.49, 0, 1, 1.49):
        files.check_choices(with_bias(value), space)


def test_predictions_that_are_not_finite_are_refused() -> None:
    """Numbers that are finite, as a file's must be, and whose products are not."""
    space = open_supernet(LARGE).restricted({"resolution": (160, 224)}).space
    one = made()
    huge = np.full_like(one.weights[0], 3e38)
    for last, said in (
        (np.full_like(one.weights[1], 1), "inf"),
        (np.array([[1, -1] * 4], np.float32), "nan"),
    ):
        damaged = mlp.Mlp(one.card, one.inputs, (huge, last), one.biases)
        with pytest.raises(InputError, match=f"predicts a top-1 of {said}, as a fraction"):
            files.check_choices(damaged, space)


def test_a_deviation_that_is_not_finite_is_refused() -> None:
    top1, std = np.array([0.7, 0.7]), np.array([0.01, np.inf])
    with pytest.raises(InputError, match="mine predicts a standard deviation of inf"):
        files.check_plausible(made().card, Prediction(top1, std))
    files.check_plausible(made().card, Prediction(top1, std[:1].repeat(2)))


@pytest.mark.parametrize("choices", [[("kernel.2.2", 3)], [("kernel.1.1", 5), ("expand.2.1", 4)]])
def test_nonsense_of_some_subnets_alone_is_found(choices: list[tuple[str, int]]) -> None:
    """Of those with one choice, or with two that neither the largest nor the smallest arch has."""
    space = open_supernet(LARGE).restricted({"resolution": (160, 224)}).space
    one = made()
    names = [(name, choice) for name, choices in one.inputs for choice in choices]
    first, last = one.weights[0].copy(), one.weights[1].copy()
    bias = one.biases[0].copy()
    first[0], bias[0], last[0, 0] = 0, 0.5 - len(choices), 10
    first[0, [names.index(choice) for choice in choices]] = 1  # 0.5 where all are chosen, else cut off at 0
    damaged = mlp.Mlp(one.card, one.inputs, (first, last), (bias, one.biases[1]))
    with pytest.raises(InputError, match="predicts a top-1 of"):
        files.check_choices(damaged, space)
    bounds = damaged.predict(space, space.encode([space.largest(), space.smallest()])).top1
    assert len(choices) == 1 or ((bounds > -0.5) & (bounds < 1.5)).all()


@pytest.mark.parametrize("damage", ["a tensor", "predictions"])
def test_a_damaged_predictor_starts_no_run(
    damage: str, supernet: Supernet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, folder = write_mlp(supernet, tmp_path / "p.safetensors"), tmp_path / "run"
    tensors, card = load_file(path), card_of(path)
    tensors["1.bias"][:] = np.nan if damage == "a tensor" else 7
    save_file(tensors, path, {"card": json.dumps(card)})
    config = tmp_path / "search.yaml"
    config.write_text(
        f"supernet: {supernet.name}\naccuracy: predicted\npredictor: {path}\nbudgets: {{macs: 100e6}}\n"
    )
    with pytest.raises(SystemExit) as end:
        main(["search", str(config), "--out", str(folder)])
    err = capsys.readouterr().err
    assert end.value.code == 2, err
    assert {"a tensor": "1.bias holds numbers that are not finite", "predictions": "predicts a top-1 of 7."}[
        damage
    ] in err
    assert not folder.exists()


def test_a_domain_is_of_a_dimension_or_of_a_kind() -> None:
    supernet = open_supernet(LARGE)
    card = PredictorCard(
        name="p", kind="mlp", supernet=LARGE, fingerprint=supernet.fingerprint, split="s", source="s",
        domain={"resolution": (224,), "kernel": (3, 5)},
    )  # fmt: skip
    inside = {"resolution": (224,), "kernel": (3, 5)}
    assert files.outside_domain(card, supernet.restricted(inside).space) is None
    said = files.outside_domain(card, supernet.restricted({"resolution": (224,)}).space)
    assert said is not None
    assert "trained on kernel 3, 5 only and is asked about 7" in said
    assert "space: {kernel: [3, 5]}" in said


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_builder(kind: str) -> None:
    import importlib

    module, _, builder = KINDS[kind].partition(":")
    assert callable(getattr(importlib.import_module(module), builder))


@pytest.mark.parametrize(
    "path", sorted(files.PRETRAINED_PREDICTORS.glob("*.safetensors")), ids=lambda path: path.stem
)
def test_predictors_that_ship_are_of_supernets_that_ship(path: Path) -> None:
    card = files.read_predictor(path).card
    supernet = open_supernet(card.supernet)
    predictor = files.open_predictor(path.stem, supernet)
    space = supernet.restricted(card.domain).space
    found = predictor.predict(space, space.encode([space.smallest(), space.largest()]))
    assert 0 < found.top1[0] < found.top1[1] < 1
    assert card.held_out is not None
    assert card.name == path.stem


# -- the command ---------------------------------------------------------------------------


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, str]]:
    """Runs ``oncefit predictor`` in this process; returns standard output and standard error."""

    def run(*arguments: object, code: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["predictor", *map(str, arguments)])
        printed = capsys.readouterr()
        assert end.value.code == code, printed.err
        return printed.out, printed.err

    return run


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.save(random_state(), tmp_path / "theirs.pth")
    return tmp_path / "theirs.pth"


def write_measured(path: Path, supernet: Supernet, seed: int, error: float) -> np.ndarray:
    """Rows whose measured top-1 is ``error`` above what the predictor of :func:`made` says; returns their codes."""
    space = supernet.restricted({"resolution": (160, 224)}).space
    archs = space.decode(space.sample(20, np.random.default_rng(seed)))
    codes = supernet.space.encode(archs)
    top1 = made().predict(supernet.space, codes).top1 + error
    assert ((top1 > 0) & (top1 < 1)).all()
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Sub-network", "Top-1 Acc (%)"])
        for arch, value in zip(archs, top1, strict=True):
            table.writerow([settings(supernet.space, arch) | {"r": [arch.resolution]}, 100 * value])
    return codes


def test_import_then_info_list_and_test(
    shown: Callable[..., tuple[str, str]], checkpoint: Path, tmp_path: Path, cache: Path
) -> None:
    supernet = open_supernet(LARGE)
    out, err = shown("import", "mine", checkpoint, "--supernet", LARGE, "--split", "val")
    assert "top-1 on val" in out
    assert str(cache / "predictors" / "mine.safetensors") in err
    listed = json.loads(shown("list", "--json")[0])
    assert listed["mine"]["supernet"] == LARGE
    told = json.loads(shown("info", "mine", "--json")[0])
    assert told["fingerprint"] == supernet.fingerprint
    assert told["digest"] == files.digest(files.open_predictor("mine", supernet))
    assert told["domain"] == {"resolution": [128, 144, 160, 176, 192, 208, 224]}  # it has no input for others
    assert "not published" in shown("info", "mine")[0]

    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    write_measured(one, supernet, 1, 0.01)
    write_measured(two, supernet, 2, -0.02)
    found = json.loads(shown("test", "mine", one, two, "--json")[0])["scores"]
    assert list(found) == ["one.csv", "two.csv", "all together"]
    assert found["one.csv"]["rmse_points"] == pytest.approx(1, abs=1e-4)
    assert found["two.csv"]["largest_error_points"] == pytest.approx(2, abs=1e-4)
    assert found["one.csv"]["kendall_tau"] == found["two.csv"]["spearman"] == pytest.approx(1)
    assert found["all together"]["rmse_points"] == pytest.approx(2.5**0.5, abs=1e-4)
    assert found["all together"]["rows"] == 40
    assert "coverage" not in found["one.csv"]  # it knows no deviation
    table = shown("test", "mine", one, two)[0]
    assert "all together" in table
    assert "1.000" in table


def test_what_stands_in_another_file_is_left_out(
    shown: Callable[..., tuple[str, str]], checkpoint: Path, tmp_path: Path
) -> None:
    supernet = open_supernet(LARGE)
    shown("import", "mine", checkpoint, "--supernet", LARGE)
    one, two, both = tmp_path / "one.csv", tmp_path / "two.csv", tmp_path / "both.csv"
    write_measured(one, supernet, 1, 0.01)
    write_measured(two, supernet, 2, 0.03)
    both.write_text(one.read_text() + two.read_text().partition("\n")[2])
    found = json.loads(shown("test", "mine", both, "--exclude", one, "--json")[0])["scores"]["both.csv"]
    assert found["rows"] == 20
    assert found["rmse_points"] == pytest.approx(3, abs=1e-4)
    err = shown("test", "mine", one, "--exclude", both, code=2)[1]
    assert "no row is left" in err


def test_rows_without_an_input_and_of_another_network_are_refused(
    shown: Callable[..., tuple[str, str]], checkpoint: Path, tmp_path: Path
) -> None:
    shown("import", "mine", checkpoint, "--supernet", LARGE)
    rows = tmp_path / "rows.csv"
    given = {"ks": [3] * 20, "e": [6] * 20, "d": [2] * 5, "r": [132]}
    rows.write_text(f'Sub-network,Top-1 Acc (%)\n"{given}",70\n')
    err = shown("test", "mine", rows, code=2)[1]
    assert "warning" not in err, "an error says it all"
    assert "the predictor mine has no input for resolution 132; it knows 112, 128" in err
    err = shown("test", "mine", rows, "--supernet", "ofa_mbv3_w1.0", code=2)[1]
    assert "was made for ofa_mbv3_w1.2" in err
    assert "not for ofa_mbv3_w1.0" in err


def test_a_predictor_of_ones_own_supernet_is_tested_with_its_file(
    shown: Callable[..., tuple[str, str]], checkpoint: Path, tmp_path: Path
) -> None:
    shipped = CONFIGS / "supernets" / f"{LARGE}.yaml"
    own = tmp_path / "own.yaml"
    own.write_text(re.sub(r"(?m)^also:.*$", "", shipped.read_text().replace(f"name: {LARGE}", "name: own")))
    shown("import", "mine", checkpoint, "--supernet", own)
    rows = tmp_path / "rows.csv"
    write_measured(rows, open_supernet(str(own)), 1, 0.01)
    err = shown("test", "mine", rows, code=2)[1]
    assert "mine is for own, which does not ship; give that supernet's YAML file with --supernet" in err
    found = json.loads(shown("test", "mine", rows, "--supernet", own, "--json")[0])
    assert found["scores"]["rows.csv"]["rmse_points"] == pytest.approx(1, abs=1e-4)
    assert "not for ofa_mbv3_w1.2" in shown("test", "mine", rows, "--supernet", LARGE, code=2)[1]


class Malicious:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("touched"),))


def test_a_pickle_with_code_is_refused_and_not_run(
    shown: Callable[..., tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"0.weight": Malicious()}, tmp_path / "bad.pth")
    err = shown("import", "mine", tmp_path / "bad.pth", "--supernet", LARGE, code=2)[1]
    assert "loading that could run code" in err
    assert not (tmp_path / "touched").exists()
    assert files.predictor_names() == [
        path.stem for path in sorted(files.PRETRAINED_PREDICTORS.glob("*.safetensors"))
    ]


def test_other_checkpoints_are_refused(shown: Callable[..., tuple[str, str]], tmp_path: Path) -> None:
    path = tmp_path / "bad.pth"

    def said_of(state: object) -> str:
        torch.save(state, path)
        return shown("import", "mine", path, "--supernet", LARGE, code=2)[1]

    whole = random_state()
    lacking = {name: value for name, value in whole.items() if name != "0.bias"}
    assert "none of OFA's predictors" in said_of(lacking)
    assert "0.bias is missing" in said_of(lacking)
    assert "extra is too many" in said_of(whole | {"extra": torch.zeros(1)})
    assert "do not fit 128 inputs" in " ".join(said_of(whole | {"2.weight": torch.zeros(1, 9)}).split())
    assert "only tensors by name may be" in said_of([1, 2])
    assert "not finite" in said_of(whole | {"0.bias": torch.full((8,), torch.nan)})
    assert "cannot read" in shown("import", "mine", tmp_path / "none.pth", "--supernet", LARGE, code=2)[1]


def test_a_name_and_a_file_to_write_are_checked_first(
    shown: Callable[..., tuple[str, str]], checkpoint: Path, tmp_path: Path
) -> None:
    for name in ("a/b", "x.safetensors", ".x", "..", "_x", "a b", "x\n", "ä", "a*", "../x"):
        for command in ("import", "train"):
            err = shown(command, name, checkpoint, "--supernet", LARGE, code=2)[1]
            assert f"got {name!r}; --out takes a file" in err
    assert "which is empty" in shown("import", "", checkpoint, "--supernet", LARGE, code=2)[1]
    for name in ("-x", "--"):
        err = shown("import", "--supernet", LARGE, "--", name, checkpoint, code=2)[1]
        assert f"got {name!r}; --out takes a file" in err
    out = tmp_path / "predictor.pth"
    assert (
        "ends in .safetensors"
        in shown("import", "x", checkpoint, "--supernet", LARGE, "--out", out, code=2)[1]
    )
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "x.safetensors"
    assert "cannot write" in shown("import", "x", checkpoint, "--supernet", LARGE, "--out", out, code=2)[1]
    shown("import", "x", checkpoint, "--supernet", LARGE, "--out", tmp_path / "x.safetensors")
    assert files.read_predictor(tmp_path / "x.safetensors").card.name == "x"
    for name in ("w1.2_a-B", "9"):
        shown("import", name, checkpoint, "--supernet", LARGE)
        assert files.find_predictor(name).is_file()


def test_a_predictor_that_ships_is_not_shadowed(
    shown: Callable[..., tuple[str, str]], checkpoint: Path, tmp_path: Path
) -> None:
    shipped = next(files.PRETRAINED_PREDICTORS.glob("*.safetensors")).stem
    for command in ("import", "train"):
        err = shown(command, shipped, checkpoint, "--supernet", LARGE, "--replace", code=2)[1]
        assert f"{shipped} is a predictor that ships" in err
    assert files.find_predictor(shipped).parent == files.PRETRAINED_PREDICTORS
    out = tmp_path / "mine.safetensors"
    shown("import", shipped, checkpoint, "--supernet", LARGE, "--out", out)
    assert files.read_predictor(out).card.name == shipped


def test_a_file_is_written_over_only_when_asked(
    shown: Callable[..., tuple[str, str]], checkpoint: Path, supernet: Supernet, tmp_path: Path, cache: Path
) -> None:
    kept, out = cache / "predictors" / "mine.safetensors", tmp_path / "out.safetensors"
    write_made_up(tmp_path / "rows.csv", supernet, 0)
    commands = (
        ("import", "mine", checkpoint, "--supernet", LARGE),
        ("train", "mine", tmp_path / "rows.csv", "--supernet", "fmnist_mbv3"),
    )
    for command in commands:
        for path, where in ((kept, ()), (out, ("--out", out))):
            files.write_predictor(made(1), path)
            before = path.read_bytes()
            err = shown(*command, *where, code=2)[1]
            assert f"{path} is there already; --replace writes over it" in err
            assert path.read_bytes() == before
    for command in commands:
        shown(*command, "--replace")
        assert files.read_predictor(kept).card.supernet == command[-1]
    shown(*commands[0], "--out", out, "--replace")
    assert "theirs.pth" in files.read_predictor(out).card.source


def test_the_list_names_files_that_cannot_be_read(shown: Callable[..., tuple[str, str]], cache: Path) -> None:
    kept = cache / "predictors"
    files.write_predictor(made(), kept / "good.safetensors")
    (kept / "cut.safetensors").write_bytes((kept / "good.safetensors").read_bytes()[:-50])
    save_file({"x": np.zeros(3, np.float32)}, kept / "other.safetensors")
    (kept / "folder.safetensors").mkdir()
    shipped = {path.stem for path in files.PRETRAINED_PREDICTORS.glob("*.safetensors")}
    out, err = shown("list", "--json")
    assert set(json.loads(out)) == {"good"} | shipped
    for name, why in (("cut", "not a safetensors file"), ("other", "has no card"), ("folder", "")):
        assert re.search(rf"warning: the predictor {name} is left out: .*{name}.*{why}", err)
    out, again = shown("list")
    assert again == err
    assert "good" in out
    assert "cut" not in out


@pytest.fixture
def known_file(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of drawn weights that stands among OFA's by its hash, in place of ``acc_predictor.pth``."""
    [known] = [one for one in mlp.PUBLISHED.values() if one.supernet == LARGE]
    monkeypatch.setitem(mlp.PUBLISHED, hashlib.sha256(checkpoint.read_bytes()).hexdigest(), known)
    return checkpoint.rename(checkpoint.with_name("renamed"))


def test_a_published_file_is_known_by_its_content(
    shown: Callable[..., tuple[str, str]], known_file: Path
) -> None:
    trained, other = [160, 176, 192, 208, 224], "ofa_mbv3_w1.0"
    err = shown("import", "mine", known_file, "--supernet", other, "--split", "val", code=2)[1]
    assert f"the file is OFA's acc_predictor.pth, the predictor of {LARGE}" in err
    assert f"not of {other}" in err
    assert f"--supernet {LARGE}" in err
    told = json.loads(shown("import", "mine", known_file, "--supernet", LARGE, "--json")[0])
    assert told["split"].startswith("10,000 held-out images of ImageNet's training set")
    assert told["domain"] == {"resolution": trained}
    supernet = open_supernet(LARGE)
    files.check_choices(
        files.open_predictor("mine", supernet), supernet.restricted({"resolution": trained}).space
    )
    given = shown("import", "mine", known_file, "--supernet", LARGE, "--split", "val", "--replace", "--json")[
        0
    ]
    assert json.loads(given)["split"] == "val"


def test_nothing_is_claimed_of_a_file_that_is_not_known(
    shown: Callable[..., tuple[str, str]], checkpoint: Path, tmp_path: Path
) -> None:
    for name in (LARGE, "ofa_mbv3_w1.0"):
        told = json.loads(shown("import", name[-3:], checkpoint, "--supernet", name, "--json")[0])
        assert told["split"] == "images that its file does not name"
        assert told["domain"] == {"resolution": [128, 144, 160, 176, 192, 208, 224]}


def write_made_up(path: Path, supernet: Supernet, seed: int) -> None:
    """Rows as of a run's front.csv, whose top-1 grows with the depths and the resolution alone, but for noise."""
    space, rng = supernet.space, np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, ["arch_id", "validation_top1", *space.index])
        table.writeheader()
        for arch in space.decode(space.sample(40, rng)):
            depths = sum(value for name, value in arch.choices if name.startswith("depth."))
            top1 = 0.95 - np.exp(-(depths + arch.resolution / 4) / 4) + rng.normal(scale=0.001)
            table.writerow({"arch_id": arch.id, "validation_top1": top1} | dict(arch.values))


def test_train_then_test_on_what_it_has_not_seen(
    shown: Callable[..., tuple[str, str]], supernet: Supernet, tmp_path: Path, cache: Path
) -> None:
    one, two, new = (tmp_path / f"{name}.csv" for name in ("one", "two", "new"))
    for seed, path in enumerate((one, two, new)):
        write_made_up(path, supernet, seed)
    out, err = shown("train", "grown", one, two, "--supernet", "fmnist_mbv3", "--split", "made up", "--json")
    told = json.loads(out)
    assert "fitting to 80 rows" in err
    assert told["file"] == str(cache / "predictors" / "grown.safetensors")
    assert (told["supernet"], told["split"]) == ("fmnist_mbv3", "made up")
    assert {"one.csv left out", "two.csv left out"} < set(told["held_out_by"])
    assert told["held_out"]["rows"] == 80
    found = json.loads(shown("test", "grown", new, "--exclude", one, "--json")[0])["scores"]["new.csv"]
    assert found["rows"] == 40
    assert found["kendall_tau"] > 0.8
    assert 0 < found["coverage"] <= 1
    held = [figures["rmse_points"] for figures in told["held_out_by"].values()]
    top1 = from_csv(new, supernet).top1
    assert max(*held, found["rmse_points"]) < 0.3 * 100 * np.std(top1)
    assert "RMSE (points)" in shown("info", "grown")[0]


def test_too_few_rows_and_another_supernets_file_are_refused(
    shown: Callable[..., tuple[str, str]], supernet: Supernet, tmp_path: Path
) -> None:
    write_made_up(tmp_path / "rows.csv", supernet, 0)
    err = shown("train", "x", tmp_path / "rows.csv", "--supernet", LARGE, code=2)[1]
    assert "line 2" in err or "has no column" in err
    few = tmp_path / "few.csv"
    few.write_text("".join((tmp_path / "rows.csv").read_text().splitlines(keepends=True)[:4]))
    assert "got 3" in shown("train", "x", few, "--supernet", "fmnist_mbv3", code=2)[1]
    assert "x" not in files.predictor_names()


def test_predictions_take_no_torch(tmp_path: Path) -> None:
    files.write_predictor(made(), tmp_path / "p.safetensors")
    code = f"""
import sys
import numpy as np
from search.predictors import files
from supernet.families.catalog import open_supernet
supernet = open_supernet({LARGE!r})
predictor = files.open_predictor({str(tmp_path / "p.safetensors")!r}, supernet)
space = supernet.restricted(predictor.card.domain).space
assert len(predictor.predict(space, space.sample(5, np.random.default_rng(0))).top1) == 5
print(sorted({{"torch", "ofa", "pandas", "scipy", "optuna"}} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
