"""A world model of one market, taught another: what few bars of it are enough for.

| step | what changes | by |
|---|---|---|
| units | scaler and unit of returns, on the way from the parent's to the target's own | the likeliest of five shares, and of a joint parent's symbols |
| ``head`` | the return's head | the target's single bars, small steps |
| ``trunk`` | the layer before it and the calendar besides | the same |
| ``encoder`` | what V tells M besides, unless V is frozen | the same |
| ``vae`` | z's other numbers and the decoder, unless V is frozen | the same |
| ``heads`` | wicks and volume | the same |
| constants | the tick, the bank, trust in the mean | the target's ranges, as in training |
| calibration | size, level, spread and steps of dreams | the parent's dreams and the target's record, as far as its units |

Every stage begins at what was best before. One of the forecast's is kept where the validation range
gains by it more than its standard error, and own units likewise: a target whose bars say nothing new
leaves the parent's forecast as it was. The LSTM keeps what it learned, and how far it is heard.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...market.arrays import FloatArray
from ...market.candles import Candles
from ...market.errors import ConfigError
from ...market.features import Scaler, candles_for
from ...market.records import AT_LEAST_ONE, Bounds, Record
from ...market.settings import seed_number
from ..bar_world_model import BarWorldModel
from ..bars.config import MarketConfig
from ..devices import choose_device
from ..feature_range import FeatureRange
from ..joint_world_model import JointWorldModel
from ..world_model import WorldModel
from .bar_calibration import calibrated
from .bar_ground import BarGround, provenance_of, training_ranges
from .bar_ranges import BarRange
from .bars import forecast_stage, head_stage, vae_stage
from .callbacks import Callbacks, TrainingCallback, TrainingHistory
from .learner import Learner, return_losses
from .loops import Session

if TYPE_CHECKING:
    from ...market.sources import CandleSource

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_STRETCHES = 16


@dataclass(frozen=True)
class FineTuneConfig(Record):
    """How a world model is taught another market.

    Attributes:
        freeze_encoder: Whether V stays as it is.
        epochs: Of each stage, at most.
        pace: Of the learning rate with which the parent was trained.
        batch_size: Bars a step.
    """

    freeze_encoder: bool = False
    epochs: int = 20
    pace: float = 0.1
    batch_size: int = 128

    _bounds = {  # noqa: RUF012
        "epochs": AT_LEAST_ONE,
        "batch_size": AT_LEAST_ONE,
        "pace": Bounds(0, 1, above=True),
    }


def fine_tune(
    parent: WorldModel | JointWorldModel,
    train: CandleSource,
    validation: CandleSource,
    settings: FineTuneConfig | None = None,
    *,
    seed: int = 0,
    source: str = "",
    callbacks: Sequence[TrainingCallback] = (),
    device: str = "cpu",
) -> tuple[BarWorldModel, TrainingHistory]:
    """Teach a world model another market, of which there may be few bars.

    Args:
        parent: Of the ``market`` preset, or a joint one; it is not changed. Of several members the
            first is taken.
        train: Training candles of the target: anything `open_candles` opens.
        validation: Candles after them, by which everything is chosen.
        settings: How; the defaults if None.
        seed: Of data order and noise.
        source: Where the candles come from, in words, for the provenance.
        callbacks: Follow the training.
        device: See `train_world_model`.

    Returns:
        The world model of the target, whose provenance names the parent's fingerprint, and what
        happened.

    Raises:
        ConfigError: The parent is of the ``paper`` preset.
        OtherMarketError: The interval is another.
        TrainingError: The candles are too few, or the loss is not finite.
    """
    members = _members(parent)
    spec = parent.config.features
    train, validation = candles_for(spec, train), candles_for(spec, validation)
    members[0].provenance.check_interval(train.interval)
    settings, seed, history = settings or FineTuneConfig(), seed_number(seed), TrainingHistory()
    config = replace(members[0].config, members=1)
    ranges = _ranges(train, validation, config)
    session = Session(
        config=replace(
            config,
            forecast_epochs=settings.epochs,
            vae_epochs=settings.epochs,
            head_epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=config.learning_rate * settings.pace,
            outlook_weight=0.0,  # its head is not kept
        ),
        seed=seed,
        callbacks=Callbacks(history, callbacks),
        device=choose_device(device),
        warm=True,
    )
    start = _start(members, ranges, session)
    vae, mdn_rnn = copy.deepcopy(start.parent.vae), copy.deepcopy(start.parent.mdn_rnn)
    mdn_rnn.tick_size = None  # the target's, which its bank tells
    mdn_rnn.mean_trust[:] = mdn_rnn.mean_trust.new_tensor([1.0, 0.0])  # found anew at the end
    learner = Learner(vae.requires_grad_(True), mdn_rnn.requires_grad_(True))
    _teach(learner, start.ground, settings, session)
    told = provenance_of(
        train, validation, seed, source, parent=parent.fingerprint, spec=parent.config.features
    )
    made = start.ground.world_model(learner.vae, learner.mdn_rnn, told, config, session)
    return calibrated(made, train, session, start.parent, start.share), history


def _members(parent: WorldModel | JointWorldModel) -> list[BarWorldModel]:
    """What may be the start: the world model, or one of a joint one's."""
    if isinstance(parent, JointWorldModel):
        return list(parent)
    if not isinstance(parent, BarWorldModel):
        raise ConfigError(
            f"the world model's preset is {parent.config.preset!r}, whose return is decoded from z; "
            "only 'market' can be fine-tuned: train one on the target's candles"
        )
    return [parent]


