"""Is the dream like the market? Every measure of a world model, beside noise and simple rivals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...market.arrays import FloatArray
from ...market.candles import Candles
from ...market.errors import TrainingBarsError
from ...market.records import AT_LEAST_ONE, FROM_ZERO, Record
from ...market.sources import open_candles
from ...market.times import format_time
from ...models.ood import OODMeter
from ...models.provenance import ALLOW_OTHER_MARKET
from ...models.quality import vae_quality
from ...models.world_model import WorldModel
from ..comparison.rank_agreement import DREAMS, RankAgreement, measure_rank_agreement
from ..density import density_scores, synthetic_excess_nll
from ..results import to_plain
from .dream_age import AGES, horizon_decay, meter_readings, recorded_ood
from .generators import comparison_dreams
from .goals import goals_table
from .paths import Dreams, dream, recorded_latents, recorded_paths
from .probes import (
    action_sensitivity,
    volatility_probes,
    warmup_effects,
    with_untrained_memory,
)
from .random_encoder import with_random_encoder
from .stylised import (
    PathFacts,
    StylisedFacts,
    bootstrap_scores,
    compare_facts,
    noise_floor,
    volatility_cone,
)
from .two_sample import WINDOW_BARS, real_against_real, two_sample_score

if TYPE_CHECKING:
    from ...market.sources import CandleSource

Progress = Callable[[str], None]
OOD_LEVELS = (0.05, 0.5, 0.95)
"""Quantiles over dreams of the out-of-distribution meter's readings."""
CONE_HORIZONS = (6, 12, 24, 48, 96, 168, 336, 720)
_PICTURE_PATHS = 12
_PICTURE_LATENTS = 3_000
_NEVER_MOVES = 1e-6


@dataclass(frozen=True)
class FidelityConfig(Record):
    """How thoroughly to measure.

    Attributes:
        num_dreams: Dreams of the stylised facts.
        bars: Bars of each.
        decay_dreams: Dreams of the horizon decay, as long as the last of `AGES`.
        controllers: Random linear controllers of the rank agreement.
        rank_dreams: Dreams that score each of them.
        control_epochs: Epochs of the M that a random encoder is given.
        seed: Makes all of it repeat.
    """

    num_dreams: int = 256
    bars: int = 720
    decay_dreams: int = 128
    controllers: int = 200
    rank_dreams: int = DREAMS
    control_epochs: int = 20
    seed: int = 0

    _bounds = {  # noqa: RUF012
        **dict.fromkeys(
            (
                "num_dreams",
                "bars",
                "decay_dreams",
                "controllers",
                "rank_dreams",
                "control_epochs",
            ),
            AT_LEAST_ONE,
        ),
        "seed": FROM_ZERO,
    }


@dataclass(frozen=True, eq=False)
class Fidelity:
    """What was measured.

    Attributes:
        results: Numbers with intervals, as written to ``fidelity.json``.
        pictures: Arrays that only the page draws, by name.
    """

    results: dict[str, Any]
    pictures: dict[str, Any] = field(repr=False)


_SAME_CLOSE = 0.01  # sources of one market differ by less


@dataclass(frozen=True)
class _Ranges:
    """Rows of the candles: what was trained on, and what was held out."""

    train: tuple[int, int]
    held_out: dict[str, tuple[int, int]]

    @property
    def last(self) -> tuple[int, int]:
        return list(self.held_out.values())[-1]


