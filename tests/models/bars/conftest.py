from __future__ import annotations

import pytest

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.synthetic import synthetic_candles


@pytest.fixture(scope="session")
def record() -> Candles:
    """The bars that the tiny world model of bars knows, and 700 beyond."""
    return synthetic_candles(seed=5, bars=2_600)
