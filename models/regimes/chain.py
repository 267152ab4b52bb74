"""The hidden chain: fitted by libraries, filtered by a few lines of forward recursion."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

from ...market.arrays import FloatArray, IntArray
from ...market.numerics.compiled import compiled

Method = Literal["hmm", "mixture"]
"""A hidden Markov model, or a Gaussian mixture, which has no memory."""

_STAY = 0.98  # of each regime, where the search for the chain begins
_LIMIT = 8.0  # deviations: what is fitted is cut there, so that no density underflows
_ROUNDS, _TOLERANCE = (
    200,
    0.1,
)  # of expectation and maximisation; the latter in nats of the whole record


class Fitted(NamedTuple):
    """A chain and how well it fits.

    Attributes:
        chain: The chain, from the quietest regime to the loudest.
        bic: Bayesian information criterion (Schwarz 1978); lower is better.
    """

    chain: Chain
    bic: float


@dataclass(frozen=True, eq=False)
class Chain:
    """R regimes, each a Gaussian of the coordinate, and how they follow each other.

    Attributes:
        means: [R], rising.
        deviations: [R].
        transition: Probability [R, R] of the next bar's regime (column) given this bar's (row); of a
            mixture all rows are the shares.
    """

    means: FloatArray
    deviations: FloatArray
    transition: FloatArray

    def __len__(self) -> int:
        return len(self.means)

    @cached_property
    def stationary(self) -> FloatArray:
        """Long-run share of each regime [R]: what is believed before the first bar."""
        count = len(self)
        system = np.vstack([self.transition.T - np.eye(count), np.ones(count)])
        shares = np.linalg.lstsq(system, np.append(np.zeros(count), 1.0), rcond=None)[0]
        shares = np.maximum(shares, 0.0)
        return np.asarray(shares / shares.sum())

    @cached_property
    def durations(self) -> FloatArray:
        """Mean stay in each regime [R], bars."""
        return np.asarray(1.0 / np.maximum(1.0 - np.diag(self.transition), 1e-9))

    def filter(self, coordinate: FloatArray) -> FloatArray:
        """Probabilities [T, R] of the regimes at bars in a row, given all up to each."""
        out = np.empty((len(coordinate), len(self)))
        believed = self.stationary.copy()
        for t in range(len(coordinate)):
            believe(coordinate[t], self.means, self.deviations, self.transition, believed)
            out[t] = believed
        return out

    @classmethod
    def fit(cls, sequences: Sequence[FloatArray], count: int, method: Method, seed: int) -> Fitted:
        """Fit R regimes to a coordinate along stretches of bars.

        The mixture is scikit-learn's; the chain, which begins from it, is hmmlearn's (Baum & Welch).

        Args:
            sequences: Of each stretch [T].
            count: R.
            method: Which.
            seed: Of the mixture's beginnings.
        """
        with threadpool_limits(limits=1):  # more would round in another order
            return _fit_mixture(sequences, count, seed, method == "hmm")

    @classmethod
    def ordered(cls, means: FloatArray, deviations: FloatArray, transition: FloatArray) -> Self:
        """The chain with its regimes from the quietest to the loudest."""
        order = np.argsort(means, kind="stable")
        return cls(means[order], deviations[order], transition[np.ix_(order, order)])

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return {
            "means": self.means.tolist(),
            "deviations": self.deviations.tolist(),
            "transition": self.transition.tolist(),
        }


@compiled
def believe(
    coordinate: float,
    means: FloatArray,
    deviations: FloatArray,
    transition: FloatArray,
    believed: FloatArray,
) -> None:
    """Let one bar enter what is believed of the regimes (Hamilton 1989).

    Args:
        coordinate: Of the bar.
        means: [R].
        deviations: [R].
        transition: [R, R].
        believed: Probabilities [R] at the bar before, updated.
    """
    count = means.shape[0]
    told = np.empty(count)
    highest = -np.inf
    for j in range(count):
        units = (coordinate - means[j]) / deviations[j]
        told[j] = -0.5 * units * units - np.log(deviations[j])
        highest = max(highest, told[j])
    total = 0.0
    for j in range(count):
        expected = 0.0
        for i in range(count):
            expected += believed[i] * transition[i, j]
        # a floor: a bar that no regime expects must not leave zeros that no later bar can raise
        told[j] = (expected + 1e-12) * np.exp(max(told[j] - highest, -60.0))
        total += told[j]
    for j in range(count):
        believed[j] = told[j] / total


def _fit_mixture(sequences: Sequence[FloatArray], count: int, seed: int, chained: bool) -> Fitted:
    from sklearn.mixture import GaussianMixture

    sequences = [np.clip(sequence, -_LIMIT, _LIMIT) for sequence in sequences]
    values = np.concatenate(sequences)[:, None]
    mixture = GaussianMixture(count, random_state=seed).fit(values)
    means, deviations = mixture.means_[:, 0], np.sqrt(mixture.covariances_[:, 0, 0])
    if chained:
        return _fit_chain(sequences, means, deviations, seed)
    rows = np.repeat(mixture.weights_[None], count, axis=0)
    return Fitted(Chain.ordered(means, deviations, rows), float(mixture.bic(values)))


def _fit_chain(
    sequences: Sequence[FloatArray], means: FloatArray, deviations: FloatArray, seed: int
) -> Fitted:
    from hmmlearn.hmm import GaussianHMM

    # It logs what is no failure: a last step of the likelihood that rounding turned around.
    logging.getLogger("hmmlearn.base").setLevel(logging.ERROR)
    count, values = len(means), np.concatenate(sequences)[:, None]
    lengths = [len(sequence) for sequence in sequences]
    model = GaussianHMM(
        count,
        "diag",
        init_params="",
        n_iter=_ROUNDS,
        tol=_TOLERANCE,
        random_state=seed,
        implementation="scaling",
    )
    model.startprob_ = np.full(count, 1.0 / count)
    model.transmat_ = np.full((count, count), (1.0 - _STAY) / max(count - 1, 1))
    np.fill_diagonal(model.transmat_, _STAY)
    model.means_, model.covars_ = means[:, None], deviations[:, None] ** 2
    model.fit(values, lengths)
    free = (count - 1) + count * (count - 1) + 2 * count
    bic = -2.0 * float(model.score(values, lengths)) + free * np.log(len(values))
    spread = np.sqrt(model.covars_[:, 0, 0])
    return Fitted(Chain.ordered(model.means_[:, 0], spread, model.transmat_), float(bic))


def likeliest(probabilities: FloatArray) -> IntArray:
    """Index [...] of the likeliest regime."""
    index: IntArray = probabilities.argmax(axis=-1)
    return index
