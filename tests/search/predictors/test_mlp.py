"""OFA's published predictors as ours, against ``ofa``'s own classes with the same weights."""

from __future__ import annotations

import copy
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from search.predictors import files
from search.predictors.mlp import PUBLISHED, RESNET_RESOLUTIONS, Mlp, import_published
from supernet.documents import CONFIGS
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from tests.helpers.ofa_settings import settings
from tests.helpers.paths import REFERENCE

FILES = {
    kind: REFERENCE / name
    for kind, name in (("mobilenet", "acc_predictor.pth"), ("resnet", "ofa_resnet50_acc_predictor.pth"))
}
ARCHS = 600


def random_state(kind: str) -> dict[str, torch.Tensor]:
    """A state dict in one of the two formats, with seeded weights."""
    generator = torch.Generator().manual_seed(5)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) / shape[-1] ** 0.5

    if kind == "resnet":
        shapes = {"layers.0.0": (400, 82), "layers.1.0": (400, 400), "layers.2.0": (400, 400)}
        state = {"base_acc": torch.tensor([0.7]), "layers.3.weight": normal(1, 400)}
    else:
        shapes, state = {"0": (400, 128), "2": (400, 400), "4": (400, 400), "6": (1, 400)}, {}
    for name, shape in shapes.items():
        state |= {f"{name}.weight": normal(*shape), f"{name}.bias": normal(shape[0]) / 10}
    return state


def imported(state: dict[str, torch.Tensor], supernet: Supernet, sha256: str | None = None) -> Mlp:
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    return import_published(
        "theirs", arrays, supernet.space, supernet.fingerprint, "its split", "a file", sha256
    )


def ofa_predictions(kind: str, state: dict[str, torch.Tensor], supernet: Supernet, archs: list) -> np.ndarray:
    """What the classes of the ``ofa`` package say of the same archs."""
    given = [settings(supernet.space, arch) for arch in archs]
    if kind == "resnet":
        from ofa.nas.accuracy_predictor import AccuracyPredictor, ResNetArchEncoder

        theirs = AccuracyPredictor(ResNetArchEncoder(list(RESNET_RESOLUTIONS)), 400, 3, device="cpu")
        theirs.load_state_dict(state)
        population = [one | {"image_size": arch.resolution} for one, arch in zip(given, archs, strict=True)]
        with torch.no_grad():
            return theirs.predict_acc(population).numpy()
    from ofa.tutorial.accuracy_predictor import AccuracyPredictor as TutorialPredictor

    theirs = TutorialPredictor(pretrained=False, device="cpu")
    theirs.model.load_state_dict(state)
    population = [one | {"r": [arch.resolution]} for one, arch in zip(given, archs, strict=True)]
    return theirs.predict_accuracy(copy.deepcopy(population)).numpy().reshape(-1)


KINDS = {"mobilenet": "ofa_mbv3_w1.2", "resnet": "ofa_resnet50"}


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_those_of_ofa(kind: str) -> None:
    check_against_ofa(kind, random_state(kind))


def check_against_ofa(kind: str, state: dict[str, torch.Tensor]) -> None:
    whole = open_supernet(KINDS[kind])
    with_input = dict(imported(state, whole).inputs)["resolution"]
    known = [r for r in with_input if r in whole.space.by_name["resolution"].choices]
    supernet = whole.restricted({"resolution": known})
    archs = supernet.space.decode(supernet.space.sample(ARCHS, np.random.default_rng(1)))
    archs += [supernet.space.largest(), supernet.space.smallest()]
    expected = ofa_predictions(kind, state, supernet, archs)
    found = imported(state, whole).predict(supernet.space, supernet.space.encode(archs)).top1
    assert np.ptp(expected) > 0.01
    assert np.abs(found - expected).max() <= 1e-6
    again = imported(state, whole).predict(whole.space, whole.space.encode(archs)).top1
    assert (again == found).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_gives_the_same_predictor(kind: str, tmp_path: Path) -> None:
    supernet = open_supernet(KINDS[kind])
    made = imported(random_state(kind), supernet)
    files.write_predictor(made, tmp_path / "mine.safetensors")
    read = files.open_predictor(str(tmp_path / "mine.safetensors"), supernet)
    assert read.card == made.card
    assert files.digest(read) == files.digest(made)
    known = supernet.restricted(made.card.domain).space
    codes = known.sample(50, np.random.default_rng(2))
    assert (read.predict(known, codes).top1 == made.predict(known, codes).top1).all()


