"""Training an agent by name: ``worldmodel-trading train``, and `train_agent`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from worldmodel_trading.agents.callbacks import Look
from worldmodel_trading.agents.cma_es import Generation
from worldmodel_trading.agents.folder import Agent
from worldmodel_trading.agents.training import (
    Followed,
    TrainConfig,
    refuse_impossible,
    train_in_folder,
)
from worldmodel_trading.ground import Cuts, Recorded, open_recorded_ranges
from worldmodel_trading.market.sources import open_funding
from worldmodel_trading.output import refuse_taken, run_folder
from worldmodel_trading.progress import say


def train_agent(
    agent: str = "ppo",
    world_model: Any = "default",
    out: str | Path = "runs/agent",
    *,
    env: str = "dream",
    candles: Any = None,
    start: Any = None,
    train_end: Any = None,
    validation_end: Any = None,
    resume: bool = False,
    overwrite: bool = False,
    **settings: Any,
) -> Agent:
    """Train an agent, and write its folder.

    ::

        agent = train_agent("ppo", "runs/btc/world_model", "runs/ppo", candles="BTCUSDT-60.csv")

    Args:
        agent: ``ppo``, ``a2c``, ``sac``, ``td3``, ``dqn``, ``recurrent_ppo``, ``tqc`` or ``cma_es``.
        world_model: A `WorldModel`, its folder, or ``"default"``.
        out: Folder for the agent: ``agent.json``, its parameters, ``evaluation.json``, checkpoints
            and TensorBoard's files.
        env: ``"dream"``, or ``"replay"`` of the world model's training range.
        candles: Anything `open_candles` opens: what validation, and replay, play. None is the embedded
            market where the world model is of it; else nothing validates, and the last agent counts.
        start: First bar that replay trains on; None is the world model's.
        train_end: End of it, exclusive; never later than the world model's.
        validation_end: End of the validation range, exclusive.
        resume: Go on from the newest checkpoint in the folder.
        overwrite: Replace what a job has left there.
        settings: Any other field of `TrainConfig`: ``steps``, ``seed``, ``settings``, ``account``, …

    Returns:
        The agent, as `load_agent` loads it.

    Raises:
        ConfigError: A setting is impossible.
        OutputError: The folder holds something else.
    """
    config = TrainConfig.from_dict({"agent": agent, "env": env, **settings})
    refuse_taken(out, "train", overwrite=overwrite)
    recorded = open_recorded_ranges(world_model, candles, Cuts(start, train_end, validation_end))
    if recorded.candles is None:
        say("  no --candles: nothing validates, the last agent counts")
    ground = recorded.ground()
    refuse_impossible(config, ground)
    with run_folder(
        out, _name(config, recorded), job="train", resume=resume, overwrite=overwrite
    ) as folder:
        return train_in_folder(config, ground, folder, resume=resume, followed=_followed())


def _name(config: TrainConfig, recorded: Recorded) -> str:
    """12 hexadecimal digits of the hash of all that decides the result."""
    rates = open_funding(config.funding)
    parts = {
        **asdict(config),
        "funding": rates if isinstance(rates, float) else rates.data_hash(),
        "world_model": recorded.world_model.fingerprint,
        "candles": None if recorded.candles is None else recorded.candles.data_hash(),
        "ranges": recorded.ranges,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def _followed() -> Followed:
    return Followed(
        on_look=_tell_look,
        on_generation=_tell_generation,
        on_resume=lambda steps: say(f"  goes on after {steps:,} bars"),
    )


def _tell_look(steps: int, look: Look | None) -> None:
    seen = ""
    if look is not None:
        seen = f"  validation: {look.log_return:+.3f} a year, Sharpe {look.sharpe:+.2f}"
    say(f"  {steps:>10,} bars{seen}")


def _tell_generation(lived: Generation) -> None:
    if lived.validation is not None:
        say(
            f"  generation {lived.generation + 1:>3}  dream: best {lived.best:+.4f}  "
            f"validation {lived.validation:+.4f}"
        )