def measure_fidelity(
    world_model: WorldModel,
    candles: CandleSource,
    config: FidelityConfig | None = None,
    progress: Progress | None = None,
    *,
    allow_other_market: bool = False,
) -> Fidelity:
    """Measure a world model against the candles that it was trained on and those after them.

    Stylised facts are compared with the training range, where dreams start; forecasts and rankings
    are scored on the validation and test ranges, which are those that the model's provenance
    names, and all bars after them.

    Args:
        world_model: What to judge.
        candles: Of the same market, training range included: anything `open_candles` opens.
        config: How thoroughly.
        progress: Called with the name of each stage as it begins.
        allow_other_market: Measure against a market that the world model was not trained on.

    Raises:
        TrainingBarsError: The candles hold no bars after the training range, or none of it, or
            other closes than the model was trained on.
        OtherMarketError: They are of another symbol or interval, and that is not allowed.
    """
    config = config or FidelityConfig()
    candles = open_candles(candles)
    world_model.provenance.check_market(
        candles.symbol, candles.interval, allow_other=allow_other_market
    )
    say = progress or (lambda stage: None)
    ranges = _ranges(world_model, candles)
    if not allow_other_market:
        _check_closes(world_model, candles)
    names = world_model.config.features.names
    train = candles.rows(*ranges.train)
    results: dict[str, Any] = _head(world_model, candles, ranges, config)
    pictures: dict[str, Any] = {}

    say("density forecasts")
    results["density"] = density_scores(
        world_model, candles, ranges.train, ranges.held_out, seed=config.seed
    )
    if "synthetic" in world_model.provenance.source:
        results["nll_above_truth"] = synthetic_excess_nll(world_model, candles, ranges.last)

    say("dreams")
    sets = _dream_sets(world_model, train, config)
    real = recorded_paths(train, config.bars, world_model.config.features)
    results |= _fact_tables(real, sets, names, config.seed, pictures)
    results["generator_notes"] = {name: each.note for name, each in sets.items() if each.note}
    results["drawn_decoded_correlation"] = _agreement(sets["world_model"])
    results["latent_spread"] = _latent_spread(world_model, train, sets["world_model"])

    say("two-sample tests")
    results["two_sample"] = _two_sample_table(world_model, train, sets, config.seed)

    say("horizon decay")
    long = dream(world_model, config.decay_dreams, AGES[-1][1], seed=config.seed + 1)
    meter = OODMeter.fit(world_model)
    results["horizon_decay"] = horizon_decay(long, real, names, meter)
    results["ood"] = recorded_ood(
        world_model, candles, {"train": ranges.train, **ranges.held_out}, meter
    )
    pictures["ood"] = np.quantile(meter_readings(meter, long), OOD_LEVELS, axis=0)

    say("memory and controls")
    controls = _controls(world_model, candles, ranges, config)
    results |= _memory(world_model, controls, candles, ranges, config)

    say("rank agreement")
    results["rank_agreement"] = _rankings(world_model, controls, candles, ranges, config, pictures)

    pictures |= _latent_picture(world_model, train)
    results["goals"] = goals_table(results)
    plain: Any = to_plain(results, "fidelity")
    return Fidelity(plain, pictures)


def _ranges(world_model: WorldModel, candles: Candles) -> _Ranges:
    """Training, validation and test rows by the model's provenance."""
    p = world_model.provenance
    edges = [p.train_start_ms, p.train_end_ms, p.validation_start_ms, p.validation_end_ms]
    first, last, start, stop = (int(i) for i in np.searchsorted(candles.open_time_ms, edges))
    if last - first < 2 or first == len(candles):
        raise TrainingBarsError(
            f"the candles hold no bars of the training range "
            f"{format_time(p.train_start_ms)} to {format_time(p.train_end_ms)}; the dream is compared "
            "with it, so give the file that the world model was trained on"
        )
    held_out = {"validation": (start, stop), "test": (stop, len(candles))}
    held_out = {name: rows for name, rows in held_out.items() if rows[1] - rows[0] >= 2}
    if not held_out:
        raise TrainingBarsError(
            f"the candles end at {format_time(int(candles.open_time_ms[-1]))}, inside the training "
            "range: a forecast judged on bars that were trained on proves nothing; give later bars"
        )
    return _Ranges((first, last), held_out)


def _check_closes(world_model: WorldModel, candles: Candles) -> None:
    """Symbols are only names: the closes that the model keeps tell whether it met these candles."""
    bank = world_model.bank
    _, rows, kept = np.intersect1d(candles.open_time_ms, bank.open_time_ms, return_indices=True)
    away = np.abs(candles.close[rows] / bank.close[kept] - 1.0)
    if len(rows) and np.median(away) > _SAME_CLOSE:
        row, other = rows[away.argmax()], kept[away.argmax()]
        raise TrainingBarsError(
            f"the close of {format_time(int(candles.open_time_ms[row]))} is {candles.close[row]:g} in "
            f"these candles, and was {bank.close[other]:g} where the world model was trained "
            f"({world_model.provenance.symbol}): give candles of the same market, or "
            f"{ALLOW_OTHER_MARKET}"
        )


