"""Fills: made at the paper venue, fee and all; entered into our account, wherever they come from.

The venue's books change when it fills, ours when its report is delivered.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.execution.account import book_fill
from ztb.execution.order_table import finish
from ztb.execution.orders import Filled
from ztb.execution.paper_state import FILLED
from ztb.execution.reports import report_order
from ztb.market.instrument import Instrument
from ztb.market.view import see_price
from ztb.utils.kernel import kernel


@kernel
def fill(
    exchange: np.void,
    orders: np.ndarray,
    events: np.ndarray,
    slot: int,
    lots: int,
    price_ticks: int,
    maker: int,
    now_ns: int,
) -> None:
    """One execution at the venue: its books change at once, ours when the report is delivered."""
    order = orders[slot]
    notional = (price_ticks * exchange["tick_size"]) * (lots * exchange["lot_size"])
    fee = notional * (exchange["maker_fee"] if maker == 1 else exchange["taker_fee"])
    order["remaining"] -= lots
    exchange["position_lots"] += order["side"] * lots
    exchange["cash"] -= order["side"] * notional
    exchange["cash"] -= fee
    exchange["fills"] += 1
    if order["remaining"] == 0:
        finish(exchange, orders, slot)
    entry = events[
        report_order(exchange=exchange, orders=orders, events=events, slot=slot, kind=FILLED, ts_ns=now_ns)
    ]
    entry["lots"] = lots
    entry["price_ticks"] = price_ticks
    entry["fill_id"] = exchange["fills"]
    entry["maker"] = maker
    entry["cumulative_lots"] = order["lots"] - order["remaining"]
    entry["amount"] = fee


@kernel
def _book(
    account: NDArray[np.void], side: int, price: float, quantity: float, fee: float, ts_ns: int
) -> None:
    book_fill(account=account[0], side=side, price=price, quantity=quantity, fee=fee, ts_ns=ts_ns)


@kernel
def _show(view: NDArray[np.void], ts_ns: int, price: float) -> None:
    see_price(view[0], ts_ns, price, 0)


def book(account: NDArray[np.void], instrument: Instrument, side: int, fill: Filled) -> None:
    """Enter `fill` of an order of `side` into `account` (1,) ACCOUNT. Its fee must be known."""
    price = float(fill.price_ticks * instrument.tick_size)
    quantity = float(fill.lots * instrument.lot_size)
    _book(
        account=account, side=side, price=price, quantity=quantity, fee=float(fill.fee or 0), ts_ns=fill.ts_ns
    )
    if fill.base_fee:
        account["position"] -= float(fill.base_fee)
        account["fees"] += float(fill.base_fee) * price


def hold(account: NDArray[np.void], position: float, price: float, ts_ns: int) -> None:
    """Start with a position of `position` base currency worth `price` each, beside the cash."""
    account["position"] = position
    account["entry_price"] = price if position else 0.0
    account["opened_ns"] = ts_ns if position else 0
    for name in ("start_equity", "peak_equity"):
        account[name] = account["cash"] + position * price


def show_price(view: NDArray[np.void], ts_ns: int, price: float) -> None:
    """Let `view` (1,) VIEW know a price, as if it had traded there at `ts_ns`."""
    _show(view, ts_ns, price)