def _ranges(
    train: Candles, validation: Candles, config: MarketConfig
) -> tuple[FeatureRange, FeatureRange]:
    return training_ranges(train, validation, config, config.warmup_bars)


class _Start(NamedTuple):
    """Where fine-tuning begins.

    Attributes:
        parent: Whose V and M.
        ground: The target's ranges in the units chosen.
        share: Of the way from the parent's units to the target's own.
        losses: -log p of the target's known returns, in their own unit [N].
    """

    parent: BarWorldModel
    ground: BarGround
    share: float
    losses: FloatArray

    @property
    def nll(self) -> float:
        """The mean of the losses."""
        return float(self.losses.mean())


def _start(
    members: Sequence[BarWorldModel],
    ranges: tuple[FeatureRange, FeatureRange],
    session: Session,
) -> _Start:
    """The member and the units under which the target's known bars are likeliest.

    Nothing has learned from these bars yet, so that all of them may choose.
    """
    config = session.config
    own = BarGround.of(ranges, config)
    found = []
    for parent in members:
        learner = Learner(parent.vae, parent.mdn_rnn)
        for share in _SHARES:
            scaler = _between(parent.scaler, own.scaler, share, config.withheld_columns)
            scale = float(parent.mdn_rnn.return_scale) ** (1.0 - share) * own.scale**share
            ground = BarGround.of(ranges, config, scaler, scale)
            losses = np.concatenate([return_losses(learner, part).numpy() for part in ground.bars])
            found.append(_Start(parent, ground, share, losses + np.log(scale)))
    best = min(found, key=lambda start: start.nll)
    plain = min(found[:: len(_SHARES)], key=lambda start: start.nll)
    if not pays(plain.losses, best.losses):
        best = plain
    session.callbacks.on_note(
        f"begins as {best.parent.provenance.symbol}, its units {best.share:.0%} of the way to the "
        f"target's own: {plain.nll - best.nll:.4f} nats better than in its own"
    )
    return best


def pays(before: FloatArray, after: FloatArray) -> bool:
    """Whether losses [N] of the same bars in time order fell by more than their standard error.

    By that of the means of 16 stretches: losses of neighbouring bars go together.
    """
    gains = [float(part.mean()) for part in np.array_split(before - after, _STRETCHES) if len(part)]
    return bool(np.mean(gains) > np.std(gains, ddof=1) / len(gains) ** 0.5)


def _between(parent: Scaler, own: Scaler, share: float, withheld: Sequence[int]) -> Scaler:
    """Means between two, and deviations, whose logarithms are; of what is withheld, one's own."""
    scale = parent.scale ** (1.0 - share) * own.scale**share
    scale[list(withheld)] = own.scale[list(withheld)]
    return Scaler(parent.mean + share * (own.mean - parent.mean), scale)


def _teach(learner: Learner, ground: BarGround, settings: FineTuneConfig, session: Session) -> None:
    """The stages, from the return's head backwards."""
    learner.to(session.device)
    vae, mdn_rnn = learner.vae, learner.mdn_rnn
    train, validation = (part.to(session.device) for part in ground.bars)
    deeper: dict[str, list[Any]] = {
        "head": [mdn_rnn.return_head],
        "trunk": [mdn_rnn.now, mdn_rnn.calendar],
        "encoder": [] if settings.freeze_encoder else [vae.forecast_hidden, vae.forecast_out],
    }
    learning: list[Any] = []
    for number, (name, more) in enumerate(deeper.items(), start=11):
        learning += more
        if more:
            _if_it_pays(learner, train, validation, session, learning, name, number)
    if not settings.freeze_encoder:
        vae_stage(learner, train, validation, session)
    head_stage(learner, train, validation, session)
    learner.cpu()


def _if_it_pays(
    learner: Learner,
    train: BarRange,
    validation: BarRange,
    session: Session,
    learning: list[Any],
    name: str,
    number: int,
) -> None:
    """A stage of the forecast, kept where the validation range gains more than its standard error."""
    kept = copy.deepcopy(learner.state_dict())
    before = return_losses(learner, validation).cpu().numpy()
    forecast_stage(learner, train, validation, session, learning, name, number)
    after = return_losses(learner, validation).cpu().numpy()
    paid = pays(before, after)
    if not paid:
        learner.load_state_dict(kept)
    session.callbacks.on_note(
        f"{name}: {float((before - after).mean()):.4f} nats better on the validation range"
        + ("" if paid else ", no more than chance gives: left as it was")
    )
