"""Agents by name."""

from __future__ import annotations

import inspect

import pytest

from worldmodel_trading.agents.registry import (
    ALGORITHMS,
    LEARNED,
    POLICY_SETTINGS,
    find_algorithm,
    listed,
)
from worldmodel_trading.agents.rules.known import RULES
from worldmodel_trading.agents.sb3_models import model_class
from worldmodel_trading.market.errors import ConfigError


def test_all_are_listed_by_kind_and_say_what_they_are() -> None:
    rows = listed()
    by_kind = {kind: [row.name for row in rows if row.kind == kind] for kind in ("learned", "rule")}
    assert by_kind == {"learned": list(LEARNED), "rule": list(RULES)}
    assert {"skrl", "torchrl"} <= {row.name for row in rows if row.kind == "package"}
    assert all(row.about for row in rows)
    assert all(row.installed for row in rows if row.kind != "package")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_default_is_one_that_the_algorithm_takes(name: str) -> None:
    algorithm = find_algorithm(name)
    taken = set(inspect.signature(model_class(algorithm)).parameters) | set(POLICY_SETTINGS)
    assert set(algorithm.settings) <= taken


def test_settings_take_the_place_of_defaults_and_unknown_ones_are_refused() -> None:
    ppo = find_algorithm("ppo")
    assert ppo.settle({"gamma": 0.5}) == {**ppo.settings, "gamma": 0.5}
    with pytest.raises(
        ConfigError, match="the agent 'ppo' has no setting 'gama'; did you mean 'gamma'"
    ):
        ppo.settle({"gama": 0.5})
    with pytest.raises(ConfigError, match="no agent 'pppo' to train; did you mean 'ppo'"):
        find_algorithm("pppo")
    with pytest.raises(ConfigError, match=r"expected one of ppo, a2c, .*, cma_es"):
        find_algorithm("zzz")
