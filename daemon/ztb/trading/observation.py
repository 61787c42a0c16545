"""The observation: normalised features and the forecast from them, then our own state. Kernels.

The account part, `ACCOUNT_SIZE` numbers behind those of the market, each of order one:

| offset | number | formula |
|---|---|---|
| 0 | exposure | position × mid / equity |
| 1 | unrealised result | position × (mid − entry) / equity × 10 |
| 2 | time in position | tanh(age / 50 periods) |
| 3 | drawdown | (1 − equity / peak) × 5 |
| 4 | working exposure | unfilled lots of open orders, signed, × mid / equity |
| 5 | last target exposure | as chosen |
| 6 | last timing | −1 wait, 0 passive, 1 aggressive |
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.utils.kernel import kernel

ACCOUNT_SIZE = 7
_AGE_PERIODS = 50.0
_LIMIT = 5.0
_DRAWDOWN = 3
_DRAWDOWN_SCALE = 5.0


@kernel
def _bounded(value: float) -> float:
    return min(max(value, -_LIMIT), _LIMIT)


@kernel
def observe_account(
    account: np.void,
    mid: float,
    ts_ns: int,
    period_ns: int,
    working: float,
    last_exposure: float,
    last_timing: int,
    out: NDArray[np.float32],
) -> None:
    """Write the account part into `out` (ACCOUNT_SIZE,) float32; `working` is signed base currency."""
    equity = account["cash"] + account["position"] * mid
    scale = 1.0 / equity if equity > 0.0 else 0.0
    position = account["position"]
    out[0] = _bounded(position * mid * scale)
    out[1] = _bounded(position * (mid - account["entry_price"]) * scale * 10.0)
    age = (ts_ns - account["opened_ns"]) / (_AGE_PERIODS * period_ns) if position != 0.0 else 0.0
    out[2] = np.tanh(age)
    peak = max(account["peak_equity"], equity)
    out[_DRAWDOWN] = _bounded((1.0 - equity / peak) * _DRAWDOWN_SCALE) if peak > 0.0 else 0.0
    out[4] = _bounded(working * mid * scale)
    out[5] = last_exposure
    out[6] = last_timing - 1.0


def drawdown_seen(observation: NDArray[np.float32]) -> float:
    """The account's drawdown, a share of its peak, as told by `observation` (D,)."""
    return float(observation[_DRAWDOWN - ACCOUNT_SIZE]) / _DRAWDOWN_SCALE
