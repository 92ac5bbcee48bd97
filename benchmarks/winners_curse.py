"""The accuracy of the best of many on the images it was chosen by, raw and corrected, beside its true accuracy.

    python benchmarks/winners_curse.py [--repeats N] [--seed N]

An image is right where a normal margin is above zero: how easy it is, what it makes of each choice of an
arch, and a rest. So the true accuracy of an arch is known exactly, archs agree in most images, and similar ones in more.
Candidates are drawn at random, or by an evolution that is led by their accuracy on the same 5,000 images.
Prints docs/decisions/017-winners-curse.md's table; takes a few minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from search.runs.correction import Corrected, crossed, with_interval

IMAGES, DIMENSIONS, CHOICES = 5_000, 12, 3
MEAN, EASE, OF_CHOICE, REST = 1.45, 1.0, 0.10, 0.12
"""Mean margin, and standard deviations: two archs differ in about 5 % of the images, as real ones do."""

Archs = npt.NDArray[np.intp]
Hits = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """``merits`` (dimensions, choices) of choices, and what ``images`` (n, dimensions, choices) make of them."""

    merits: Floats
    ease: Floats
    images: Floats

    def hits(self, archs: Archs, rng: np.random.Generator) -> Hits:
        """Shape (archs, images)."""
        places = np.arange(DIMENSIONS)
        own = np.stack([self.images[:, places, arch].sum(axis=1) for arch in archs])
        merit = MEAN + self.merits[places, archs].sum(axis=1)
        return (merit[:, None] + self.ease + own + rng.normal(0, REST, own.shape)) > 0

    def truth(self, archs: Archs) -> Floats:
        """True accuracies (archs,)."""
        merit = MEAN + self.merits[np.arange(DIMENSIONS), archs].sum(axis=1)
        return np.asarray(norm.cdf(merit / np.sqrt(EASE**2 + DIMENSIONS * OF_CHOICE**2 + REST**2)))


def new_world(spread: float, rng: np.random.Generator) -> World:
    """``spread`` is about the standard deviation of an arch's merit."""
    merits = rng.normal(0, spread / np.sqrt(DIMENSIONS), (DIMENSIONS, CHOICES))
    images = rng.normal(0, OF_CHOICE, (IMAGES, DIMENSIONS, CHOICES))
    return World(merits, rng.normal(0, EASE, IMAGES), images)


def drawn(world: World, count: int, rng: np.random.Generator) -> tuple[Archs, Hits]:
    archs = rng.integers(0, CHOICES, (count, DIMENSIONS))
    return archs, world.hits(archs, rng)


def evolved(world: World, count: int, rng: np.random.Generator) -> tuple[Archs, Hits]:
    """Children of the eight best so far, one at a time, no arch twice."""
    archs, hits = drawn(world, 10, rng)
    while len(archs) < count:
        parents = archs[rng.choice(np.argsort(-hits.mean(axis=1))[:8], 2)]
        child = np.where(rng.random(DIMENSIONS) < 0.5, *parents)
        child = np.where(
            rng.random(DIMENSIONS) < 1.5 / DIMENSIONS, rng.integers(0, CHOICES, DIMENSIONS), child
        )
        if not (archs == child).all(axis=1).any():
            archs, hits = np.vstack([archs, child]), np.vstack([hits, world.hits(child[None], rng)])
    return archs, hits


# -- the ways to say how accurate the best is ------------------------------------------


def raw(hits: Hits, rng: np.random.Generator) -> Corrected:
    return with_interval(hits.mean(axis=1).max(keepdims=True), hits.shape[1], len(hits))


def halves(hits: Hits, rng: np.random.Generator) -> Corrected:
    """What oncefit does."""
    pool = np.ones((1, len(hits)), dtype=np.bool_)
    return with_interval(crossed(list(hits), pool, rng)[0] / hits.shape[1], hits.shape[1], len(hits))


def tenths(hits: Hits, rng: np.random.Generator) -> Corrected:
    """Chosen on nine tenths of the images, judged on the tenth, ten times over."""
    numbers, images = hits.astype(np.float32), hits.shape[1]
    found = []
    for _ in range(10):
        parts = numbers @ np.eye(10, dtype=np.float32)[rng.permutation(np.arange(images) % 10)]
        best = (numbers.sum(axis=1, keepdims=True) - parts).argmax(axis=0)
        found.append(parts[best, np.arange(10)].sum() / images)
    return with_interval(np.array(found), images, len(hits))


