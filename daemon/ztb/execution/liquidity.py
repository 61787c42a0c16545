"""Liquidity for a taker: the venue's book, or a modelled one, less what we took before. Kernels on records.

Without a book, levels lie behind the touch at even steps, each holding a few typical trades. What we took is
missing from the front of the side it was taken from and grows back by half every half-life: temporary impact.
"""

from __future__ import annotations

import numpy as np

from ztb.execution.paper_state import NEVER
from ztb.utils.kernel import kernel

BAR_STEPS = 4
"""Prices a bar's path has."""
_GRID = 1e-9


@kernel
def whole_lots(exchange: np.void, quantity: float) -> int:
    """Lots that fit into `quantity` (base currency)."""
    return int(quantity / exchange["lot_size"] + _GRID)


@kernel
def nearest_ticks(exchange: np.void, price: float) -> int:
    return int(np.floor(price / exchange["tick_size"] + 0.5))


@kernel
def taker_ticks(exchange: np.void, side: int, price: float) -> int:
    """`price` on the tick grid, rounded against a taker of `side`."""
    exact = price / exchange["tick_size"]
    slack = _GRID * max(1.0, exact)
    return int(np.ceil(exact - slack)) if side > 0 else int(np.floor(exact + slack))


@kernel
def _halvings(halvings: float) -> float:
    """2 to the power of -`halvings`, linear between whole halvings: the same bits on every machine."""
    if halvings >= 62.0:
        return 0.0
    whole = int(halvings)
    return (1.0 - 0.5 * (halvings - whole)) / (1 << whole)


@kernel
def consumed(exchange: np.void, side: int, now_ns: int) -> float:
    """Base currency still missing from what a taker of `side` meets, because we took it."""
    taken = 0 if side > 0 else 1
    elapsed = now_ns - exchange["consumed_ns"][taken]
    return float(exchange["consumed"][taken] * _halvings(elapsed / exchange["impact_half_life_ns"]))


@kernel
def consume(exchange: np.void, side: int, quantity: float, now_ns: int) -> None:
    """Remember that a taker of `side` took `quantity` (base currency)."""
    taken = 0 if side > 0 else 1
    exchange["consumed"][taken] = consumed(exchange, side, now_ns) + quantity
    exchange["consumed_ns"][taken] = now_ns


@kernel
def modelled_size(exchange: np.void, view: np.void) -> float:
    """Base currency a modelled level holds: typical trades, a share of a typical bar, or the quoted touch."""
    typical = view["typical_size"]
    if typical > 0.0 and exchange["on_bars"] == 1:
        return float(exchange["bar_participation"] * typical / BAR_STEPS)
    if typical > 0.0:
        return float(exchange["level_typical_sizes"] * typical)
    return 0.5 * float(view["bid_size"] + view["ask_size"])


@kernel
def _modelled_level(exchange: np.void, view: np.void, side: int, depth: int) -> tuple[float, float]:
    touch = view["ask"] if side > 0 else view["bid"]
    size = view["ask_size"] if side > 0 else view["bid_size"]
    if depth > 0 or view["quoted"] == 0:
        size = modelled_size(exchange, view)
    step = max(exchange["tick_size"], exchange["level_spacing_spreads"] * (view["ask"] - view["bid"]))
    return touch + side * depth * step, size


@kernel
def level(exchange: np.void, view: np.void, side: int, depth: int) -> tuple[float, float]:
    """(price, quantity) of the `depth`-th level a taker of `side` meets; quantity 0 beyond what is known."""
    book = view["book"]
    if book["bids"] == 0 or book["asks"] == 0:
        return _modelled_level(exchange, view, side, depth)
    if side > 0 and depth < book["asks"]:
        return book["ask_price"][depth], book["ask_size"][depth]
    if side < 0 and depth < book["bids"]:
        return book["bid_price"][depth], book["bid_size"][depth]
    return 0.0, 0.0


@kernel
def _book_size(exchange: np.void, prices: np.ndarray, sizes: np.ndarray, n: int, ticks: int) -> float:
    for i in range(n):
        if nearest_ticks(exchange, prices[i]) == ticks:
            return float(sizes[i])
    return 0.0


@kernel
def resting_size(exchange: np.void, view: np.void, side: int, ticks: int) -> float:
    """Base currency others have resting on our `side` at price `ticks`: the queue that we join."""
    book = view["book"]
    if side > 0 and book["bids"] > 0:
        return _book_size(
            exchange=exchange, prices=book["bid_price"], sizes=book["bid_size"], n=book["bids"], ticks=ticks
        )
    if side < 0 and book["asks"] > 0:
        return _book_size(
            exchange=exchange, prices=book["ask_price"], sizes=book["ask_size"], n=book["asks"], ticks=ticks
        )
    touch = taker_ticks(exchange, -side, view["bid"] if side > 0 else view["ask"])
    if side * ticks > side * touch:
        return 0.0
    if ticks == touch and view["quoted"] != 0:
        return float(view["bid_size"] if side > 0 else view["ask_size"])
    return modelled_size(exchange, view)


@kernel
def limit_of(side: int, order_type: int, price_ticks: int) -> int:
    """The worst price an order takes, ticks: its own for a limit order, any for a market order."""
    if order_type == 1:
        return price_ticks
    return NEVER if side > 0 else 0
