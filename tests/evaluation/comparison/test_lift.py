"""What a lift says of searches that dreams pleased, by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from worldmodel_trading.evaluation.comparison.lift import HOLDING, RANDOM, Climb, Lift, SearchLift

CLIMB = Climb(
    promised=np.array([0.1, 0.3, 0.5, 0.9]),
    dream=np.array([0.0, 0.2, 0.4, 0.6]),
    market={"test": np.array([0.0, 0.3, 0.1, -0.1]), "later": np.array([0.0, 0.1, 0.2, 0.3])},
)


def search(number: int, climb: Climb = CLIMB) -> SearchLift:
    rivals = {
        RANDOM: {"dream": 0.1, "test": -0.3, "later": 0.4},
        HOLDING: {"dream": 0.5, "test": 0.2, "later": 0.3},
    }
    return SearchLift("one", number, climb, rivals)


def test_the_market_turns_where_it_paid_best() -> None:
    turn = CLIMB.turn("test")
    assert turn.generation == 1
    assert (turn.dream_gain, turn.market_loss) == pytest.approx((0.4, 0.4))
    assert turn.exploits
    later = CLIMB.turn("later")
    assert (later.generation, later.dream_gain, later.market_loss) == (3, 0.0, 0.0)
    assert not later.exploits


def test_lift_is_what_the_market_pays_beyond_rivals() -> None:
    one = search(0)
    assert one.lift(RANDOM, "test") == pytest.approx(0.2)
    assert one.lift(RANDOM, "later") == pytest.approx(-0.1)
    assert one.lift(HOLDING, "test") == pytest.approx(-0.3)
    assert one.exploitation("test") == pytest.approx(0.7)


def test_a_range_over_searches() -> None:
    better = Climb(CLIMB.promised, CLIMB.dream, {name: p + 0.4 for name, p in CLIMB.market.items()})
    lift = Lift((search(0), search(1, better)), {"one": {"one": 0.25}})
    table = lift.table().set_index(["range", "rival"])
    row = table.loc[("test", HOLDING)]
    assert (row["low"], row["high"], row["median"]) == pytest.approx((-0.3, 0.1, -0.1))
    assert (row["searches"], row["above"]) == (2, 1)
    curves = lift.curves()
    assert len(curves) == 2 * 4 * 4
    assert set(curves.venue) == {"promised", "dream", "test", "later"}
    assert lift.turns().exploits.tolist() == [True, False, True, False]
    told = json.loads(json.dumps(lift.to_dict()))
    assert told["crossed"] == {"one": {"one": 0.25}}
    assert told["searches"][0]["turns"]["test"]["generation"] == 1
