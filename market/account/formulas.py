"""The account's arithmetic, each formula once.

Plain products and quotients without conditions: the compiled loops inline them at no cost, and the
code of a device calls the same functions on tensors, through ``.py_func``. With equity E, drifted
weight w (signed notional ÷ equity) and executed weight a at the close of bar t::

    cost     = fee · |a − w| + slippage · |a − w|   (1)   fraction of E
    growth   = 1 + a·R − a·f                        (2)   R simple return of bar t+1, f its funding rate
    E'       = E · (1 − cost) · growth              (3)
    w'       = a · (1 + R) / growth                 (4)
"""

from __future__ import annotations

from ..numerics.compiled import compiled


@compiled
def cost_of(traded: float, fee: float, slippage: float) -> float:
    """Fees and slippage of trading this weight, as a fraction of the equity before."""
    return fee * traded + slippage * traded


@compiled
def held_growth(held: float, simple_return: float, funding_rate: float) -> float:
    """Factor by which a bar that is survived grows the equity after the fill."""
    return 1.0 + held * simple_return - held * funding_rate


@compiled
def drifted_weight(held: float, simple_return: float, growth: float) -> float:
    """Weight at the end of the bar, of the equity then."""
    return held * (1.0 + simple_return) / growth


@compiled
def equity_at(held: float, price: float) -> float:
    """Equity after the fill has grown to this at a price in previous closes: 1 + a(x − 1)."""
    return 1.0 + held * (price - 1.0)


@compiled
def boundary_price(size: float, side: float, rate: float) -> float:
    """The price x, in previous closes, at which 1 + a(x − 1) is worth just ``rate · |a| · x``.

    With the maintenance margin for the rate that is where a position is liquidated; with the fee
    of closing it is the bankruptcy price, where what is left just pays that fee.

    Args:
        size: |a|, the weight held.
        side: +1 for a long, −1 for a short.
        rate: Fraction of the position's notional.
    """
    return (size - side) / (size * (1.0 - side * rate))


@compiled
def loss_at(price: float, side: float, margin: float) -> float:
    """What a price takes from a position of weight ``side``, the maintenance margin included.

    A position of size s is liquidated where s times this reaches 1: `boundary_price` the other way
    round.
    """
    return side * (1.0 - price * (1.0 - side * margin))


@compiled
def wanted_quantity(
    equity_usdt: float, weight: float, target: float, kept: float, price: float
) -> float:
    """Base currency to buy (negative: to sell) for ``target`` of the equity left after costs."""
    return (target * kept - weight) * equity_usdt / price


@compiled
def fall_from(peak: float, equity: float) -> float:
    """How far equity stands below its peak, as a fraction of the peak."""
    return 1.0 - equity / peak
