"""Slopes of predictors against torch's automatic derivatives and against the predictions themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from search.predictors.mlp import INPUTS, Mlp, one_hot
from search.predictors.slopes import Sloped, slope_of
from supernet.families.catalog import open_supernet
from tests.search.predictors.test_mlp import KINDS, imported, random_state

ARCHS = 40


def network(predictor: Mlp) -> torch.nn.Sequential:
    """The same perceptron in torch."""
    layers: list[torch.nn.Module] = []
    for weight, bias in zip(predictor.weights, predictor.biases, strict=True):
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


@pytest.mark.parametrize("kind", KINDS)
def test_slopes_of_a_perceptron_are_torchs_derivatives_of_its_inputs(kind: str) -> None:
    supernet = open_supernet(KINDS[kind])
    predictor = imported(random_state(kind), supernet)
    known = dict(predictor.card.settings[INPUTS])
    space = supernet.restricted(
        {"resolution": tuple(r for r in known["resolution"] if r in (160, 224))}
    ).space
    codes = space.sample(ARCHS, np.random.default_rng(0))
    top1, slopes_of = predictor.slopes(space, codes)
    slopes = slopes_of(np.arange(ARCHS))
    assert np.allclose(slopes_of(np.array([7, 3])), slopes[[7, 3]], atol=1e-6)
    assert np.allclose(top1, predictor.predict(space, codes).top1, atol=1e-6)

    inputs = torch.from_numpy(one_hot(predictor, space, codes)).requires_grad_()
    network(predictor)(inputs).sum().backward()
    first = 0
    for name, choices in predictor.card.settings[INPUTS]:
        mine = space.by_name[name].choices
        theirs = inputs.grad[:, [first + list(choices).index(choice) for choice in mine]].numpy()
        assert np.allclose(slopes[:, space.index[name], : len(mine)], theirs, atol=1e-5), name
        assert not slopes[:, space.index[name], len(mine) :].any()
        first += len(choices)
    without_input = [i for name, i in space.index.items() if name not in known]
    assert not slopes[:, without_input].any()


def test_a_predictor_without_slopes_has_none() -> None:
    supernet = open_supernet("ofa_mbv3_w1.0")
    from search.predictors.files import open_predictor

    shipped = open_predictor("ofa_mbv3_w1.0", supernet)
    assert not isinstance(shipped, Sloped)
    assert slope_of(shipped, supernet.space) is None
