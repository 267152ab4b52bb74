"""M on a process whose predictive density is known: two hidden regimes, filtered exactly."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from worldmodel_trading.models.config import PaperConfig
from worldmodel_trading.models.encoded import Encoded, validation_nll
from worldmodel_trading.models.feature_range import CompleteRows
from worldmodel_trading.models.mdn_rnn import CALENDAR_SIZE
from worldmodel_trading.models.training.callbacks import Callbacks, TrainingHistory
from worldmodel_trading.models.training.loops import Session, train_mdn_rnn
from worldmodel_trading.models.vae import Posterior

STAY = 0.98
MEANS, SIGMAS = np.array([0.1, -0.3]), np.array([0.4, 1.8])


def sample(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    regime = np.cumsum(rng.random(count) > STAY) % 2
    return rng.normal(MEANS[regime], SIGMAS[regime])


def true_nll(returns: np.ndarray) -> float:
    """Mean -log p(u_t | u_1 … u_{t-1}) from t = 2 on, by the forward recursion (Hamilton 1989)."""
    belief, scores = np.array([0.5, 0.5]), []
    for value in returns:
        densities = norm.pdf(value, MEANS, SIGMAS)
        scores.append(-np.log(belief @ densities))
        posterior = belief * densities / (belief @ densities)
        belief = posterior * STAY + posterior[::-1] * (1 - STAY)
    return float(np.mean(scores[1:]))


def encoded(returns: np.ndarray) -> Encoded:
    """The return, beside one latent dimension that is held at 0."""
    mean = torch.tensor(np.stack([returns, np.zeros_like(returns)], 1), dtype=torch.float32)
    known = torch.full_like(mean, -torch.inf)
    calendar = np.zeros((len(returns), CALENDAR_SIZE), dtype=np.float32)
    complete = CompleteRows(((0, len(returns)),))
    return Encoded(Posterior(mean, known), torch.from_numpy(calendar), complete, held=(1,))


def test_m_comes_within_five_hundredths_of_a_nat_of_the_truth():
    train, validation = encoded(sample(12_000, 1)), encoded(sample(4_000, 2))
    config = PaperConfig(
        latent_size=2,
        hidden_size=16,
        num_components=3,
        mdn_rnn_epochs=15,
        chunk_bars=96,
        burn_in_bars=16,
        dropout=0.0,
        weight_decay=0.0,
        ema_decay=0.98,
    )
    callbacks = Callbacks(TrainingHistory(), [])
    model = train_mdn_rnn(train, validation, Session(config, 0, callbacks, torch.device("cpu")))
    test = sample(8_000, 3)
    learned = validation_nll(model, encoded(test))
    excess = learned - true_nll(test)
    # not below either, by more than rounding and luck: nothing beats the truth
    assert -0.01 < excess < 0.05
    # the regimes matter: one Gaussian mixture for all bars is worse than what M must reach
    from_all = np.log(0.5 * norm.pdf(test[:, None], MEANS, SIGMAS).sum(1))
    assert -from_all.mean() - true_nll(test) > 0.1


def test_the_true_density_by_hand():
    """Two observations: beliefs (½, ½), then the posterior moved by the chain."""
    a, b = norm.pdf(0.2, MEANS, SIGMAS)
    first = np.array([a, b]) / (a + b)
    moved = first * STAY + first[::-1] * (1 - STAY)
    expected = -np.log(moved @ norm.pdf(-1.0, MEANS, SIGMAS))
    assert true_nll(np.array([0.2, -1.0])) == pytest.approx(expected)