def _head(
    world_model: WorldModel, candles: Candles, ranges: _Ranges, config: FidelityConfig
) -> dict[str, Any]:
    def times(rows: tuple[int, int]) -> list[str]:
        ends = candles.open_time_ms[[rows[0], rows[1] - 1]]
        return [format_time(int(end)) for end in ends]

    spans = {"train": ranges.train, **ranges.held_out}
    rows = ranges.last
    quality = vae_quality(
        world_model,
        candles.rows(0, rows[1]),
        start=int(candles.open_time_ms[rows[0]]),
    )
    return {
        "symbol": candles.symbol,
        "interval": candles.interval,
        "preset": world_model.config.preset,
        "ranges": {name: times(span) for name, span in spans.items()},
        "settings": config.to_dict(),
        "vae": asdict(quality),
    }


def _dream_sets(
    world_model: WorldModel, train: Candles, config: FidelityConfig
) -> dict[str, Dreams]:
    size = (config.num_dreams, config.bars)
    untrained = with_untrained_memory(world_model, config.seed)
    rivals = comparison_dreams(train.log_returns(), *size, seed=config.seed)
    return {
        "world_model": dream(world_model, *size, seed=config.seed),
        **rivals,
        "untrained_m": dream(untrained, *size, seed=config.seed),
    }


