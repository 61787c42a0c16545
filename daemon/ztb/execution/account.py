"""Cash, position and what became of them: one record, changed by fills alone. Kernels on records.

Quote currency, save `position` (base currency, below 0 when short).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.utils.kernel import kernel

ACCOUNT: np.dtype[np.void] = np.dtype(
    [
        ("cash", "<f8"),
        ("position", "<f8"),
        ("entry_price", "<f8"),  # average price of the present position, 0 when flat
        ("realised", "<f8"),  # profit of what was closed, before fees
        ("fees", "<f8"),
        ("funding", "<f8"),  # received, below 0 when paid
        ("traded_notional", "<f8"),
        ("start_equity", "<f8"),
        ("peak_equity", "<f8"),  # highest equity marked so far
        ("equity", "<f8"),  # at the last mark
        ("opened_ns", "<i8"),  # when the present position was opened or turned, 0 when flat
        ("marked_ns", "<i8"),
        ("n_fills", "<i8"),
    ]
)
_RESIDUE = 1e-12


def new_account(start_cash: float) -> NDArray[np.void]:
    """An account of `start_cash` and nothing else, shape (1,); kernels take its record `[0]`."""
    account = np.zeros(1, ACCOUNT)
    reset_account(account[0], float(start_cash))
    return account


@kernel
def reset_account(account: np.void, start_cash: float) -> None:
    """Back to `start_cash`, no position, no history."""
    account["cash"] = start_cash
    account["position"] = 0.0
    account["entry_price"] = 0.0
    account["realised"] = 0.0
    account["fees"] = 0.0
    account["funding"] = 0.0
    account["traded_notional"] = 0.0
    account["start_equity"] = start_cash
    account["peak_equity"] = start_cash
    account["equity"] = start_cash
    account["opened_ns"] = 0
    account["marked_ns"] = 0
    account["n_fills"] = 0


@kernel
def _close(account: np.void, price: float, quantity: float) -> None:
    direction = 1.0 if account["position"] > 0.0 else -1.0
    account["realised"] += direction * quantity * (price - account["entry_price"])


@kernel
def _average_in(account: np.void, price: float, quantity: float) -> None:
    held = abs(account["position"])
    account["entry_price"] = (held * account["entry_price"] + quantity * price) / (held + quantity)


@kernel
def _move(account: np.void, change: float, price: float, ts_ns: int) -> None:
    """The position after `change`; entry price, realised profit and opening time follow."""
    before = account["position"]
    after = before + change
    if abs(after) < _RESIDUE * abs(change):
        after = 0.0
    if before * change >= 0.0:
        _average_in(account, price, abs(change))
    else:
        _close(account, price, min(abs(before), abs(change)))
    if before * after < 0.0:
        account["entry_price"] = price
    if before * after <= 0.0:
        account["opened_ns"] = ts_ns
    if after == 0.0:
        account["entry_price"] = 0.0
        account["opened_ns"] = 0
    account["position"] = after


@kernel
def book_fill(account: np.void, side: int, price: float, quantity: float, fee: float, ts_ns: int = 0) -> None:
    """Enter one fill: `side` +1 bought or -1 sold `quantity` base at `price`, paying `fee` quote."""
    notional = price * quantity
    _move(account, side * quantity, price, ts_ns)
    account["cash"] -= side * notional
    account["cash"] -= fee
    account["fees"] += fee
    account["traded_notional"] += notional
    account["n_fills"] += 1


@kernel
def book_funding(account: np.void, amount: float) -> None:
    """Enter a funding payment received (below 0: paid), quote currency."""
    account["cash"] += amount
    account["funding"] += amount


@kernel
def equity(account: np.void, mid: float) -> float:
    """Cash plus the position at `mid`, quote currency."""
    return float(account["cash"] + account["position"] * mid)


@kernel
def mark(account: np.void, mid: float, ts_ns: int) -> float:
    """Value the account at `mid`, remember the peak; returns the equity."""
    value = equity(account, mid)
    account["equity"] = value
    account["marked_ns"] = ts_ns
    account["peak_equity"] = max(account["peak_equity"], value)
    return value
