"""History made ready to be traded on many times: what does not depend on actions, computed once.

The decisions of a recording are the rows after which the decision clock is due, from the first at which every
feature is warm. Features come from the feature kernels, normalised in decision order as the engine does; the
market at each decision comes from the exchange's own kernel, run with no orders.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.errors import DataError
from ztb.execution.account import new_account
from ztb.execution.paper import new_exchange, new_orders, new_reports
from ztb.execution.paper_config import PaperConfig
from ztb.execution.simulator import advance
from ztb.features import FeatureSet, Normaliser
from ztb.market.book import BOOK
from ztb.market.instrument import Instrument
from ztb.market.ticks import DEPTH, GAP, Flag, Ticks
from ztb.market.view import VIEW, new_view
from ztb.trading.decision_clock import DecisionClock, find_due
from ztb.utils.kernel import kernel

_TAINT = GAP | int(Flag.TAINTED)
MARKET_BYTES = VIEW.itemsize - BOOK.itemsize
"""Leading bytes of a market view: those before the book."""


class Shared(NamedTuple):
    """The arrays that all lanes on a recording of K decisions over n ticks share; never changed."""

    ticks: Ticks
    """(n,)"""
    rows: NDArray[np.int64]
    """(K,) the row after which each decision is made"""
    times_ns: NDArray[np.int64]
    """(K,) its event time"""
    features: NDArray[np.float32]
    """(K, F) normalised"""
    markets: NDArray[np.uint8]
    """(K, B) leading bytes of the market view: all, or those before the book where the ticks tell of none"""
    on_bars: NDArray[np.int64]
    """(K,) 1 if the last price came from a bar"""
    mids: NDArray[np.float64]
    """(K,) quote currency"""
    tainted: NDArray[np.bool_]
    """(K,) whether the ticks since the decision before span a gap or are marked as not to be trained on"""


@dataclass(frozen=True, slots=True)
class Recording:
    """History of `instrument` made ready; buckets and observations count time in `period_ns`."""

    instrument: Instrument
    period_ns: int
    shared: Shared

    @property
    def decisions(self) -> int:
        return len(self.shared.rows)

    @property
    def feature_size(self) -> int:
        return int(self.shared.features.shape[1])

    def window(self, first: int, last: int) -> Recording:
        """Decisions [first, last) alone; the arrays are views of this recording's."""
        kept: dict[str, Any] = {name: array[first:last] for name, array in self.shared._asdict().items()}
        del kept["ticks"]
        return replace(self, shared=self.shared._replace(**kept))


@kernel
def _find_rows(ticks: Ticks, clock: NDArray[np.void], rows: NDArray[np.int64]) -> int:
    """Every row after which a decision is due, into `rows`; returns how many."""
    count, i, n = 0, 0, len(ticks)
    while i < n:
        i = find_due(ticks, i, n, clock)
        if i < n:
            rows[count] = i
            count += 1
        i += 1
    return count


@kernel
def _watch(
    ticks: Ticks,
    rows: NDArray[np.int64],
    exchange: NDArray[np.void],
    orders: NDArray[np.void],
    reports: NDArray[np.void],
    view: NDArray[np.void],
    view_bytes: NDArray[np.uint8],
    account: NDArray[np.void],
    markets: NDArray[np.uint8],
    on_bars: NDArray[np.int64],
    mids: NDArray[np.float64],
) -> None:
    """Run the market past an exchange without orders, and note its view at each of `rows`."""
    done = 0
    for k in range(len(rows)):
        advance(
            ticks=ticks,
            i0=done,
            i1=rows[k] + 1,
            exchange=exchange[0],
            orders=orders,
            events=reports,
            view=view[0],
            account=account[0],
        )
        done = rows[k] + 1
        for b in range(markets.shape[1]):
            markets[k, b] = view_bytes[b]
        on_bars[k] = exchange[0]["on_bars"]
        mids[k] = view[0]["mid"]


def decision_rows(ticks: Ticks, clock: DecisionClock) -> NDArray[np.int64]:
    """The rows of `ticks` after which a decision is due; the clock moves on."""
    rows = np.empty(len(ticks), np.int64)
    return rows[: int(_find_rows(ticks, clock.state, rows))].copy()


def _warm_up(features: FeatureSet, ticks: Ticks, rows: NDArray[np.int64], raw: NDArray[np.float64]) -> int:
    """Advance decision by decision, into `raw`, until every feature is warm: the first such decision."""
    done = 0
    for k, row in enumerate(rows.tolist()):
        features.advance(ticks, done, row + 1)
        raw[k] = features.values
        done = row + 1
        if features.ready:
            return k
    raise DataError(
        f"{len(ticks)} ticks make {len(rows)} decisions, too few for the features, which need "
        f"{features.warm_up} periods to warm up: give more history, or choose features with shorter horizons"
    )


def record(
    ticks: Ticks,
    instrument: Instrument,
    period_ns: int,
    clock: DecisionClock,
    features: FeatureSet,
    normaliser: Normaliser,
) -> Recording:
    """Make `ticks` ready. Clock, features and normaliser start before the first tick and end after the last
    decision. DataError: too few ticks for the features to warm up.
    """
    rows = decision_rows(ticks, clock)
    raw = np.empty((len(rows), features.size))
    first = _warm_up(features, ticks, rows, raw)
    after = int(rows[first]) + 1
    raw[first + 1 :] = features.batch_at(ticks[after:], rows[first + 1 :] - after)
    told = np.empty((len(rows), normaliser.width), np.float32)
    whole = watch(ticks=ticks, instrument=instrument, period_ns=period_ns, rows=rows, features=told)
    normaliser.follow(raw, whole.shared.mids, whole.shared.tainted, told)
    return whole.window(first, len(rows))


def watch(
    ticks: Ticks,
    instrument: Instrument,
    period_ns: int,
    rows: NDArray[np.int64],
    features: NDArray[np.float32],
    view: NDArray[np.void] | None = None,
    last_on_bars: int = 0,
) -> Recording:
    """A recording of decisions after `rows` (K,) with what the policy is told, `features` (K, F).

    Where `ticks` continue others, `view` (1,) is the market before them, which is not changed, and `last_on_bars`
    is 1 if its last price came from a bar.
    """
    seen = new_view(instrument) if view is None else view.copy()
    deep = bool(np.any(ticks["kind"] == DEPTH)) or int(seen["book"]["bids"][0]) > 0
    width = seen.itemsize if deep else MARKET_BYTES
    markets = np.empty((len(rows), width), np.uint8)
    on_bars, mids = np.empty(len(rows), np.int64), np.empty(len(rows))
    exchange = new_exchange(instrument, PaperConfig(), 0, 0.0)
    exchange["on_bars"] = last_on_bars
    _watch(
        ticks=ticks,
        rows=rows,
        exchange=exchange,
        orders=new_orders(1),
        reports=new_reports(4),
        view=seen,
        view_bytes=seen.view(np.uint8),
        account=new_account(0.0),
        markets=markets,
        on_bars=on_bars,
        mids=mids,
    )
    starts = np.concatenate([[0], rows[:-1] + 1])
    tainted = np.logical_or.reduceat((ticks["flags"] & _TAINT) != 0, starts)
    shared = Shared(
        ticks=ticks,
        rows=rows,
        times_ns=np.ascontiguousarray(ticks["ts_ns"][rows]),
        features=features,
        markets=markets,
        on_bars=on_bars,
        mids=mids,
        tainted=tainted,
    )
    return Recording(instrument, period_ns, shared)