def check_published_files() -> None:
    """They are known by their content, predict what ``ofa`` does with them, and were trained on what is said of them.

    An input that never was 1 in training keeps torch's initial weights, uniform within n ** -0.5.
    """
    for kind, name in KINDS.items():
        sha256 = hashlib.sha256(FILES[kind].read_bytes()).hexdigest()
        assert (PUBLISHED[sha256].name, PUBLISHED[sha256].supernet) == (FILES[kind].name, name)
        state = torch.load(FILES[kind], weights_only=True, map_location="cpu")
        check_against_ofa(kind, state)
        made = imported(state, open_supernet(name), sha256)
        first, bound = 0, made.weights[0].shape[1] ** -0.5
        for dimension, choices in made.inputs:
            columns = made.weights[0][:, first : first + len(choices)]
            first += len(choices)
            # of 400 uniform values the standard deviation is that of the distribution to 10 %
            initial = (np.abs(columns).max(axis=0) <= bound) & (
                np.abs(columns.std(axis=0) * 3**0.5 / bound - 1) < 0.1
            )
            if dimension == "resolution":
                trained = [c for c, untouched in zip(choices, initial, strict=True) if not untouched]
                offered = open_supernet(name).space.by_name["resolution"].choices
                assert tuple(c for c in trained if c in offered) == made.card.domain["resolution"]


def test_another_supernets_predictor_is_refused(tmp_path: Path) -> None:
    made = imported(random_state("mobilenet"), open_supernet("ofa_mbv3_w1.2"))
    files.write_predictor(made, tmp_path / "mine.safetensors")
    with pytest.raises(InputError, match=r"made for ofa_mbv3_w1\.2 .* not for ofa_mbv3_w1\.0"):
        files.open_predictor(str(tmp_path / "mine.safetensors"), open_supernet("ofa_mbv3_w1.0"))


def test_a_resolution_without_an_input_is_named() -> None:
    supernet = open_supernet("ofa_mbv3_w1.2")
    made = imported(random_state("mobilenet"), supernet)
    odd = supernet.restricted({"resolution": (132,)}).space
    with pytest.raises(InputError, match=r"no input for resolution 132; it knows 112, 128, 144"):
        made.predict(odd, odd.sample(3, np.random.default_rng(0)))


def test_a_space_outside_the_domain_is_warned_of() -> None:
    supernet = open_supernet("ofa_mbv3_w1.2")
    [known] = [sha256 for sha256, one in PUBLISHED.items() if one.supernet == supernet.name]
    card = imported(random_state("mobilenet"), supernet, known).card
    said = files.outside_domain(card, supernet.restricted({"resolution": (144, 160)}).space)
    assert said is not None
    assert "asked about 144" in said
    assert "space: {resolution: [160, 176, 192, 208, 224]}" in said
    assert files.outside_domain(card, supernet.restricted({"resolution": (160, 224)}).space) is None


def test_the_domain_of_a_file_that_is_not_known_is_all_that_it_has_inputs_for() -> None:
    expected = {"mobilenet": (128, 144, 160, 176, 192, 208, 224), "resnet": (128, 144, 160, 176, 192, 224)}
    for kind, name in KINDS.items():
        supernet = open_supernet(name)
        card = imported(random_state(kind), supernet).card
        assert card.domain == {"resolution": expected[kind]}
        inside = supernet.restricted({"resolution": expected[kind]}).space
        assert files.outside_domain(card, inside) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_published_file_is_of_one_supernet_alone(kind: str, tmp_path: Path) -> None:
    """Not of another width, and not of one's own that is built alike."""
    name = KINDS[kind]
    shipped = (CONFIGS / "supernets" / f"{name}.yaml").read_text()
    own = tmp_path / "own.yaml"
    own.write_text(re.sub(r"(?m)^also:.*$", "", shipped.replace(f"name: {name}", "name: own")))
    [sha256] = [sha256 for sha256, known in PUBLISHED.items() if known.supernet == name]
    theirs, alike, state = open_supernet(name), open_supernet(str(own)), random_state(kind)
    arrays = {key: tensor.numpy() for key, tensor in state.items()}
    others = [alike, open_supernet("ofa_mbv3_w1.0")] if kind == "mobilenet" else [alike]
    for other in others:
        with pytest.raises(InputError, match=rf"the predictor of {name} .*not of {other.name} "):
            import_published("x", arrays, other.space, other.fingerprint, None, "f", sha256)
        made = import_published("x", arrays, other.space, other.fingerprint, None, "f", "0" * 64)
        assert made.card.split == "images that its file does not name"
    made = import_published("x", arrays, theirs.space, theirs.fingerprint, None, "f", sha256)
    assert made.card.split.startswith("10,000 held-out images")


@pytest.mark.parametrize(
    ("state", "name", "said"),
    [
        ({"weight": np.zeros(3)}, "ofa_mbv3_w1.2", "none of OFA's predictors"),
        (random_state("mobilenet"), "ofa_resnet50", "128 inputs"),
        (random_state("mobilenet"), "ofa_proxyless_w1.3", "128 inputs"),
        (random_state("resnet"), "ofa_mbv3_w1.2", "82 inputs"),
    ],
)
def test_a_state_of_another_format_or_space_is_refused(state: dict, name: str, said: str) -> None:
    supernet = open_supernet(name)
    arrays = {key: np.asarray(value) for key, value in state.items()}
    with pytest.raises(InputError, match=said):
        import_published("x", arrays, supernet.space, supernet.fingerprint, "s", "f")
