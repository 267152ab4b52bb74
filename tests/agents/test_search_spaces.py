"""Candidates: the n-th of a space is the same whoever draws it."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.agents.rules.trend import Momentum
from worldmodel_trading.agents.search_spaces import SPACES, Place, blocks_of, described, draw_block
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.models.world_model import WorldModel


@pytest.fixture(scope="module")
def place(market_model: WorldModel) -> Place:
    return Place(market_model, BrokerConfig())


@pytest.mark.parametrize("space", SPACES)
def test_a_candidate_does_not_depend_on_how_many_there_are(space: str, place: Place) -> None:
    few, many = (draw_block(space, place, 3, 1, count) for count in (5, 40))
    first = SPACES[space].together
    assert few.family.members == tuple(f"{space} {first + row}" for row in range(5))
    for name, values in few.settings.items():
        assert np.array_equal(values, many.settings[name][:5])
        assert len(np.unique(many.settings[name])) > 1
    other = draw_block(space, place, 4, 1, 5)
    assert not all(
        np.array_equal(few.settings[name], other.settings[name]) for name in few.settings
    )


def test_linear_candidates_are_of_the_scale_that_they_name(place: Place) -> None:
    made = draw_block("linear", place, 0, 0, 4_096)
    parameters = np.asarray(made.family.policies)
    config = place.world_model.config
    account = len(place.broker.view.account_observation)
    assert parameters.shape == (4_096, config.latent_size + config.hidden_size + account + 1)
    in_scales = parameters[:, :-1] / made.settings["scale"][:, None]
    assert abs(in_scales.std() - 1.0) < 0.02
    assert np.array_equal(parameters[:, -1], made.settings["bias"])


def test_rules_have_the_settings_that_they_name(place: Place) -> None:
    made = draw_block("momentum", place, 0, 0, 8)
    for rule, horizon, size in zip(made.family.policies, *made.settings.values(), strict=True):
        assert isinstance(rule, Momentum)
        assert (rule.horizon, rule.size) == (horizon, size)


def test_some_of_a_block_are_themselves(place: Place) -> None:
    made = draw_block("linear", place, 0, 0, 10)
    chosen = made.some(np.array([7, 2]))
    assert chosen.family.members == ("linear 7", "linear 2")
    policies = np.asarray(made.family.policies)
    assert np.array_equal(np.asarray(chosen.family.policies), policies[[7, 2]])


def test_blocks_hold_all() -> None:
    assert blocks_of("linear", 10_000) == [4_096, 4_096, 1_808]
    assert blocks_of("momentum", 256) == [256]


def test_settings_in_words() -> None:
    assert described({"horizon": 24.0, "size": 0.5}) == "horizon 24, size 0.5"
