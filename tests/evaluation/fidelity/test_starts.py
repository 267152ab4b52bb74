"""Whether dreams follow their start, on dreams that do, do not, and overdo it."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.evaluation.fidelity.starts import PERSISTENCE, Response, Starts
from worldmodel_trading.evaluation.fidelity.subject import FidelityConfig, Ranges, Subject
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.paper_world_model import PaperWorldModel

STARTS = 400


def response(dreamed: np.ndarray, came: np.ndarray, before: np.ndarray) -> Response:
    forecasts = {"world_model": dreamed, PERSISTENCE: before}
    return Response.of(forecasts, came, np.random.default_rng(0))


@pytest.fixture(scope="module")
def days() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log volatilities: what could be known of each day, the day, and the day before it."""
    rng = np.random.default_rng(1)
    known = np.zeros(STARTS)
    for t in range(1, STARTS):
        known[t] = 0.9 * known[t - 1] + rng.standard_normal()
    came = known + rng.standard_normal(STARTS)
    return known, came, np.roll(came, 1)


def test_a_dream_that_knows_its_start_beats_the_day_before(days) -> None:
    known, came, before = days
    found = response(known, came, before)
    assert found.starts == STARTS
    assert found.correlation["world_model"].value > found.correlation[PERSISTENCE].value
    assert found.minus[PERSISTENCE].low > 0.0
    assert found.spread.low < 1.0 < found.spread.high
    assert found.shuffled.low < 0.0 < found.shuffled.high < 0.15


def test_a_dream_that_forgets_its_start_is_told(days) -> None:
    _, came, before = days
    found = response(np.random.default_rng(2).standard_normal(STARTS), came, before)
    assert found.correlation["world_model"].high < found.correlation[PERSISTENCE].low
    assert found.minus[PERSISTENCE].high < 0.0
    assert found.spread.high < 0.5


def test_a_dream_that_never_moves_has_no_rank(days) -> None:
    _, came, before = days
    found = response(np.ones(STARTS), came, before)
    assert found.correlation["world_model"].value == 0.0
    assert found.spread.value == 0.0


def test_a_dream_that_moves_twice_as_far_says_so(days) -> None:
    known, came, before = days
    found, twice = (response(scale * known, came, before) for scale in (1.0, 2.0))
    assert twice.correlation == found.correlation  # ranks do not feel it
    assert twice.spread.value == pytest.approx(2.0 * found.spread.value)


def test_too_few_starts_are_refused() -> None:
    with pytest.raises(ConfigError, match="19 starts; whether dreams follow them needs 20"):
        response(*np.random.default_rng(0).standard_normal((3, 19)))


def measured(model, candles: Candles, last: tuple[int, int]) -> Starts:
    ranges = Ranges((0, 1_500), {"test": last})
    return Starts.measure(Subject(model, candles, ranges, FidelityConfig(outlook_paths=16)))


def test_dreams_of_bars_are_measured_with_their_volumes(
    market_model: BarWorldModel, candles: Candles
) -> None:
    starts = measured(market_model, candles, (1_900, len(candles)))
    assert starts.volatility is not None
    assert starts.volume is not None
    assert starts.volatility.starts == starts.volume.starts == 28  # from row 1,899 to 2,574
    assert set(starts.volatility.correlation) == {"world_model", "har_t", PERSISTENCE}
    assert set(starts.volume.correlation) == {"world_model", PERSISTENCE}
    assert len(starts.goals()) == 4
    assert set(starts.to_dict()["starts"]) == {"volatility", "volume"}


def test_dreams_of_latents_tell_no_volume(paper_model: PaperWorldModel, candles: Candles) -> None:
    starts = measured(paper_model, candles, (1_900, len(candles)))
    assert starts.volatility is not None
    assert starts.volume is None
    assert len(starts.goals()) == 2


def test_a_short_range_says_nothing(market_model: BarWorldModel, candles: Candles) -> None:
    for last in ((2_560, 2_600), (2_200, 2_600)):
        starts = measured(market_model, candles, last)
        assert starts == Starts(None, None)
        assert starts.goals() == []
        assert starts.to_dict() == {"starts": {}}
