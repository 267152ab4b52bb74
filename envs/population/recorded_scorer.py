"""Replay as a dream's rival: a population scored on windows of recorded bars instead of dreams."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...market.account.rules import BrokerConfig
from ...market.arrays import FloatArray
from ...market.errors import ConfigError
from ...market.settings import check_count
from ...models.world_model import WorldModel
from ..recorded import RecordedMarket
from ..recorded_state import RecordedState
from .jobs import Dreams, check_parameters
from .scoring import Scores, score_replay


class Windows(NamedTuple):
    """Where recorded windows begin, as an engine tells where its dreams do.

    Attributes:
        world_model: The one that the record is seen through.
        num_segments: How many windows there are.
        recorded: What they are cut from.
    """

    world_model: WorldModel
    num_segments: int
    recorded: RecordedMarket


class RecordedScorer:
    """Scores candidates on windows of a record; a search that is given it learns in replay.

    A window is as long as a dream would be, and begins anywhere on the record where one fits: what
    `Dreams` calls a segment is the number of a window here, so that a search draws windows as it draws
    dreams, the same for all candidates of a generation.

    Args:
        world_model: What the record is seen through.
        recorded: The bars to learn from: those of the training range alone, with the funding that they are
            to be charged; see `open_recorded` and `restrict`.
        horizon: Bars of a window.

    Attributes:
        engine: Which windows there are.

    Raises:
        ConfigError: No window fits, or the record shows something else than the world model's z and h.
    """

    def __init__(
        self, world_model: WorldModel, recorded: RecordedMarket, horizon: int = 720
    ) -> None:
        self._horizon = check_count("horizon", horizon)
        if "hidden" not in recorded.layout:
            raise ConfigError(
                f"the record shows {', '.join(recorded.layout)}; expected latent, hidden: open it "
                "through the world model"
            )
        self._rows = recorded.starts(self._horizon)
        self.engine = Windows(world_model, len(self._rows), recorded)

    def score(self, parameters: FloatArray, dreams: Dreams, broker: BrokerConfig) -> Scores:
        """Trade P controllers through N windows.

        Args:
            parameters: Of each candidate [P, S]; see `Layers`.
            dreams: Which windows, by ``segments``; nothing is drawn, so that the seed is not read.
            broker: The account's rules.

        Raises:
            ConfigError: The windows are of another length, or something is asked for that recorded bars
                do not have: a temperature, pessimism, or another funding than their own.
        """
        world_model = self.engine.world_model
        check_parameters(parameters, world_model, broker)
        self._check(dreams)
        state = None
        if world_model.config.preset == "paper":
            state = RecordedState(world_model, self.engine.recorded, len(parameters))
        parts = [
            score_replay(self._window(int(number)), parameters, broker, state)
            for number in dreams.segments
        ]
        return Scores(*(np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True)))

    def _window(self, number: int) -> RecordedMarket:
        """The record with an episode in one window only."""
        steps, row = np.full_like(self.engine.recorded.steps_left, -1), self._rows[number]
        steps[row] = min(self._horizon, int(self.engine.recorded.steps_left[row]))
        return replace(self.engine.recorded, steps_left=steps)

    def _check(self, dreams: Dreams) -> None:
        count = self.engine.num_segments
        if dreams.num_bars != self._horizon:
            raise ConfigError(
                f"the search wants windows of {dreams.num_bars} bars, and the scorer has windows of "
                f"{self._horizon}: give both the same horizon"
            )
        if dreams.segments.min() < 0 or dreams.segments.max() >= count:
            raise ConfigError(
                f"segments run from {dreams.segments.min()} to {dreams.segments.max()}; expected "
                f"numbers of the record's {count} windows"
            )
        if dreams.temperature != 1.0:
            raise ConfigError(
                f"temperature is {dreams.temperature:g}, and recorded bars have none: leave it at 1"
            )
        if dreams.pessimism > 0.0:
            raise ConfigError(
                f"pessimism is {dreams.pessimism:g}, and nobody disagrees about recorded bars: leave "
                "it at 0"
            )
        if dreams.funding is not None and not dreams.funding.is_off:
            raise ConfigError(
                "recorded bars are charged the funding that their record was opened with: open it "
                "with funding=…, and leave the search's at None"
            )
