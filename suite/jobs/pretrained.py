"""The world model that ships with the package, and its card."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from worldmodel_trading.evaluation.fidelity.card import model_card
from worldmodel_trading.evaluation.fidelity.measure import measure_fidelity
from worldmodel_trading.evaluation.fidelity.subject import FidelityConfig
from worldmodel_trading.market.files.writer import write_whole
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.presets import AnyConfig
from worldmodel_trading.models.training.default_model import CANDLE_SEED, build_default
from worldmodel_trading.output import job_folder, refuse_taken
from worldmodel_trading.progress import TrainingConsole, say

CARD: Final = "README.md"
_NOT_A_MARKET: Final = (
    "**Not for anything about a real market.** Its market was made by hand: regimes with known laws, and an edge that "
    "is larger than any market pays. It is there so that everything can be tried without data, and so that what is "
    "learned can be held against the truth."
)


def build_pretrained(
    out: Path,
    config: AnyConfig | None = None,
    fidelity: FidelityConfig | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Train the default model, measure it, and save both it and its card.

    Args:
        out: The folder.
        config: Of the world model; None is the preset's own.
        fidelity: How thoroughly it is measured.
        overwrite: Replace what a job left there.

    Raises:
        OutputError: The folder holds something else, or a job's results and ``overwrite`` is not set.
    """
    refuse_taken(out, "pretrained", overwrite=overwrite)
    with job_folder(out, "pretrained", overwrite=overwrite) as emptied:
        world_model = build_default(config, callbacks=[TrainingConsole()])
        measured = measure_fidelity(
            world_model,
            synthetic_candles(seed=CANDLE_SEED),
            fidelity,
            progress=lambda stage: say(f"Measuring {stage}"),
        )
        card = model_card(world_model, measured, more=[_NOT_A_MARKET])
        folder = emptied()
        world_model.save_pretrained(folder)
        write_whole(Path(folder) / CARD, card)
