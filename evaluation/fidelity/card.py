"""A world model's card: what it learned, of what, how good it is, and what it must not be used for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...market.intervals import describe_interval
from ...market.times import iso_text
from ...models.world_model import WorldModel
from .goals import Goal
from .measure import Fidelity
from .report import goal_rows
from .runs import FidelityRuns

_HEADER = """---
license: mit
library_name: worldmodel-trading
tags:
- world-model
- reinforcement-learning
- gymnasium
- time-series
---
"""
_NOT_FOR = (
    "**Not for trading.** A policy that earns in these dreams has shown that it earns in these dreams. Whether "
    "the market pays is measured in replay, on bars that neither model nor policy has seen, and may be "
    "less.",
    "**Not for another market.** Bars of another symbol or interval are refused, or warned of, where they meet the "
    "model.",
    "**Not for a forecast of direction.** What it knows of the next bar is above all how far it may move. The drift "
    "that its dreams pay a held position is an assumption, taken from the training range.",
    "**Not for ever.** Forecasts age: how fast is measured by quarter, and a model is trained anew in a minute.",
    "**Not for the size of an order.** Dreams are a price taker's: no order moves them.",
)


def model_card(
    world_model: WorldModel, measured: Fidelity | FidelityRuns, more: Sequence[str] = ()
) -> str:
    """The card as Markdown, with the header that the Hugging Face Hub reads: a folder's ``README.md``.

    Args:
        world_model: Whose card it is.
        measured: Of it, by `measure_fidelity` or `measure_runs`.
        more: Sentences besides on what it must not be used for.
    """
    goals = (measured.results if isinstance(measured, Fidelity) else measured).goals
    parts = [
        f"{_HEADER}\n# World model of {world_model.provenance.symbol}, bars of "
        f"{describe_interval(world_model.provenance.interval)}",
        "\n".join(_learned(world_model)),
        "## How good it is",
        "Measured against the bars of its own training range, and on later ones that neither training nor the choice "
        f"of epochs saw: {_count(goals)}",
        _table(goals),
        "## What it must not be used for",
        "\n".join(f"- {line}" for line in (*more, *_NOT_FOR)),
        "## How to use it",
        "```python\nfrom worldmodel_trading import open_world_model\n\n"
        'world_model = open_world_model("FOLDER")  # where this file lies\n```',
    ]
    return "\n\n".join(parts) + "\n"


def _learned(world_model: WorldModel) -> Iterator[str]:
    """What it learned, and on what."""
    made, config = world_model.provenance, world_model.config
    members = (world_model, *getattr(world_model, "others", ()))
    networks = [network for one in members for network in (one.vae, one.mdn_rnn)]
    count = sum(parameter.numel() for network in networks for parameter in network.parameters())
    yield (
        f"A learned market for `WorldModelDream-v0`: V compresses what is known at a bar's close into z "
        f"(Z = {config.latent_size}), M with memory h (H = {config.hidden_size}) draws what comes next from "
        f"mixtures of {config.num_components} components."
    )
    yield ""
    several = f", {len(members)} members" if len(members) > 1 else ""
    yield f"- preset `{config.preset}`{several}, {count:,} parameters, seed {made.seed}"
    yield f"- trained on {made.source}, {_range(made.train_start_ms, made.train_end_ms)}"
    yield f"- epochs chosen on {_range(made.validation_start_ms, made.validation_end_ms)}"
    yield f"- SHA-256 of the training bars: `{made.data_hash}`"
    versions = ", ".join(f"{name} {number}" for name, number in made.versions.items())
    yield f"- made with {versions}"


def _range(start_ms: int, end_ms: int) -> str:
    return f"{iso_text(start_ms)} to {iso_text(end_ms)}"


def _count(goals: Sequence[Goal]) -> str:
    met = sum(goal.met for goal in goals)
    missed = sum(goal.verdict == "missed" for goal in goals)
    return f"{met} of {len(goals)} goals are met, {missed} missed, the others cannot be told."


def _table(goals: Sequence[Goal]) -> str:
    """Every goal as a row."""
    head, *rows = goal_rows(goals)
    lines = [head, ["---"] * len(head), *rows]
    cells = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
