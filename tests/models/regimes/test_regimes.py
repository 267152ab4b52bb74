"""Regimes: found, named, stored, and followed bar by bar."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, ModelFileError
from worldmodel_trading.market.synthetic import SyntheticMarket, synthetic_candles
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.models.regimes.chain import Chain
from worldmodel_trading.models.regimes.opening import open_regimes
from worldmodel_trading.models.regimes.regimes import Regimes
from worldmodel_trading.models.states import segment_times
from worldmodel_trading.models.world_model import WorldModel


@pytest.fixture(scope="module")
def shipped() -> WorldModel:
    return open_world_model("default")


@pytest.fixture(scope="module")
def regimes(shipped: WorldModel) -> Regimes:
    """Four, found in the record that the shipped model was trained on."""
    return Regimes.fit(shipped, synthetic_candles(), count=4, bootstraps=0)


def test_the_true_regimes_are_found_on_unseen_bars(shipped: WorldModel, regimes: Regimes) -> None:
    candles, truth = SyntheticMarket().sample(8_000, seed=11)
    found = regimes.classify(shipped, candles)
    known = found >= 0
    assert known.sum() == len(candles) - 336
    assert adjusted_rand_score(truth[known], found[known]) > 0.7


def test_they_are_named_as_the_market_was_made(regimes: Regimes) -> None:
    assert regimes.names == (
        "calm",
        "calm up-trend",
        "normal up-trend",
        "high-volatility down-trend",
    )
    volatility = [each.volatility for each in regimes.traits]
    assert volatility == sorted(volatility)
    assert sum(each.share for each in regimes.traits) == pytest.approx(1.0)
    stays = [each.duration for each in regimes.traits]
    assert all(70 < stay < 220 for stay in stays)  # true ones are 150, 140, 100 and 140


def test_no_row_depends_on_a_later_bar(shipped: WorldModel, regimes: Regimes) -> None:
    candles = synthetic_candles(seed=3, bars=900)
    whole = regimes.filter(shipped, candles)
    for stop in (337, 500, 899):
        np.testing.assert_array_equal(regimes.filter(shipped, candles.rows(0, stop)), whole[:stop])


def test_a_stream_believes_what_the_batch_does_to_the_last_bit(
    shipped: WorldModel, regimes: Regimes
) -> None:
    candles = synthetic_candles(seed=4, bars=700)
    batch = regimes.filter(shipped, candles)
    heard = shipped.heard(shipped.encode(shipped.features(candles)[336:]))
    stream = regimes.follow(2)
    for bar, row in enumerate(heard):
        times = np.full(2, candles.open_time_ms[336 + bar])
        believed = stream.update(np.stack([row, row]), times)
        np.testing.assert_array_equal(believed[0], batch[336 + bar])
        np.testing.assert_array_equal(believed[1], believed[0])
    later = regimes.after(shipped, candles.rows(0, 600))
    for bar in range(600, 700):
        later.update(heard[bar - 336 : bar - 335], candles.open_time_ms[bar : bar + 1])
    np.testing.assert_array_equal(later.believed[0], batch[-1])


def test_the_filter_is_bayes_rule_by_hand() -> None:
    chain = Chain(
        means=np.array([-1.0, 1.0]),
        deviations=np.array([1.0, 1.0]),
        transition=np.array([[0.9, 0.1], [0.3, 0.7]]),
    )
    np.testing.assert_allclose(chain.stationary, [0.75, 0.25])
    # Coordinate 0.5: densities are in the ratio exp(-1.125) : exp(-0.125); before it 0.75 : 0.25.
    quiet, loud = 0.75 * np.exp(-1.125), 0.25 * np.exp(-0.125)
    np.testing.assert_allclose(
        chain.filter(np.array([0.5]))[0], [quiet / (quiet + loud), loud / (quiet + loud)]
    )
    np.testing.assert_allclose(chain.durations, [10.0, 10.0 / 3.0])


def test_after_a_gap_nothing_is_believed_of_the_time_before(
    shipped: WorldModel, regimes: Regimes
) -> None:
    followed = regimes.follow()
    heard = shipped.heard(shipped.bank.z[:1])
    times = segment_times(shipped)[:1]
    for bar in range(20):
        followed.update(heard[:, bar], times[:, bar])
    assert followed.believed[0].max() > 0.9
    followed.update(heard[:, 20], times[:, 20] + 3_600_000)
    np.testing.assert_array_equal(followed.believed[0], regimes.chain.stationary)


def test_saved_and_loaded_they_are_the_same(
    shipped: WorldModel, regimes: Regimes, tmp_path: Path
) -> None:
    regimes.save(tmp_path)
    again = Regimes.load(tmp_path, shipped)
    candles = synthetic_candles(seed=5, bars=500)
    np.testing.assert_array_equal(again.filter(shipped, candles), regimes.filter(shipped, candles))
    assert (again.names, again.traits, again.trials) == (
        regimes.names,
        regimes.traits,
        regimes.trials,
    )


def test_another_world_model_is_refused(
    regimes: Regimes, market_model: BarWorldModel, tmp_path: Path
) -> None:
    regimes.save(tmp_path)
    for use in (
        lambda: Regimes.load(tmp_path, market_model),
        lambda: open_regimes(regimes, market_model),
        lambda: regimes.filter(market_model, synthetic_candles(bars=400)),
        lambda: regimes.segments(market_model, regimes.names[0]),
    ):
        with pytest.raises(ConfigError, match="found in another world model"):
            use()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "else"}, "no regimes"),
        ({"format_version": 9}, "another version"),
        ({"names": ["one"]}, "expected"),
        (
            {"chain": {"means": [0, 1], "deviations": [1, 1], "transition": [[1, 1], [0, 1]]}},
            "shape",
        ),
        ({"traits": [{}]}, "traits"),
    ],
)
def test_an_altered_file_is_refused(
    shipped: WorldModel,
    regimes: Regimes,
    tmp_path: Path,
    change: dict[str, object],
    said: str,
) -> None:
    file = regimes.save(tmp_path)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ModelFileError, match=said):
        Regimes.load(file, shipped)


def test_what_is_no_file_of_regimes_is_refused(shipped: WorldModel, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="worldmodel-trading regimes"):
        Regimes.load(tmp_path, shipped)
    (tmp_path / "regimes.json").write_text("[")
    with pytest.raises(ModelFileError, match="no JSON"):
        Regimes.load(tmp_path, shipped)


def test_segments_end_in_the_regime_that_was_asked_for(
    shipped: WorldModel, regimes: Regimes
) -> None:
    parts = [regimes.segments(shipped, name) for name in regimes.names]
    assert sorted(np.concatenate(parts).tolist()) == list(range(shipped.num_segments))
    # What the bars before a dream were like:
    size = [np.abs(shipped.bank.bars[part, -24:, 0]).mean() for part in parts]
    assert size == sorted(size)
    with pytest.raises(ConfigError, match="did you mean 'calm'"):
        regimes.segments(shipped, "clam")


def test_every_member_has_its_segments(family: BarWorldModel) -> None:
    regimes = Regimes.fit(family, count=2, bootstraps=0)
    found = [regimes.segments(family, name) for name in regimes.names]
    assert sorted(np.concatenate(found).tolist()) == list(range(family.num_segments))


@pytest.mark.parametrize("preset", ["market_model", "paper_model"])
def test_either_preset_has_regimes_in_its_own_bank(
    preset: str, request: pytest.FixtureRequest, candles: Candles
) -> None:
    model = request.getfixturevalue(preset)
    regimes = open_regimes(True, model)
    assert regimes is not None
    assert len(regimes) == 3
    believed = regimes.filter(model, candles)
    known = np.isfinite(believed).all(axis=1)
    assert known.any()
    np.testing.assert_allclose(believed[known].sum(axis=1), 1.0)


def test_the_number_is_that_which_resamples_find_again(shipped: WorldModel) -> None:
    candles = synthetic_candles()
    two = Regimes.fit(shipped, candles, count=2, bootstraps=2)
    assert two.trials[0].stability > 0.8
    assert two.traits[0].duration_low <= two.traits[0].duration <= two.traits[0].duration_high


def test_a_mixture_has_no_memory(shipped: WorldModel) -> None:
    mixture = Regimes.fit(shipped, count=3, method="mixture", bootstraps=0)
    np.testing.assert_array_equal(mixture.chain.transition[0], mixture.chain.transition[2])


def test_impossible_settings(shipped: WorldModel) -> None:
    for count in (1, 9):
        with pytest.raises(ConfigError, match="2 to 8"):
            Regimes.fit(shipped, count=count)
    with pytest.raises(ConfigError, match="hmm or mixture"):
        Regimes.fit(shipped, method="else")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="training range"):
        Regimes.fit(shipped, synthetic_candles().rows(20_000, 26_000))
    with pytest.raises(ConfigError, match="expected Regimes"):
        open_regimes(3, shipped)  # type: ignore[arg-type]
