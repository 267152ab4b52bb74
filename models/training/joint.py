"""Training of one V and one M on several symbols, each standardised by itself."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from ...market.candles import Candles
from ...market.errors import ConfigError, TrainingError
from ...market.times import format_time
from ..bar_world_model import BarWorldModel
from ..bars.config import MarketConfig
from ..joint_world_model import JointWorldModel
from .bar_calibration import calibrated
from .bar_ground import BarGround, of_symbol, provenance_of, training_ranges
from .bar_ranges import joined
from .bars import train_bar_networks
from .loops import Session

Split = tuple[Candles, Candles]
"""Training and validation candles of a symbol."""


def train_joint(splits: Sequence[Split], session: Session, source: str) -> JointWorldModel:
    """V and M of several symbols by the stages, and the world model of each.

    Args:
        splits: Of each symbol.
        session: The training's.
        source: Where the candles come from, in words.

    Raises:
        ConfigError: The preset is ``paper``.
        TrainingError: A symbol comes twice, intervals differ, a range is too short, or one symbol's
            training reaches into another's validation.
    """
    refuse_leaks(splits)
    config = session.config
    if not isinstance(config, MarketConfig):
        raise ConfigError(
            f"the preset is {config.preset!r}; only 'market' learns several symbols together: train "
            "one world model for each"
        )
    grounds = [BarGround.of(training_ranges(*split, config), config) for split in splits]
    train, validation = (joined([ground.bars[part] for ground in grounds]) for part in (0, 1))
    found: list[list[BarWorldModel]] = [[] for _ in splits]
    for own in session.members(config.members):
        vae, mdn_rnn = train_bar_networks(train, validation, own, symbols=len(splits))
        for number, (split, ground) in enumerate(zip(splits, grounds, strict=True)):
            own.callbacks.on_note(f"of {split[0].symbol}:")
            networks = copy.deepcopy(vae), of_symbol(mdn_rnn, number)
            told = provenance_of(
                *split,
                own.seed,
                source,
                together=_together(splits, number),
                spec=own.config.features,
            )
            made = ground.world_model(*networks, told, config, own)
            found[number].append(calibrated(made, split[0], own))
    for first, *rest in found:
        first.others = tuple(rest)
    return JointWorldModel({one[0].provenance.symbol: one[0] for one in found})


def _together(splits: Sequence[Split], number: int) -> dict[str, str]:
    others = (train for other, (train, _) in enumerate(splits) if other != number)
    return {train.symbol: train.data_hash() for train in others}


def refuse_leaks(splits: Sequence[Split]) -> None:
    """Refuse symbols that cannot be learned together.

    Markets move together, so that a bar of one tells of the same hour of another: what validates, or
    tests, has to lie after all that is learned.

    Raises:
        TrainingError: A symbol comes twice, intervals differ, or one symbol's training reaches into
            another's validation.
    """
    symbols = [train.symbol for train, _ in splits]
    if len(set(symbols)) < len(symbols):
        raise TrainingError(f"the symbols are {', '.join(symbols)}; expected each once")
    intervals = sorted({part.interval for split in splits for part in split})
    if len(intervals) > 1:
        raise TrainingError(
            f"the candles' intervals are {', '.join(intervals)}; expected one for all symbols"
        )
    late = max((train for train, _ in splits), key=_end_ms)
    early = min((part for _, part in splits), key=lambda part: int(part.open_time_ms[0]))
    if _end_ms(late) > int(early.open_time_ms[0]):
        raise TrainingError(
            f"the training range of {late.symbol} ends at {format_time(_end_ms(late))}, and the "
            f"validation range of {early.symbol} begins at {format_time(int(early.open_time_ms[0]))}: "
            "end all training ranges before the first validation range begins"
        )


def _end_ms(candles: Candles) -> int:
    return int(candles.open_time_ms[-1]) + candles.interval_ms
