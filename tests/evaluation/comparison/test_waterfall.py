import numpy as np
import pytest

from worldmodel_trading.agents.rules import RandomWeights, buy_and_hold
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.vector import DreamVectorEnv, ReplayVectorEnv
from worldmodel_trading.evaluation.comparison.measured import measure_policy
from worldmodel_trading.evaluation.comparison.waterfall import measure_waterfall
from worldmodel_trading.evaluation.episodes import Episodes
from worldmodel_trading.evaluation.lanes import run_lanes
from worldmodel_trading.evaluation.rollout import evaluate_policy, play_through
from worldmodel_trading.market.account.broker import ScalarAccount
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError

HOURS = 8760
PARTS = ("gross", "fees", "slippage", "funding", "net", "compounding", "log_return")


class Scripted:
    """Plays a list of weights."""

    def __init__(self, weights):
        self.weights = list(weights)

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        step = 0 if state is None else state
        return np.array([self.weights[step]], np.float32), step + 1


def bars(closes, start_ms=1_700_006_400_000):
    close = np.array(closes, dtype=np.float64)
    opening = np.append(close[0], close[:-1])
    return Candles(
        start_ms + 3_600_000 * np.arange(len(close), dtype=np.int64),
        opening,
        np.maximum(opening, close) * 1.001,
        np.minimum(opening, close) * 0.999,
        close,
        np.full(len(close), 10.0),
        close * 10.0,
        interval="60",
    )


def assert_adds_up(found):
    left = found.gross - found.fees - found.slippage - found.funding
    assert left == pytest.approx(found.net, rel=1e-12, abs=1e-14)
    assert found.net + found.compounding == pytest.approx(found.log_return, rel=1e-12, abs=1e-14)


def test_two_bars_by_hand():
    # Long 1 through +10 %, then short 1 through -5 %: orders of 1 and 2 at 0.1 % fee, 0.05 % slippage.
    first = (1 - 0.0015) * 1.10
    second = (1 - 2 * 0.0015) * 1.05
    episodes = Episodes(
        equity=np.array([[1.0, first, first * second]]),
        weight=np.array([[0.0, 1.0, -0.95 / 1.05]]),
        market_return=np.array([[0.10, -0.05]]),
        turnover=np.array([[1.0, 2.0]]),
        cost=np.array([[0.0015, 0.0030]]),
        slippage=np.array([[0.0005, 0.0010]]),
        funding=np.array([[0.0, 0.0]]),
        terminated=np.array([False]),
    )
    found = measure_waterfall(episodes, 2.0)  # a year has two bars: means × 2 are sums
    assert found.gross == pytest.approx(0.9985 * 0.10 + 0.997 * 0.05)
    assert found.fees == pytest.approx(0.003)
    assert found.slippage == pytest.approx(0.0015)
    assert found.funding == 0.0
    assert found.net == pytest.approx(first + second - 2)
    assert found.log_return == pytest.approx(np.log(first * second))
    assert_adds_up(found)
    assert list(found.to_dict()) == list(PARTS)


@pytest.mark.parametrize("leverage", [1.0, 3.0])
def test_steps_are_the_brokers_amounts(leverage):
    rng = np.random.default_rng(3)
    candles = bars(100 * np.exp(np.cumsum(0.004 * rng.standard_normal(600))))
    env = BybitReplayEnv(
        candles,
        episode_length=None,
        random_start=False,
        leverage=leverage,
        funding=0.0003,
        slippage_per_range=0.05,
        maintenance_margin=0.005,
    )
    weights = np.float32(rng.uniform(-1, 1, 700))
    episodes = evaluate_policy(env, Scripted(weights), bars_per_year=HOURS).episodes
    account = ScalarAccount(
        BrokerConfig.from_settings(
            leverage=leverage, slippage_per_range=0.05, maintenance_margin=0.005
        )
    )
    row = int(env.recorded.starts(None)[0])
    amounts = []
    for step in range(episodes.turnover.shape[1]):
        before = account.equity
        settled = account.step(float(weights[step]), env.recorded.bars, row + 1 + step)
        parts = (settled.price_pnl, settled.fee, settled.slippage, settled.funding)
        amounts.append([part / before for part in parts])
    paid = HOURS * np.mean(amounts, axis=0)
    found = measure_waterfall(episodes, HOURS)
    np.testing.assert_allclose(
        [found.gross, found.fees, found.slippage, found.funding], paid, rtol=1e-9
    )
    assert (np.array(amounts)[:, 3] > 0).any()
    assert (np.array(amounts)[:, 3] < 0).any()  # shorts receive
    assert_adds_up(found)
    assert not episodes.terminated[0]


