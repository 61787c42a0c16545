"""The market after a tick: the touch, the mid, the last trade. Kernels on records.

Without quotes (trades and bars alone) the touch is modelled: a trade by a taker who bought happened at the
ask, one who sold at the bid, an unknown one and a bar's price in the middle; the spread is `spread_fraction` of
the price and at least one tick size, or none at all if that fraction is 0. Where both a top-of-book stream and
depth messages come, the touch is the former's: depth messages are older by up to their interval.
"""

from __future__ import annotations

import numpy as np

from ztb.market.book import BOOK, apply_level, book_touch
from ztb.market.instrument import Instrument
from ztb.market.ticks import BAR, DEPTH, LAST, QUOTE, TRADE
from ztb.utils.kernel import kernel

VIEW: np.dtype[np.void] = np.dtype(
    [
        ("ts_ns", "<i8"),
        ("bid", "<f8"),
        ("ask", "<f8"),
        ("bid_size", "<f8"),
        ("ask_size", "<f8"),
        ("mid", "<f8"),
        ("last", "<f8"),
        ("typical_size", "<f8"),  # base currency: running mean (weight 1/64) of traded quantity a tick
        ("quoted", "<i8"),  # where the touch comes from: MODELLED, BY_DEPTH or BY_QUOTES
        ("spread_fraction", "<f8"),
        ("tick_size", "<f8"),
        ("book", BOOK),
    ]
)
MODELLED, BY_DEPTH, BY_QUOTES = 0, 1, 2
_TYPICAL_WEIGHT = 1.0 / 64.0


def new_view(instrument: Instrument) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """A view before the first tick, shape (1,); kernels take its record `[0]`. `mid` is 0 until then."""
    view = np.zeros(1, VIEW)
    view["spread_fraction"] = instrument.spread_bps * 1e-4
    view["tick_size"] = float(instrument.tick_size)
    return view


@kernel
def see_price(view: np.void, ts_ns: int, price: float, side: int) -> None:
    """A trade at `price`, taken by `side`, moves the modelled touch; venue quotes stand as they are."""
    view["ts_ns"] = ts_ns
    view["last"] = price
    if view["quoted"] == MODELLED:
        spread = view["spread_fraction"] * price
        if spread > 0.0:
            spread = max(spread, view["tick_size"])
        view["mid"] = price - 0.5 * spread * side
        view["bid"] = view["mid"] - 0.5 * spread
        view["ask"] = view["mid"] + 0.5 * spread
        view["bid_size"] = view["typical_size"]
        view["ask_size"] = view["typical_size"]


@kernel
def see_volume(view: np.void, quantity: float) -> None:
    """Traded quantity enters the running mean that scales the modelled book."""
    if view["typical_size"] == 0.0:
        view["typical_size"] = quantity
    else:
        view["typical_size"] += _TYPICAL_WEIGHT * (quantity - view["typical_size"])


@kernel
def see_touch(view: np.void, ts_ns: int, bid: float, ask: float, bid_size: float, ask_size: float) -> None:
    """The venue's own top of book."""
    view["ts_ns"] = ts_ns
    view["bid"] = bid
    view["ask"] = ask
    view["bid_size"] = bid_size
    view["ask_size"] = ask_size
    view["mid"] = 0.5 * (bid + ask)


@kernel
def apply_tick(view: np.void, tick: np.void) -> None:
    """The view after `tick`: a row of dtype TICK. A bar shows its close."""
    kind = tick["kind"]
    if kind == QUOTE:
        view["quoted"] = BY_QUOTES
        see_touch(
            view=view,
            ts_ns=tick["ts_ns"],
            bid=tick["bid"],
            ask=tick["ask"],
            bid_size=tick["bid_size"],
            ask_size=tick["ask_size"],
        )
    elif kind == TRADE:
        see_volume(view, tick["size"])
        see_price(view, tick["ts_ns"], tick["price"], tick["side"])
    elif kind == BAR:
        see_volume(view, tick["size"])
        see_price(view, tick["ts_ns"], tick["price"], 0)
    elif kind == DEPTH:
        apply_level(view["book"], tick)
        if tick["flags"] & LAST:
            bid, bid_size, ask, ask_size = book_touch(view["book"])
            if view["quoted"] != BY_QUOTES and 0.0 < bid < ask:
                view["quoted"] = BY_DEPTH
                see_touch(
                    view=view, ts_ns=tick["ts_ns"], bid=bid, ask=ask, bid_size=bid_size, ask_size=ask_size
                )