def _fact_tables(
    real: Dreams,
    sets: dict[str, Dreams],
    names: tuple[str, ...],
    seed: int,
    pictures: dict[str, Any],
) -> dict[str, Any]:
    """Stylised facts of the record, and the distances of every set of dreams from them."""
    recorded = PathFacts(real, names)
    truth = recorded.facts()
    rng = np.random.default_rng(seed)
    tables: dict[str, Any] = {}
    facts = {"real": truth}
    for name, paths in sets.items():
        measured = PathFacts(paths, names, recorded.decile_edges)
        facts[name] = measured.facts()
        spans = bootstrap_scores(measured, truth, rng)
        tables[name] = {
            key: {"value": value, "low": spans[key][0], "high": spans[key][1]}
            for key, value in compare_facts(facts[name], truth).items()
        }
    floor = noise_floor(recorded, rng)
    pictures |= {
        "paths": {
            "real": real.log_return[:: max(1, len(real) // _PICTURE_PATHS)][:_PICTURE_PATHS],
            "world_model": sets["world_model"].log_return[
                :: len(sets["world_model"]) // _PICTURE_PATHS or 1
            ][:_PICTURE_PATHS],
        },
        "returns": {"real": real.log_return, **{k: v.log_return for k, v in sets.items()}},
        "abs_acf": {k: v.abs_acf for k, v in facts.items() if v.abs_acf is not None},
        "cone": {
            k: volatility_cone(v.log_return, [h for h in CONE_HORIZONS if h <= v.bars])
            for k, v in {"real": real, "world_model": sets["world_model"]}.items()
        },
    }
    return {
        "real_facts": _fact_numbers(truth),
        "dream_facts": _fact_numbers(facts["world_model"]),
        "facts": tables,
        "facts_noise_floor": {k: {"low": low, "high": high} for k, (low, high) in floor.items()},
    }


def _fact_numbers(facts: StylisedFacts) -> dict[str, Any]:
    numbers = asdict(facts)
    numbers["excess_kurtosis"] = {str(k): v for k, v in facts.excess_kurtosis.items()}
    return numbers


def _agreement(dreams: Dreams) -> float:
    """Correlation of the return that was drawn with the one decoded from the z drawn beside it."""
    if dreams.features is None:
        return float("nan")
    drawn, decoded = dreams.log_return.ravel(), dreams.features[..., 0].ravel()
    return float(np.corrcoef(drawn, decoded)[0, 1])


def _latent_spread(world_model: WorldModel, train: Candles, dreams: Dreams) -> dict[str, Any]:
    """σ of each dimension of z, dreamed ÷ encoded, of its level and of its change in a bar.

    Far from 1 the dream shows agents latents that replay does not. None for a dimension that never
    moves: one that was silenced.
    """
    z = world_model.latents(train).z
    z = z[np.isfinite(z).all(axis=1)].astype(np.float64)
    if dreams.z is None:
        return {}
    return {
        "level": _ratios(dreams.z.std(axis=(0, 1)), z.std(axis=0)),
        "change": _ratios(
            np.diff(dreams.z, axis=1).std(axis=(0, 1)), np.diff(z, axis=0).std(axis=0)
        ),
    }


def _ratios(dreamed: NDArray[np.floating], encoded: FloatArray) -> list[float | None]:
    pairs = zip(dreamed, encoded, strict=True)
    return [float(a / b) if b > _NEVER_MOVES else None for a, b in pairs]


def _two_sample_table(
    world_model: WorldModel, train: Candles, sets: dict[str, Dreams], seed: int
) -> dict[str, Any]:
    names = world_model.config.features.names
    windows = recorded_paths(train, WINDOW_BARS, world_model.config.features)
    returns = {k: two_sample_score(windows, paths, seed=seed) for k, paths in sets.items()}
    floor = real_against_real(windows, seed=seed)
    both = {
        "world_model": two_sample_score(
            windows, sets["world_model"], seed=seed, feature_names=names
        ),
        **real_against_real(windows, seed=seed, feature_names=names),
    }
    return {
        "returns": {k: v.to_dict() for k, v in returns.items()},
        "returns_noise_floor": {k: v.to_dict() for k, v in floor.items()},
        "returns_ranges_volumes": {k: v.to_dict() for k, v in both.items()},
    }


def _controls(
    world_model: WorldModel, candles: Candles, ranges: _Ranges, config: FidelityConfig
) -> dict[str, WorldModel]:
    """World models that know less, by name; the random encoder needs a validation range."""
    controls = {"untrained_m": with_untrained_memory(world_model, config.seed)}
    if world_model.config.preset == "market" and "validation" in ranges.held_out:
        controls["random_encoder"] = with_random_encoder(
            world_model,
            candles.rows(*ranges.train),
            candles.rows(*ranges.held_out["validation"]),
            seed=config.seed,
            epochs=config.control_epochs,
        )
    return controls


def _memory(
    world_model: WorldModel,
    controls: Mapping[str, WorldModel],
    candles: Candles,
    ranges: _Ranges,
    config: FidelityConfig,
) -> dict[str, Any]:
    lengths = (world_model.config.warmup_bars,)
    return {
        "action_sensitivity": action_sensitivity(world_model, candles, ranges.last),
        "warmup": [asdict(e) for e in warmup_effects(world_model, candles, ranges.last)],
        "controls": {
            "volatility_probe_r2": volatility_probes(
                world_model, candles, ranges.train, ranges.last, seed=config.seed
            ),
            "return_nll": {
                name: warmup_effects(model, candles, ranges.last, lengths=lengths)[0].return_nll
                for name, model in {"world_model": world_model, **controls}.items()
            },
        },
    }


def _rankings(
    world_model: WorldModel,
    controls: Mapping[str, WorldModel],
    candles: Candles,
    ranges: _Ranges,
    config: FidelityConfig,
    pictures: dict[str, Any],
) -> dict[str, Any]:
    def measure(model: WorldModel, reads: Any = "both", train: bool = False) -> RankAgreement:
        return measure_rank_agreement(
            model,
            candles,
            ({"train": ranges.train} if train else {}) | ranges.held_out,
            seed=config.seed,
            controllers=config.controllers,
            dreams=config.rank_dreams,
            bars=config.bars,
            reads=reads,
            allow_other_market=True,  # `fidelity` has asked
        )

    whole = measure(world_model, train=True)
    pictures["rank_agreement"] = {"dream": whole.dream, **whole.replay}
    table: dict[str, Any] = whole.to_dict()
    table["controls"] = {
        "z_only": measure(world_model, "z").to_dict(),
        "h_only": measure(world_model, "h").to_dict(),
        **{name: measure(model).to_dict() for name, model in controls.items()},
    }
    return table


def _latent_picture(world_model: WorldModel, train: Candles) -> dict[str, Any]:
    """Two principal directions of recorded z, coloured by the volatility it decodes to."""
    z, _ = recorded_latents(world_model, train, _PICTURE_LATENTS)
    centred: FloatArray = z.astype(np.float64) - z.mean(axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:2]
    names = world_model.config.features.names
    column = next(i for i, name in enumerate(names) if name.startswith("volatility"))
    return {"latents": centred @ directions.T, "volatility": world_model.decode(z)[:, column]}