def test_a_liquidation_loses_nothing_on_the_way():
    closes = [100.0] * 300 + [70.0] * 5
    env = BybitReplayEnv(
        bars(closes),
        episode_length=None,
        random_start=False,
        leverage=5.0,
        maintenance_margin=0.01,
        liquidation_fee=0.001,
    )
    result = evaluate_policy(env, Scripted([1.0] * 400), bars_per_year=HOURS)
    measured = measure_policy(result.episodes, HOURS, env.recorded.candles)
    assert_adds_up(measured.waterfall)
    assert measured.risk.ended_early == 1.0
    opening, closing = 5 * 0.00055, result.records[0].cost[-1]
    assert closing > 0.0
    bars_lived = len(result.records[0])
    rate = HOURS / bars_lived
    assert measured.waterfall.fees >= rate * (opening + closing) * 0.999
    assert measured.waterfall.gross < -0.9 * rate
    assert measured.capacity.halved_usdt is None


def test_lanes_of_a_replay_are_its_episodes():
    settings = {"episode_length": 60, "funding": 0.0005, "leverage": 2.0}
    env = ReplayVectorEnv(3, **settings)
    lanes = run_lanes(env, buy_and_hold(), seed=5)
    _, info = ReplayVectorEnv(3, **settings).reset(seed=5)
    for lane, start in enumerate(info["time_ms"]):
        alone = BybitReplayEnv(**settings)
        one = evaluate_policy(
            alone, buy_and_hold(), bars_per_year=HOURS, options={"start": int(start)}
        ).episodes
        for name in (
            "equity",
            "weight",
            "market_return",
            "turnover",
            "cost",
            "slippage",
            "funding",
        ):
            np.testing.assert_array_equal(getattr(lanes, name)[lane], getattr(one, name)[0])
    assert np.abs(lanes.funding).sum() > 0


def test_dreams_add_up():
    lanes = run_lanes(DreamVectorEnv(5, "default", horizon=40), RandomWeights(seed=1), seed=2)
    measured = measure_policy(lanes, HOURS)
    assert_adds_up(measured.waterfall)
    assert measured.capacity is None
    assert measured.waterfall.log_return == measured.performance.annual_log_return
    turnover = measured.performance.turnover
    assert measured.waterfall.fees == pytest.approx(HOURS * 0.00055 * turnover)
    assert measured.waterfall.slippage == pytest.approx(HOURS * 0.0002 * turnover)


def test_a_replay_with_a_gap_adds_up():
    candles = bars(100 + np.sin(np.arange(900)))
    keep = np.r_[0:450, 460:900]
    names = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
    gapped = Candles(*(getattr(candles, name)[keep] for name in names), interval="60")
    env = BybitReplayEnv(gapped, episode_length=None, random_start=False)
    result = play_through(env, RandomWeights(seed=0), HOURS)
    measured = measure_policy(result.episodes, HOURS, gapped)
    assert_adds_up(measured.waterfall)
    assert measured.waterfall.slippage == pytest.approx(
        HOURS * 0.0002 * measured.performance.turnover
    )


def empty(bars_lived=0, equity=1.0):
    zeros = np.zeros((1, bars_lived))
    path = np.full((1, bars_lived + 1), equity)
    return Episodes(path, path * 0, zeros, zeros, zeros, zeros, zeros, np.array([False]))


@pytest.mark.parametrize("count", [0, 1, 5])
def test_nothing_done_is_nothing_earned(count):
    measured = measure_policy(empty(count), HOURS)
    assert set(measured.waterfall.to_dict().values()) == {0.0}
    assert set(measured.risk.to_dict().values()) == {0.0}


def test_a_total_loss_is_finite_and_adds_up():
    gone = Episodes(
        np.array([[1.0, 0.0, 0.0]]),
        np.zeros((1, 3)),
        *(np.zeros((1, 2)) for _ in range(5)),
        np.array([True]),
    )
    measured = measure_policy(gone, HOURS)
    assert np.isfinite([*measured.waterfall.to_dict().values()]).all()
    assert measured.waterfall.net == pytest.approx(-HOURS / 2)
    assert_adds_up(measured.waterfall)


def test_a_year_without_bars_is_refused():
    with pytest.raises(ConfigError, match="bars_per_year is 0"):
        measure_waterfall(empty(3), 0)
