"""World models, rules and candles that the benchmarks share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from worldmodel_trading.market.features import Scaler
from worldmodel_trading.market.files.export import write_candles
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.bars.networks import LOWER_PARTS, RETURN_PARTS, UPPER_PARTS
from worldmodel_trading.models.config import PaperConfig
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.models.mdn_rnn import CALENDAR_SIZE, MDNRNN
from worldmodel_trading.models.paper_world_model import PaperWorldModel
from worldmodel_trading.models.presets import AnyConfig
from worldmodel_trading.models.provenance import Provenance, WarmupBank
from worldmodel_trading.models.vae import VAE
from worldmodel_trading.models.world_model import WorldModel

from .timing import Slice, Task, local

SGEMM_SHAPE = (1024, 73, 256)
COST = 0.00055 + 0.0002  # our replay's fee and slippage, fraction of notional
_SEGMENTS, _WARMUP = 64, 16


def default_world() -> WorldModel:
    """The model that ships."""
    return open_world_model("default")


def default_family(members: int = 3) -> BarWorldModel:
    """The same so often, as members: a step's arithmetic is that of members which differ."""
    shipped = default_world()
    assert isinstance(shipped, BarWorldModel)
    first, *others = (shipped.recent(1.0) for _ in range(members))  # each with arrays of its own
    first.others = tuple(others)
    return first


def random_world(latent_size: int, hidden_size: int) -> PaperWorldModel:
    """An untrained world model of ``paper``: a trained one's arithmetic, and no need to train it."""
    config = PaperConfig(
        latent_size=latent_size,
        hidden_size=hidden_size,
        warmup_bars=_WARMUP,
        bank_segments=_SEGMENTS,
    )
    features = len(config.features.names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = VAE(features, latent_size, config.vae_hidden_size)
        rnn = MDNRNN(latent_size, hidden_size, config.num_components)
    normals = np.random.default_rng(0).standard_normal((_SEGMENTS, _WARMUP, latent_size))
    bank = WarmupBank(
        z=normals.astype(np.float32),
        open_time_ms=1_600_000_200_000 // 3_600_000 * 3_600_000 + np.zeros(_SEGMENTS, np.int64),
        close=np.full(_SEGMENTS, 10_000.0),
        volume_level=np.full(_SEGMENTS, 1_000.0),
    )
    scaler = Scaler(np.zeros(features), np.full(features, 0.005))
    return PaperWorldModel(config, _provenance(), scaler, vae, rnn, bank)


def _provenance() -> Provenance:
    return Provenance("RANDOM", "60", "untrained", 0, 1, 1, 2, "", 0, {})


def lane_flops(config: AnyConfig) -> int:
    """Floating-point operations of the matrix products of one lane's step; nothing else counts.

    A product of [I] with [I, J] is 2·I·J operations. The engine may do more (padding); what the
    network does not need is not counted, nor are streamed features.
    """
    z, h, k = config.latent_size, config.hidden_size, config.num_components
    if isinstance(config, PaperConfig):
        v = config.vae_hidden_size
        decoder = z * v + v * v + v  # down to the return
        return 2 * ((z + 1 + CALENDAR_SIZE + h) * 4 * h + h * k * (1 + 2 * z) + decoder)
    f, v, known = len(config.features.names), config.vae_hidden_size, config.forecast_size
    t, g, inputs = config.trunk_size, config.head_size, h + known + config.calendar_size
    wicks = (2 * t + RETURN_PARTS + UPPER_PARTS) * g + 2 * g * (1 + 3 * k)
    volume = (t + f + config.calendar_size + LOWER_PARTS) * g + g * 3 * k
    encoder = f * (v + v // 2) + v * known + v // 2 * (z - known)
    return 2 * (inputs * (4 * h + t) + t * 3 * k + wicks + volume + encoder)


def sgemm(shape: tuple[int, int, int] = SGEMM_SHAPE) -> Task:
    """The reference: float32 matrix products by PyTorch's library, in place; units are FLOP."""
    rows, inner, columns = shape
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(rows, inner, generator=generator)
    right = torch.randn(inner, columns, generator=generator)
    out = torch.empty(rows, columns)

    def work() -> float:
        for _ in range(20):
            torch.mm(left, right, out=out)
        return 20.0 * 2 * rows * inner * columns

    return local(work)


def per_unit(task: Task, factor: float) -> Task:
    """The same task, its units multiplied: steps into FLOP."""

    def scaled(least_s: float) -> Slice:
        done = task(least_s)
        return done._replace(units=done.units * factor)

    return scaled


@contextmanager
def candles_file(bars: int) -> Iterator[Path]:
    """A CSV of synthetic candles that we and the peers read."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        path = Path(folder) / "candles.csv"
        write_candles(synthetic_candles(seed=1, bars=bars), path)
        yield path
