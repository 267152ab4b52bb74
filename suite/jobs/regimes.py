"""Regimes of a market: found, named, and who earned what in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worldmodel_trading.entrants import open_entrants
from worldmodel_trading.envs.spaces import ObservationKind
from worldmodel_trading.evaluation.policy import check_policy
from worldmodel_trading.evaluation.regimes.controls import (
    RANDOM_ENCODER,
    RAW_FEATURES,
    TERCILES,
    believed_by,
    terciles,
)
from worldmodel_trading.evaluation.regimes.outcomes import Explained, explained
from worldmodel_trading.evaluation.regimes.periods import Periods, labels_at, measure_periods
from worldmodel_trading.evaluation.regimes.results import RegimeResults
from worldmodel_trading.evaluation.report.regimes_page import REGIMES, regimes_text, write_regimes
from worldmodel_trading.ground import Cuts, Recorded, open_recorded_ranges
from worldmodel_trading.market.arrays import FloatArray, IntArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.records import FROM_ZERO, Record
from worldmodel_trading.models.regimes.chain import likeliest
from worldmodel_trading.models.regimes.regimes import Regimes
from worldmodel_trading.output import job_folder, refuse_taken
from worldmodel_trading.playing import Markets
from worldmodel_trading.progress import Counter, say, tell


@dataclass(frozen=True)
class RegimesConfig(Record):
    """How regimes are found and what is played in them.

    Attributes:
        count: How many; None by BIC among the numbers that resamples find again.
        method: ``hmm`` or ``mixture``.
        bootstraps: Fits on resampled blocks for each number.
        observation: What a ``module:callable`` looks at.
        trust: Unpickle bare zips.
        funding: What positions pay.
        account: Any setting of the account; empty is that of the agents' own training.
        seed: Of all that is drawn.
    """

    count: int | None = None
    method: str = "hmm"
    bootstraps: int = 10
    observation: ObservationKind = "latent"
    trust: bool = False
    funding: str | float = "off"
    account: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    _bounds = {"count": (2, 8), "bootstraps": (0, 1000), "seed": FROM_ZERO}  # noqa: RUF012
    _choices = {"method": ("hmm", "mixture"), "observation": ("latent", "features")}  # noqa: RUF012


def find_regimes(
    world_model: Any = "default",
    candles: Any = None,
    agents: Sequence[str] = (),
    out: str = "runs/regimes",
    *,
    cuts: Cuts | None = None,
    overwrite: bool = False,
    **config: Any,
) -> RegimeResults:
    """Find regimes; writes ``regimes.json``, ``periods.json`` and ``regimes.html``, prints a table.

    Args:
        world_model: Its folder, or ``default``.
        candles: The record, the training range included; None is the embedded market.
        agents: Folders, zips, rules' names or ``module:callable``, to be seen by regime.
        out: Folder for the files; `Regimes.load` reads it.
        cuts: Where validation and test are.
        overwrite: Replace a job's results there.
        config: Fields of `RegimesConfig`.

    Raises:
        ConfigError: A setting, an agent or the record is not fit.
    """
    chosen = RegimesConfig.from_dict(config)
    refuse_taken(out, "regimes", overwrite=overwrite)
    recorded = open_recorded_ranges(world_model, candles, cuts or Cuts())
    if recorded.candles is None or "train" not in recorded.ranges:
        raise ConfigError(
            "regimes are found on the training range, and the candles hold none of it: give the file "
            "that the world model was trained on"
        )
    entrants: dict[str, Any] = {}
    account: dict[str, Any] = {}
    if agents:
        entrants, account = open_entrants(
            agents, recorded, chosen.account, chosen.observation, trust=chosen.trust
        )
    for entrant in entrants.values():
        check_policy(entrant.policy, recorded.world_model.fingerprint)
    with job_folder(out, "regimes", overwrite=overwrite) as emptied:
        results = _measure(chosen, recorded, recorded.candles, entrants, account)
        page = write_regimes(emptied(), results)
    tell(f"{regimes_text(results)}\n\nReport: {page}")
    return results


def _measure(
    config: RegimesConfig,
    recorded: Recorded,
    candles: Candles,
    entrants: Mapping[str, Any],
    account: Mapping[str, Any],
) -> RegimeResults:
    model, made = recorded.world_model, recorded.world_model.provenance
    say("finding regimes")
    regimes = Regimes.fit(
        model, candles, config.count, config.seed,
        method=config.method, bootstraps=config.bootstraps,  # type: ignore[arg-type]
    )  # fmt: skip
    believed = regimes.filter(model, candles)
    labels = np.where(np.isfinite(believed).all(axis=1), likeliest(np.nan_to_num(believed)), -1)
    known = np.flatnonzero((labels >= 0) & model.latents(candles).valid)
    venue = "test" if "test" in recorded.ranges else list(recorded.ranges)[-1]
    growth = np.append(candles.log_returns()[1:], np.nan)  # of the bar after each
    return RegimeResults(
        regimes=regimes,
        symbol=made.symbol,
        interval=made.interval,
        time_ms=candles.open_time_ms[known],
        close=candles.close[known],
        labels=labels[known],
        latent_map=_map(model.latents(candles).z[known]),
        seen_until_ms=made.train_end_ms,
        market={
            name: _in_range(
                labels, growth, candles, ends, len(regimes), made.bars_per_year, config.seed
            )
            for name, ends in recorded.ranges.items()
        },
        agents=_play(config, recorded, entrants, account, venue, labels, len(regimes)),
        venue=venue,
        explained=_explained(config, recorded, candles, believed),
    )


def _in_range(
    labels: IntArray,
    growth: FloatArray,
    candles: Candles,
    ends: tuple[int, int],
    count: int,
    bars_per_year: float,
    seed: int,
) -> list[Periods]:
    inside = (candles.open_time_ms >= ends[0]) & (candles.open_time_ms < ends[1])
    return measure_periods(labels[inside], growth[inside], count, bars_per_year, seed)


def _map(latents: np.ndarray) -> FloatArray:
    """The first two principal components of z [T, 2]."""
    centred = latents.astype(np.float64) - latents.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    placed: FloatArray = centred @ directions[:, ::-1][:, :2]
    return placed


def _play(
    config: RegimesConfig,
    recorded: Recorded,
    entrants: Mapping[str, Any],
    account: Mapping[str, Any],
    venue: str,
    labels: IntArray,
    count: int,
) -> dict[str, list[Periods]]:
    """What every agent's account did by regime."""
    candles = recorded.candles
    assert candles is not None
    markets = Markets(recorded, funding=config.funding, account=account)
    years = recorded.world_model.provenance.bars_per_year
    found: dict[str, list[Periods]] = {}
    with Counter("regimes", len(entrants), "agent") as counter:
        for name, entrant in entrants.items():
            curve = markets.play(entrant, venue, config.seed).curve
            assert curve.time_ms is not None
            growth = np.diff(np.log(np.maximum(curve.equity, 1e-12)))
            at = labels_at(curve.time_ms[:-1], candles.open_time_ms, labels)
            found[name] = measure_periods(at, growth, count, years, config.seed)
            counter()
    return found


def _explained(
    config: RegimesConfig, recorded: Recorded, candles: Candles, believed: FloatArray
) -> dict[str, Explained]:
    """What is explained of the next day, beside the controls; nothing where days are too few."""
    model, made = recorded.world_model, recorded.world_model.provenance
    count = believed.shape[1]
    fitted = (made.train_start_ms, made.train_end_ms)
    scored = (made.train_end_ms, int(candles.open_time_ms[-1]) + 1)
    known = {
        REGIMES: believed,
        TERCILES: terciles(candles, *fitted),
        RAW_FEATURES: believed_by(RAW_FEATURES, model, candles, count, config.seed),
        RANDOM_ENCODER: believed_by(RANDOM_ENCODER, model, candles, count, config.seed),
    }
    try:
        return {
            name: explained(each, candles, fitted, scored, seed=config.seed)
            for name, each in known.items()
        }
    except ConfigError as error:
        say(f"  {error}")
        return {}
