"""Rank correlations."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from ..market.arrays import FloatArray


def rank_correlations(first: FloatArray, second: FloatArray) -> FloatArray:
    """Spearman's correlation of each of R pairs of rows [R, N]; 0 where one of them never changes.

    Args:
        first: [R, N].
        second: [R, N].
    """
    a, b = (
        ranks - ranks.mean(axis=1, keepdims=True)
        for ranks in (rankdata(first, axis=1), rankdata(second, axis=1))
    )
    both, scale = (a * b).sum(axis=1), np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    agreed: FloatArray = np.divide(both, scale, out=np.zeros_like(both), where=scale > 0.0)
    return agreed.clip(-1.0, 1.0)
