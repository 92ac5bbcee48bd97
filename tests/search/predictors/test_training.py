"""Our own predictor: its algebra against other libraries, what it learns of known laws, and the one that ships."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal
from sklearn.linear_model import LinearRegression

from cost_models.compute import macs
from cost_models.protocol import Target
from search.predictors import files, training
from search.predictors.features import step_encoding_of
from search.predictors.measured import Measured, joined, of_rows
from search.predictors.saturating import Curve, Saturating, from_tensors
from search.predictors.scores import score
from search.runs.measured_subnets import read_all
from supernet.archs.arch import Arch
from supernet.arrays import Floats
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from tests.helpers.paths import REFERENCE

SHIPPED = "ofa_mbv3_w1.0"
MEASURED = REFERENCE / "measured" / "top1"


def law(arch: Arch) -> float:
    """A top-1 in which every choice counts, less and less so, and two of them only together."""
    values = arch.values
    quality = 0.02 * arch.resolution
    for name, value in values.items():
        kind, _, place = name.partition(".")
        quality += (
            {"depth": 0.25, "kernel": 0.05, "expand": 0.08}.get(kind, 0) * value / (1 + int(place[:1] or 0))
        )
    quality += 0.15 * (values.get("kernel.1.1") == 5 and values.get("expand.1.1") == 4)
    return 0.93 - 0.4 * float(np.exp(-quality))


def rows_of(
    supernet: Supernet, n: int, seed: int, of: Callable[[Arch], float] = law, group: str = "one"
) -> Measured:
    space = supernet.space
    archs = space.decode(space.sample(n, np.random.default_rng(seed)))
    return of_rows([(arch, of(arch)) for arch in archs], space, group)


def noisy(rows: Measured, std: float) -> Measured:
    noise = std * np.random.default_rng(99).standard_normal(len(rows))
    return Measured(rows.space, rows.codes, rows.top1 + noise, rows.groups)


@pytest.fixture(scope="module")
def trained(supernet: Supernet) -> Saturating:
    return training.fit_saturating(supernet, noisy(rows_of(supernet, 150, 1), 0.002))


# -- features ------------------------------------------------------------------------


def test_features_count_the_choices_of_an_arch(supernet: Supernet) -> None:
    space = supernet.space
    encoding = step_encoding_of(space, space.sample(500, np.random.default_rng(0)))
    for arch in [
        *space.decode(space.sample(20, np.random.default_rng(1))),
        space.smallest(),
        space.largest(),
    ]:
        columns = encoding.columns(space.encode([arch]))[:, 0]
        steps, sums = columns[: len(encoding.steps)], columns[len(encoding.steps) :]
        for one, (dimension, code) in zip(steps, encoding.steps, strict=True):
            d = space.dimensions[dimension]
            assert one == (d.name in arch.values and arch[d.name] >= d.choices[code])
        for total, members in zip(sums, encoding.sums, strict=True):
            assert total == pytest.approx(steps[list(members)].sum() / np.sqrt(len(members)))


def test_pairs_are_within_a_stage_or_of_sums(supernet: Supernet) -> None:
    space = supernet.space
    encoding = step_encoding_of(space, space.sample(500, np.random.default_rng(0)))
    n = len(encoding.steps)
    found = {(int(a), int(b)) for a, b in encoding.pairs.T}
    stage = [space.dimensions[d].name.partition(".")[2][:1] for d, _ in encoding.steps]
    inside = {(a, b) for a in range(n) for b in range(a, n) if stage[a] and stage[a] == stage[b]}
    m = n + len(encoding.sums)
    assert found == inside | {(a, b) for a in range(n, m) for b in range(a, m)}
    assert len(found) == encoding.pairs.shape[1]


def test_size_is_that_of_the_cost_model(supernet: Supernet) -> None:
    rows = rows_of(supernet, 30, 2)
    size = training.sizes_of(supernet, rows)[0]
    logs = size.columns(rows.codes)[0] + size.middle
    assert np.exp(logs) == pytest.approx(macs(Target(supernet)).batch(rows.codes), rel=1e-6)


# -- the fit -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def problem(supernet: Supernet) -> tuple[training.FeatureLayout, Floats, Floats]:
    """A layout, features (n, features) and standardised targets (n,)."""
    rows = noisy(rows_of(supernet, 40, 3), 0.002)
    encoding = step_encoding_of(rows.space, rows.codes)
    sizes = training.sizes_of(supernet, rows)
    targets = (rows.top1 - rows.top1.mean()) / rows.top1.std()
    return (
        training.FeatureLayout(encoding, 2 * len(sizes)),
        training.all_features(encoding, sizes, rows.codes),
        targets,
    )


def test_density_is_that_of_a_normal_distribution_of_the_weights(
    problem: tuple[training.FeatureLayout, Floats, Floats],
) -> None:
    layout, features, targets = problem
    greatest = float(targets.max())
    density = training.Posterior(layout, training.kernel_of(layout, features), targets, greatest)

    def by_scipy(scales: Floats) -> float:
        ceiling = greatest + np.exp(scales[-1])
        slope = ceiling / (ceiling - targets)
        noise = np.exp(2 * scales[-3]) + np.exp(2 * scales[-2]) * slope**2
        covariance = features * layout.variances(scales) @ features.T + np.diag(noise)
        latent = -ceiling * np.log(1 - targets / ceiling)
        prior = (((scales - layout.start) / layout.doubt) ** 2).sum() / 2
        return -multivariate_normal(cov=covariance).logpdf(latent) - np.log(slope).sum() + prior

    rng = np.random.default_rng(0)
    points = [layout.start + 0.3 * rng.standard_normal(len(layout.start)) for _ in range(4)]
    constant = len(targets) / 2 * np.log(2 * np.pi)
    for scales in points:
        value, gradient = density(scales)
        assert value + constant == pytest.approx(by_scipy(scales), rel=1e-5)
        assert gradient == pytest.approx(
            approx_fprime(scales, lambda p: density(p)[0], 1e-6), rel=1e-3, abs=1e-3
        )


def test_weights_are_those_of_the_normal_equations(
    problem: tuple[training.FeatureLayout, Floats, Floats],
) -> None:
    layout, features, targets = problem
    rng = np.random.default_rng(0)
    used = layout.variances(layout.start) > 0
    features, variances = features[:, used], layout.variances(layout.start)[used]
    noise = rng.uniform(0.05, 0.1, len(targets))
    population = features[rng.integers(0, len(features), 25)] + 0.1 * rng.standard_normal(
        (25, features.shape[1])
    )
    mean, directions, left = training.posterior(features, targets, noise, variances, population)
    whitened = features / noise[:, None]
    precision = whitened.T @ features + np.diag(1 / variances)
    assert mean == pytest.approx(np.linalg.solve(precision, whitened.T @ targets), abs=1e-8)
    doubt = np.einsum("ij,ji->i", population, np.linalg.solve(precision, population.T))
    assert ((population @ directions.T) ** 2).sum(axis=1) + left == pytest.approx(doubt, abs=1e-6)


def test_doubt_that_is_not_kept_is_left_as_its_mean(
    problem: tuple[training.FeatureLayout, Floats, Floats], monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, features, targets = problem
    used = layout.variances(layout.start) > 0
    features, variances = features[:, used], layout.variances(layout.start)[used]
    noise = np.full(len(targets), 0.05)
    population = features + 0.1 * np.random.default_rng(0).standard_normal(features.shape)
    monkeypatch.setattr(training, "DIRECTIONS", 5)
    _, directions, left = training.posterior(features, targets, noise, variances, population)
    precision = features.T @ features / 0.05 + np.diag(1 / variances)
    doubt = np.einsum("ij,ji->i", population, np.linalg.solve(precision, population.T))
    kept = ((population @ directions.T) ** 2).sum(axis=1)
    assert len(directions) == 5
    assert left > 0
    assert left == pytest.approx((doubt - kept).mean())


def test_the_curve_undoes_what_training_bent() -> None:
    level, spread, ceiling = 0.75, 0.01, 3.5
    targets = np.linspace(-4, 3, 20)
    latent, slope = training.unbent(targets, ceiling)
    curve = Curve(level + spread * ceiling, spread * ceiling, 0, 0, 0)
    assert curve.top1(latent / ceiling) == pytest.approx(level + spread * targets)
    above, below = (training.unbent(targets + step, ceiling)[0] for step in (1e-6, -1e-6))
    assert slope == pytest.approx((above - below) / 2e-6, rel=1e-6)
    assert slope[np.abs(targets).argmin()] == pytest.approx(1, abs=0.1)


# -- what it learns ------------------------------------------------------------------


def test_it_learns_a_law_of_diminishing_returns(supernet: Supernet, trained: Saturating) -> None:
    unseen = noisy(rows_of(supernet, 400, 7), 0.002)
    found = score(trained.predict(unseen.space, unseen.codes), unseen.top1)
    seen = rows_of(supernet, 150, 1)
    choices = step_encoding_of(seen.space, seen.codes)
    linear = LinearRegression().fit(choices.columns(seen.codes).T, seen.top1)
    off = 100 * (linear.predict(choices.columns(unseen.codes).T) - unseen.top1)
    assert found.rmse_points < 0.35  # of which 0.2 are noise
    assert found.rmse_points < 0.7 * float(np.sqrt((off**2).mean()))
    assert found.kendall_tau > 0.9
    assert found.coverage is not None
    assert 0.82 <= found.coverage <= 0.97


def test_it_says_that_it_knows_less_of_what_it_has_not_seen(supernet: Supernet) -> None:
    rows = noisy(rows_of(supernet, 300, 1), 0.002)
    size = macs(Target(supernet)).batch(rows.codes)
    made = training.fit_saturating(supernet, rows[np.flatnonzero(size > np.quantile(size, 0.5))])
    unseen = rows_of(supernet, 300, 8)
    small = macs(Target(supernet)).batch(unseen.codes) < np.quantile(size, 0.2)
    assert small.sum() > 20
    found = made.predict(unseen.space, unseen.codes)
    assert found.std is not None
    assert found.std[small].mean() > 1.5 * found.std[~small].mean()


def test_no_subnet_is_predicted_from_itself(supernet: Supernet) -> None:
    """Figures of pure chance, measured twice alike in two files: what was seen would be known."""
    rng = np.random.default_rng(5)
    first = rows_of(supernet, 80, 11, lambda arch: float(rng.uniform(0.7, 0.8)))
    again = Measured(first.space, first.codes, first.top1, ("two",) * len(first))
    more = rows_of(supernet, 50, 12, lambda arch: float(rng.uniform(0.7, 0.8)), "two")
    figures = training.cross_validate(supernet, joined([first, again, more], first.space))
    fold, other = figures[training.RANDOM_FOLDS], figures["two left out"]
    assert fold.rows == len(joined([first, more], first.space).merged())
    assert other.rows == len(more.without(first).merged())
    assert "one left out" not in figures  # the other file has all of its subnets
    for found in (fold, other):
        assert np.isnan(found.kendall_tau) or abs(found.kendall_tau) < 0.25
        assert found.rmse_points > 2


def test_training_is_reproducible_and_keeps_its_figures(supernet: Supernet) -> None:
    rows = joined(
        [noisy(rows_of(supernet, 40, 1), 0.002), rows_of(supernet, 40, 2, group="two")], supernet.space
    )
    said: list[str] = []
    made, figures = training.train_predictor(
        supernet, rows, name="mine", split="some images", say=said.append
    )
    assert files.digest(made) == files.digest(
        training.train_predictor(supernet, rows, name="mine", split="some images")[0]
    )
    assert set(figures) == {training.RANDOM_FOLDS, "one left out", "two left out"}
    assert made.card.held_out is not None
    assert made.card.held_out.rmse_points == figures[training.RANDOM_FOLDS].rmse_points
    assert (made.card.name, made.card.split) == ("mine", "some images")
    assert "80 measurements" in made.card.source
    assert "one (40), two (40)" in made.card.source
    assert said


def test_too_few_or_equal_rows_are_refused(supernet: Supernet) -> None:
    with pytest.raises(InputError, match="at least 10 measured subnets, got 9"):
        training.fit_saturating(supernet, rows_of(supernet, 9, 1))
    with pytest.raises(InputError, match=r"same top-1, 0\.5: there is nothing to learn"):
        training.fit_saturating(supernet, rows_of(supernet, 20, 1, lambda arch: 0.5))


@pytest.mark.parametrize("rest", ["perfect", "two values", "ten rows"])
def test_odd_measurements_give_finite_predictions(supernet: Supernet, rest: str) -> None:
    of = {
        "perfect": lambda arch: 1.0 if arch.resolution > 20 else 0.1,
        "two values": lambda arch: 0.5 if arch.resolution > 20 else 0.4,
        "ten rows": law,
    }
    rows = rows_of(supernet, 10 if rest == "ten rows" else 60, 3, of[rest])
    made = training.fit_saturating(supernet, rows)
    found = made.predict(rows.space, rows.space.sample(300, np.random.default_rng(0)))
    assert found.std is not None
    assert np.isfinite(found.top1).all()
    assert (found.std > 0).all()
    assert found.top1.max() < 1.2


# -- spaces and files ----------------------------------------------------------------


def test_a_part_of_the_space_is_predicted_as_the_whole(supernet: Supernet, trained: Saturating) -> None:
    part = supernet.restricted({"resolution": (28,), "expand": (2, 4)}).space
    codes = part.sample(50, np.random.default_rng(0))
    same = supernet.space.encode(supernet.space.arch(arch.values) for arch in part.decode(codes))
    one, other = trained.predict(part, codes), trained.predict(supernet.space, same)
    np.testing.assert_array_equal(one.top1, other.top1)
    np.testing.assert_array_equal(one.std, other.std)


def test_skipped_blocks_do_not_count(supernet: Supernet, trained: Saturating) -> None:
    space = supernet.space
    codes = space.sample(200, np.random.default_rng(0))
    odd = np.where(space.active(codes), codes, space.sizes - 1).astype(np.int16)
    assert (odd != codes).any()
    np.testing.assert_array_equal(trained.predict(space, odd).top1, trained.predict(space, codes).top1)


def test_an_order_of_archs_does_not_matter(supernet: Supernet, trained: Saturating) -> None:
    codes = supernet.space.sample(700, np.random.default_rng(0))
    there, back = (
        trained.predict(supernet.space, codes),
        trained.predict(supernet.space, codes[::-1]),
    )
    assert there.top1 == pytest.approx(back.top1[::-1], abs=1e-6)
    assert trained.predict(supernet.space, codes[:0]).top1.shape == (0,)


def test_a_resolution_that_was_never_measured_is_refused(supernet: Supernet) -> None:
    one = supernet.restricted({"resolution": (23,)})
    made = training.fit_saturating(supernet, joined([rows_of(one, 60, 1)], one.space))
    assert made.card.domain == {"resolution": (23,)}
    whole = training.fit_saturating(supernet, as_whole(supernet, rows_of(one, 60, 1)))
    codes = one.space.sample(20, np.random.default_rng(0))
    np.testing.assert_array_equal(made.predict(one.space, codes).top1, whole.predict(one.space, codes).top1)
    for predictor in (made, whole):
        with pytest.raises(InputError, match="no input for resolution 28; it knows 23"):
            predictor.predict(supernet.space, supernet.space.encode([supernet.space.largest()]))


def as_whole(supernet: Supernet, rows: Measured) -> Measured:
    """The same rows as codes of all choices."""
    archs = [supernet.space.arch(arch.values) for arch in rows.space.decode(rows.codes)]
    return of_rows(list(zip(archs, rows.top1.tolist(), strict=True)), supernet.space, "one")


def test_another_space_is_refused(trained: Saturating) -> None:
    other = open_supernet("ofa_resnet50").space
    with pytest.raises(InputError, match="for a space of"):
        trained.predict(other, other.encode([other.largest()]))


def test_a_predictor_survives_its_file(supernet: Supernet, trained: Saturating, tmp_path: Path) -> None:
    files.write_predictor(trained, tmp_path / "mine.safetensors")
    read = files.open_predictor(str(tmp_path / "mine.safetensors"), supernet)
    assert files.digest(read) == files.digest(trained)
    codes = supernet.space.sample(100, np.random.default_rng(0))
    one, other = read.predict(supernet.space, codes), trained.predict(supernet.space, codes)
    np.testing.assert_array_equal(one.top1, other.top1)
    np.testing.assert_array_equal(one.std, other.std)


def test_tensors_that_do_not_fit_are_refused(trained: Saturating) -> None:
    tensors = trained.tensors()
    with pytest.raises(InputError, match="is missing or wrong"):
        from_tensors(trained.card, {name: t for name, t in tensors.items() if name != "curve"})
    with pytest.raises(InputError, match="features"):
        from_tensors(trained.card, tensors | {"weights": tensors["weights"][:, 1:]})


@pytest.mark.parametrize("name", ["ofa_resnet50", "ofa_proxyless_w1.3"])
def test_it_fits_any_supernet(name: str) -> None:
    other = open_supernet(name).restricted({"resolution": (160, 192, 224)})
    cost = macs(Target(other))
    rows = rows_of(other, 160, 1, lambda arch: 0.8 - 3e3 / cost(arch) ** 0.55)
    rows, unseen = rows[range(100)], rows[range(100, 160)]
    made = training.fit_saturating(other, rows)
    assert score(made.predict(unseen.space, unseen.codes), unseen.top1).kendall_tau > 0.9


# -- the one that ships --------------------------------------------------------------


def test_the_shipped_one_is_small_and_knows_what_it_is() -> None:
    whole = open_supernet(SHIPPED)
    made = files.open_predictor(SHIPPED, whole)
    assert files.find_predictor(SHIPPED).stat().st_size < 1e6
    assert made.card.domain == {"resolution": (224,)}
    space = whole.restricted({"resolution": (224,)}).space
    archs = [space.smallest(), space.middle(), space.largest()]
    found = made.predict(space, space.encode(archs))
    assert np.diff(found.top1).min() > 0.01
    assert found.std is not None
    assert found.std[0] > 3 * found.std[1]  # nothing as small as the smallest was measured
    with pytest.raises(InputError, match="no input for resolution"):
        made.predict(whole.space, whole.space.encode([whole.space.smallest()]))


@pytest.mark.skipif(not MEASURED.is_dir(), reason="the published measurements are not here")
@pytest.mark.slow
def test_the_shipped_one_is_what_its_measurements_give() -> None:
    """And it beats support vectors on one-hot choices, whose errors and ranks are held against it here."""
    whole = open_supernet(SHIPPED)
    rows = read_all(sorted(MEASURED.glob("*.csv")), whole)
    again = training.fit_saturating(whole, rows)
    shipped = files.open_predictor(SHIPPED, whole)
    space = whole.restricted({"resolution": (224,)}).space
    codes = space.sample(500, np.random.default_rng(0))
    one, other = shipped.predict(space, codes), again.predict(space, codes)
    assert one.top1 == pytest.approx(other.top1, abs=2e-5)
    assert one.std == pytest.approx(other.std, rel=0.02)
    figures = training.cross_validate(whole, rows)
    baselines = {
        "evoga": (0.086, 0.90), "linasga": (0.126, 0.74), "evonsga2": (0.275, 0.93),
        training.RANDOM_FOLDS: (0.067, 0.951),
    }  # fmt: skip
    assert len(figures) == len(baselines)
    for name, (rmse_points, tau) in baselines.items():
        [found] = [scores for part, scores in figures.items() if name in part]
        assert found.rmse_points < rmse_points, name
        assert found.kendall_tau > tau, name
        assert found.coverage is not None
        assert 0.85 <= found.coverage <= 0.95, name