def bootstrap(hits: Hits, rng: np.random.Generator) -> Corrected:
    """Chosen on images drawn with replacement, judged on those that were not drawn (Tsamardinos et al., 2018)."""
    numbers, images = hits.astype(np.float32), hits.shape[1]
    weights = rng.multinomial(images, np.full(images, 1 / images), 100).T.astype(np.float32)
    best, left = (numbers @ weights).argmax(axis=0), (weights == 0).astype(np.float32)
    found = (numbers @ left)[best, np.arange(100)] / left.sum(axis=0)
    return with_interval(found.mean(keepdims=True), images, len(hits))


def shrunk(hits: Hits, rng: np.random.Generator) -> Corrected:
    """Empirical Bayes: true accuracies are normal about one mean, noise has the covariance of the hits."""
    shares, count, images = hits.mean(axis=1), *hits.shape
    noise = np.cov(hits.astype(np.float64)) / images
    found = []
    for deviation in np.geomspace(1e-5, 0.05, 40):
        root = np.linalg.cholesky(noise + (deviation**2 + 1e-14) * np.eye(count))
        one, seen = np.linalg.solve(root, np.ones(count)), np.linalg.solve(root, shares)
        mean = (one @ seen) / (one @ one)
        rest = seen - mean * one
        likelihood = -0.5 * rest @ rest - np.log(np.diag(root)).sum() - 0.5 * np.log(one @ one)
        found.append((likelihood, deviation, mean))
    _, deviation, mean = max(found)
    total = noise + deviation**2 * np.eye(count)
    posterior = mean + deviation**2 * np.linalg.solve(total, shares - mean)
    return with_interval(posterior[[shares.argmax()]], images, count)


WAYS: Mapping[str, Callable[[Hits, np.random.Generator], Corrected]] = {
    "raw": raw, "two halves": halves, "ten parts": tenths, "bootstrap": bootstrap, "empirical Bayes": shrunk,
}  # fmt: skip
POOLS = (
    ("drawn", 40, 0.0), ("drawn", 40, 0.1), ("drawn", 40, 0.4),
    ("evolved", 40, 0.1), ("evolved", 60, 0.4), ("evolved", 200, 0.2),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    heads = "".join(f" {name} |" for name in WAYS)
    print(f"| candidates | spread of true accuracies | two differ in |{heads}")
    print("|---|---|---|" + "---|" * len(WAYS))
    for kind, count, spread in POOLS:
        print(line(kind, count, spread, given.repeats, np.random.default_rng(given.seed)), flush=True)


def line(kind: str, count: int, spread: float, repeats: int, rng: np.random.Generator) -> str:
    """Bias in points, and how often the 95 % interval holds the truth.

    What the images do to all archs alike, which is known here, is taken off for the bias, since it is nobody's choice.
    """
    errors, covered, deviations, differing = [], [], [], []
    for _ in range(repeats):
        world = new_world(spread, rng)
        archs, hits = (drawn if kind == "drawn" else evolved)(world, count, rng)
        truths = world.truth(archs)
        truth = truths[hits.mean(axis=1).argmax()]
        luck = (world.ease > -MEAN / EASE).mean() - norm.cdf(MEAN / EASE)
        found = [way(hits, rng) for way in WAYS.values()]
        errors.append([one.value - truth - luck for one in found])
        covered.append([one.low <= truth <= one.high for one in found])
        deviations.append(truths.std())
        differing.append((hits[0] ^ hits[1]).mean())
    bias, missed = 100 * np.mean(errors, axis=0), 100 * np.std(errors, axis=0) / np.sqrt(repeats)
    cells = [
        f" {b:+.2f} ± {m:.2f}, {100 * c:.0f} % |"
        for b, m, c in zip(bias, missed, np.mean(covered, axis=0), strict=True)
    ]
    return (
        f"| {count} {kind} | {100 * np.mean(deviations):.2f} | {100 * np.mean(differing):.1f} % |"
        + "".join(cells)
    )


if __name__ == "__main__":
    main()
