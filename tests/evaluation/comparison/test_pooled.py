import numpy as np
import pytest
from scipy.stats import ttest_1samp

from worldmodel_trading.evaluation.comparison.pooled import Pooled


def test_three_units_by_scipy():
    values = [0.2, 0.5, 0.3]
    pooled = Pooled.of(values)
    assert (pooled.units, pooled.median, pooled.low, pooled.high) == (3, 0.3, 0.2, 0.5)
    span = ttest_1samp(np.arctanh(values), 0.0).confidence_interval(0.95)
    assert pooled.interval is not None
    assert pooled.interval.low == pytest.approx(np.tanh(span.low))
    assert pooled.interval.high == pytest.approx(np.tanh(span.high))


def test_one_unit_has_no_interval():
    assert Pooled.of([0.4]).interval is None
    assert Pooled.of([0.4]).to_dict()["median"] == 0.4


def test_perfect_correlations_have_numbers():
    pooled = Pooled.of([1.0, 1.0, 1.0])
    assert pooled.interval is not None
    assert pooled.interval.low > 0.999
