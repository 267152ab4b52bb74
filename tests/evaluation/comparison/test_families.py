"""The audit of families tells what dreams know from what they need not know."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from worldmodel_trading.agents.families import standard_families
from worldmodel_trading.evaluation.comparison.families import (
    ALL,
    FamilyAudit,
    WorldPays,
    audit_families,
    score_families,
)
from worldmodel_trading.evaluation.comparison.pay import Pay
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.paper_world_model import PaperWorldModel

EACH = 200
FAMILIES = ("calm", "busy", "lucky")


def pays(seed: int, dream_knows: float, fees: float = 1.0) -> WorldPays:
    """Three families whose skill the market pays, and a dream that knows so much of it."""
    rng = np.random.default_rng(seed)
    count = EACH * len(FAMILIES)
    skill, blur = rng.normal(size=(2, count))
    cost, exposure = rng.exponential(size=count), rng.uniform(-1, 1, count)
    gross = skill + 0.1 * exposure

    def paid(earned: np.ndarray) -> Pay:
        return Pay(earned - fees * cost, earned, cost, exposure)

    market = paid(gross)
    dream = paid(dream_knows * skill + (1 - dream_knows) * blur)
    floor = Pay(-cost, -cost, cost, exposure)
    names = [(family, str(i)) for family in FAMILIES for i in range(EACH)]
    family, policy = zip(*names, strict=True)
    return WorldPays(
        family, policy, dream, {"test": market}, {"minus cost": floor}, {"test": {"Q1": market}}
    )


def test_a_dream_that_is_the_market_is_seen_to_be() -> None:
    audit = FamilyAudit.of({str(seed): pays(seed, 1.0) for seed in range(3)})
    for kind in ("net", "gross"):
        found = audit.headline["test"][kind]
        assert found.beyond.median > 0.95
        assert found.beyond.interval is not None
        assert found.beyond.interval.low > 0.9
        assert found.beyond.units == 3
        assert found.adds


def test_a_dream_that_knows_fees_alone_adds_nothing() -> None:
    audit = FamilyAudit.of({str(seed): pays(seed, 0.0, fees=20.0) for seed in range(5)})
    found = audit.headline["test"]["net"]
    assert found.spearman.median > 0.9  # which would be the headline elsewhere
    assert found.floors["minus cost"].median > 0.9
    assert abs(found.beyond.median) < 0.2
    assert abs(found.windows["Q1"]) < 0.2
    assert not audit.headline["test"]["gross"].adds


def test_a_family_that_carries_the_result_is_found_by_leaving_it_out() -> None:
    world = pays(0, 0.0)
    lucky = np.array(world.family) == "lucky"
    dream = world.dream._replace(
        gross=np.where(lucky, world.ranges["test"].gross, world.dream.gross)
    )
    audit = FamilyAudit.of({"one": WorldPays(**{**vars(world), "dream": dream})})
    assert audit.agreements["lucky"]["test"]["gross"].beyond.median == pytest.approx(1.0)
    assert audit.agreements[ALL]["test"]["gross"].beyond.median > 0.2
    assert abs(audit.agreements["all but lucky"]["test"]["gross"].beyond.median) < 0.2
    assert audit.agreements["all but calm"]["test"]["gross"].beyond.median > 0.35


def test_one_world_model_is_judged_by_its_policies() -> None:
    found = FamilyAudit.of({"one": pays(0, 1.0)}).headline["test"]["gross"]
    assert found.beyond.interval is None
    assert found.adds


def test_groups_too_small_to_rank_are_left_out() -> None:
    world = pays(0, 1.0)
    family = ("few",) * 5 + world.family[5:]
    audit = FamilyAudit.of({"one": WorldPays(**{**vars(world), "family": family})})
    assert "few" not in audit.agreements
    assert "all but few" in audit.agreements


def test_a_family_of_one_world_model_is_judged_there() -> None:
    one, other = pays(0, 1.0), pays(1, 1.0)
    family = tuple("searched" if name == "lucky" else name for name in other.family)
    more = WorldPays(**{**vars(other), "family": family})
    audit = FamilyAudit.of({"one": one, "other": more})
    assert list(audit.agreements["lucky"]["test"]["net"].models) == ["one"]
    assert list(audit.agreements["searched"]["test"]["net"].models) == ["other"]
    assert list(audit.headline["test"]["net"].models) == ["one", "other"]
    assert set(audit.to_dict()["families"]) == {"calm", "busy", "lucky", "searched"}


def test_without_a_world_model_there_is_no_audit() -> None:
    with pytest.raises(ConfigError, match="no world model"):
        FamilyAudit.of({})


@pytest.fixture(scope="module")
def audit(market_model: BarWorldModel, candles: Candles) -> FamilyAudit:
    told: list[str] = []
    found = audit_families(
        {"a": market_model, "b": market_model},
        candles,
        {"later": (1_900, len(candles))},
        families=lambda model: standard_families(model, per_scale=3),
        dreams=16,
        bars=48,
        progress=told.append,
    )
    assert told == [f"{name}: {what}" for name in "ab" for what in ("dreams", "replay", "floors")]
    return found


def test_every_policy_is_scored_at_every_venue(audit: FamilyAudit) -> None:
    table = audit.scores_table()
    floors = {
        "minus cost",
        "mean exposure",
        "recorded training range",
        "its last quarter",
        "untrained M",
        "block bootstrap",
        "GARCH",
    }
    assert set(table.venue) == {"dream", "later"} | floors
    assert set(table.groupby(["world_model", "venue"]).size()) == {len(audit.pays["a"].policy)}
    assert np.isfinite(table[["net", "gross", "cost", "exposure"]]).all().all()
    flat = table[(table.family == "constant weight") & (table.policy == "+0.00")]
    real = flat[~flat.venue.isin(floors)]
    assert (real[["net", "gross", "cost", "exposure"]] == 0.0).all().all()
    held = table[(table.policy == "+1.00") & (table.venue == "later")]
    assert held.exposure.to_numpy() == pytest.approx(1.0, abs=1e-3)


def test_it_tells_of_itself(audit: FamilyAudit) -> None:
    told = json.loads(json.dumps(audit.to_dict()))
    assert told["families"]["random linear"] == 12
    assert told["agreements"][ALL]["later"]["gross"]["beyond"]["units"] == 2
    rows = audit.table()
    assert set(rows.columns) >= {"policies", "range", "kind", "beyond", "strongest_floor", "adds"}
    assert set(rows.kind) == {"net", "gross"}
    again = pickle.loads(pickle.dumps(audit.pays["a"]))
    np.testing.assert_array_equal(again.dream.net, audit.pays["a"].dream.net)


def test_a_holder_is_promised_what_the_dream_expects(
    market_model: BarWorldModel, candles: Candles
) -> None:
    """Two seeds draw other bars, and promise nearly the same."""
    ranges = {"later": (1_900, len(candles))}
    families = [one for one in standard_families(market_model, per_scale=2)]
    size = {"families": families, "dreams": 32, "bars": 48}
    one, other = (
        score_families(market_model, candles, ranges, seed=seed, **size).dream.gross[
            8 + 40
        ]  # the weight +1
        for seed in (0, 1)
    )
    volatility = np.diff(np.log(candles.close)).std()
    assert abs(one - other) < 0.2 * volatility / np.sqrt(32 * 48)


def test_what_cannot_be_audited_is_refused(
    paper_model: PaperWorldModel, market_model: BarWorldModel, candles: Candles
) -> None:
    families = standard_families(market_model, per_scale=1)
    with pytest.raises(ConfigError, match="expected a world model of the preset 'market'"):
        score_families(paper_model, candles, {}, families=families)
    with pytest.raises(ConfigError, match="there are 4 policies"):
        score_families(market_model, candles, {}, families=families[:1])
