"""The learning curve: medians over seeds, bars that all have scored, and what the page says of it."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.evaluation.loss_tests import diebold_mariano
from worldmodel_trading.evaluation.report.transfer_page import transfer_page, transfer_text
from worldmodel_trading.evaluation.transfer import (
    FINE_TUNED,
    HAR_T,
    NOT_ADAPTED,
    SCRATCH,
    Transfer,
    TransferCell,
)
from worldmodel_trading.market.arrays import FloatArray

BARS = 4_000


def noise() -> FloatArray:
    return np.random.default_rng(1).normal(size=BARS)


def cell(learner: str, bars: int, seed: int, losses: FloatArray, note: str = "") -> TransferCell:
    return TransferCell(learner, bars, seed, bars * 3 // 4, bars // 4, losses, note)


def curve(gain: float = 0.1) -> Transfer:
    """Fine-tuned on 500 bars by a gain better than from scratch on 2,000, which is the most."""
    own = 0.01 * np.random.default_rng(2).normal(size=BARS)
    unknown = noise() + 0.3
    unknown[:100] = np.nan
    cells = [
        cell(NOT_ADAPTED, 2_000, 0, noise() + 0.05),
        cell(HAR_T, 500, 0, unknown),
        cell(FINE_TUNED, 500, 0, noise() - gain + own),
        cell(FINE_TUNED, 500, 1, noise() - gain - own),
        cell(SCRATCH, 500, 0, np.empty(0), "too few"),
        cell(SCRATCH, 2_000, 0, noise() + 0.02),
        cell(SCRATCH, 2_000, 1, noise() - 0.02),
        cell(SCRATCH, 2_000, 2, noise() - 0.01),
    ]
    return Transfer("ONE", ("f",), "TWO", "60", (0, 3_600_000 * BARS), tuple(cells))


def test_rows_are_medians_of_the_bars_that_all_have_scored() -> None:
    found = curve()
    assert found.scored.sum() == BARS - 100
    row = found.row((SCRATCH, 2_000))
    mean = noise()[100:].mean()
    assert row.nll == pytest.approx(mean - 0.01)
    assert (row.low, row.high) == pytest.approx((mean - 0.02, mean + 0.02))
    assert row.seeds == 3


def test_what_could_not_be_trained_says_so() -> None:
    found = curve()
    row = found.row((SCRATCH, 500))
    assert (row.nll, row.note) == (None, "too few")
    assert found.difference((FINE_TUNED, 500), (SCRATCH, 500)) is None
    assert "cannot be trained" in transfer_text(found)
    assert "too few" in transfer_page(found)


def test_a_difference_is_that_of_means_over_seeds() -> None:
    found = curve()
    gap = found.difference((FINE_TUNED, 500), (SCRATCH, 2_000))
    by_hand = diebold_mariano(noise()[100:] - 0.1, noise()[100:] - 0.01 / 3)
    assert gap is not None
    assert gap.value == pytest.approx(by_hand.value)
    pairs = {(first, second) for first, second, _ in found.differences}
    assert ((FINE_TUNED, 500), (HAR_T, 500)) in pairs
    assert all(first[0] == FINE_TUNED for first, _ in pairs)


@pytest.mark.parametrize(
    ("gain", "word"), [(0.1, "Worth more than all bars"), (-0.1, "Worth less than all bars")]
)
def test_the_page_begins_with_what_it_comes_to(gain: float, word: str) -> None:
    page = transfer_page(curve(gain))
    assert word in page
    assert page.index(word) < page.index("Learning curve")
