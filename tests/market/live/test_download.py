"""Downloads: complete, each row once, whatever ended the call before."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from market.live.fake_venue import SYMBOL, FakeVenue
from ztb.errors import DataError, VenueError
from ztb.market.history import open_history
from ztb.market.live.download import Download, DownloadRange, Fetched
from ztb.market.live.instrument import instrument_of
from ztb.market.live.rest import Backoff, Rest
from ztb.market.ticks import GAP, Ticks, join_ticks
from ztb.testing.virtual_time import run_virtual

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


class Past:
    """A venue that looks at most an hour ahead of `since`, as some do, with `count` trades over some hours."""

    def __init__(self, count: int, page: int = 50, seed: int = 0) -> None:
        self.now_ms = START_MS + 6 * HOUR_MS
        self.venue = FakeVenue(lambda: self.now_ms * 1_000_000, page=page)
        rng = np.random.default_rng(seed)
        # Bursts within a millisecond, and hours without a trade.
        moments = np.sort(rng.integers(0, 40, count) * 100 + rng.choice([0, 4 * HOUR_MS], count)) + START_MS
        for moment in moments.tolist():
            self.venue.trade()
            self.venue.trades[-1]["timestamp"] = moment
        self.windowed = self.venue.client
        self.venue.client = self._client  # type: ignore[method-assign]

    def _client(self):
        client = self.windowed()
        fetch = client.fetch_trades

        async def windowed(symbol: str, since: int, limit: int):
            found = await fetch(symbol, since, 10**9)
            return [trade for trade in found if trade["timestamp"] <= since + HOUR_MS][: self.venue.page]

        client.fetch_trades = windowed  # type: ignore[method-assign]
        return client

    def fetch(self, folder: Path, what: str = "trades", start_ms: int = START_MS) -> Fetched:
        client = self.venue.client()
        rest = Rest(client, lambda: Backoff(0.1, 1.0, lambda: 0.5))
        instrument = instrument_of(client, SYMBOL)
        wanted = DownloadRange(instrument, what, start_ms, self.now_ms, "1m", 60_000, 1.0)
        return run_virtual(Download(rest, wanted, folder, lambda _: None).run())


def ticks_of(folder: Path) -> Ticks:
    return join_ticks(list(open_history([folder]).blocks()))


def test_every_trade_comes_once_in_order_over_pages_bursts_and_empty_hours(tmp_path):
    past = Past(500)
    fetched = past.fetch(tmp_path)
    ticks = ticks_of(tmp_path)
    assert ticks["price"].tolist() == [trade["price"] for trade in past.venue.trades]
    assert ticks["ts_ns"].tolist() == [trade["timestamp"] * 1_000_000 for trade in past.venue.trades]
    assert (fetched.rows, fetched.gaps, fetched.end_ms >= past.now_ms) == (500, 0, True)


@pytest.mark.parametrize("seed", range(12))
def test_a_call_that_breaks_anywhere_is_gone_on_with_without_a_duplicate_or_a_hole(tmp_path, seed):
    """The venue fails for good at a random page, and the file's last frame is cut at a random byte."""
    past, rng = Past(600, page=37, seed=seed), np.random.default_rng(seed)
    for _ in range(6):
        past.venue.rest_faults = []
        calls, stop = past.venue.rest_calls, int(rng.integers(1, 8))

        def rest(calls: int = calls, stop: int = stop) -> None:
            past.venue.rest_calls += 1
            if past.venue.rest_calls > calls + stop:
                raise OSError("gone")

        past.venue.rest = rest  # type: ignore[method-assign]
        with pytest.raises(VenueError, match="gone"):
            past.fetch(tmp_path)
        for path in sorted(tmp_path.glob("*.ticks"))[-1:]:
            os.truncate(path, path.stat().st_size - int(rng.integers(0, 12)))
    past.venue.rest = lambda: None  # type: ignore[method-assign]
    past.fetch(tmp_path)
    assert ticks_of(tmp_path)["price"].tolist() == [trade["price"] for trade in past.venue.trades]
    assert past.fetch(tmp_path).rows == 0


def test_missing_trade_ids_are_counted_and_marked(tmp_path):
    past = Past(300)
    gone = past.venue.trades[100:103]
    del past.venue.trades[100:103]
    fetched = past.fetch(tmp_path)
    assert (fetched.gaps, fetched.missing) == (1, len(gone))
    ticks = ticks_of(tmp_path)
    assert np.flatnonzero(ticks["flags"] & GAP).tolist() == [100]


def test_bars_come_once_each_to_the_last_closed_one_and_are_gone_on_with(tmp_path):
    past = Past(1, page=40)
    fetched = past.fetch(tmp_path, "bars")
    assert fetched.rows == 6 * 60 - 1 and fetched.gaps == 0  # the first whole minute is not the first moment
    past.now_ms += HOUR_MS
    again = past.fetch(tmp_path, "bars")
    assert (again.rows, again.resumed_ms is not None) == (60, True)
    history = open_history([tmp_path])
    opens = join_ticks(list(history.blocks()))["ts_ns"] - 60 * 10**9
    assert history.bar_ns == 60 * 10**9 and set(np.diff(opens).tolist()) == {60 * 10**9}


def test_a_folder_of_something_else_is_refused(tmp_path):
    past = Past(20)
    past.fetch(tmp_path)
    with pytest.raises(DataError, match="holds other data"):
        past.fetch(tmp_path, "bars")
    with pytest.raises(DataError, match="begins later than --from"):
        past.fetch(tmp_path, start_ms=START_MS - 24 * HOUR_MS)


async def test_the_command_downloads_from_an_exchange_through_ccxt(tmp_path):
    """The local exchange, an unmodified ccxt client, a process of its own."""
    import asyncio
    import sys
    from datetime import UTC, datetime

    from ztb.runtime.clock import SystemClock
    from ztb.testing.exchange.local import LocalExchange

    async with LocalExchange(seed=3) as exchange:
        options = exchange.ccxt_options()
        client = {key: options[key] for key in ("urls", "options")}
        market = {"venue": "binance", "symbol": "BTC/USDT", "client": client, "allowed_hosts": ["127.0.0.1"]}
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"market": market}))
        start = datetime.fromtimestamp(SystemClock().now_ns() / 1e9 - 3600, UTC).isoformat()
        for what, out in (("bars", "bars"), ("trades", "trades"), ("trades", "trades")):
            command = ("data", "download", "--config", str(config), "--what", what, "--from", start, "--json")
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "ztb",
                *command,
                "--out",
                str(tmp_path / out),
                stdout=asyncio.subprocess.PIPE,
            )
            printed, _ = await child.communicate()
            assert child.returncode == 0 and json.loads(printed)["gaps"] == 0
    bars = open_history([tmp_path / "bars"])
    assert bars.bar_ns == 60 * 10**9 and len(join_ticks(list(bars.blocks()))) >= 58
    trades = ticks_of(tmp_path / "trades")
    assert len(trades) > 10 and np.all(np.diff(trades["ts_ns"]) >= 0)


_MINUTE_MS = 60_000


class Paging:
    """A venue of minutes that pages as real ones do: what is next, what lies in a window, or only the newest."""

    id = "made"
    precisionMode = 4
    markets: ClassVar = {
        SYMBOL: {"base": "BTC", "quote": "USD", "precision": {"price": 0.01, "amount": 1e-5}}
    }

    def __init__(self, opens: list[int], style: str, window: int = 300, days: bool = False) -> None:
        self.opens, self.style, self.window, self.calls = opens, style, window, 0
        self.timeframes = {"1m": "1", "1d": "1d"} if days else {"1m": "1"}

    async def fetch_ohlcv(self, symbol: str, timeframe: str, since: int, limit: int) -> list[list[float]]:
        self.calls += 1
        span = _MINUTE_MS if timeframe == "1m" else 86_400_000
        opens = sorted({ms // span * span for ms in self.opens})
        hit = {
            "next": [ms for ms in opens if ms >= since][:limit],
            "window": [ms for ms in opens if since <= ms < since + self.window * span],
            "newest": opens[-self.window :],
        }[self.style]
        return [[ms, 100.0, 101.0, 99.0, 100.0, 1.0] for ms in hit]

    def download(self, folder: Path, start_ms: int, until_ms: int) -> Fetched:
        rest = Rest(self, lambda: Backoff(0.1, 1.0, lambda: 0.5))  # type: ignore[arg-type]
        instrument = instrument_of(self, SYMBOL)  # type: ignore[arg-type]
        wanted = DownloadRange(instrument, "bars", start_ms, until_ms, "1m", _MINUTE_MS, 1.0)
        return run_virtual(Download(rest, wanted, folder, lambda _: None).run())


_FROM = START_MS // 86_400_000 * 86_400_000
_ALL = [_FROM + i * _MINUTE_MS for i in range(3000)]


@pytest.mark.parametrize("style", ["next", "window"])
@pytest.mark.parametrize(
    "hole", [range(600, 1000), range(600, 1500), range(0), range(299, 301), range(2000, 2999)]
)
def test_a_hole_in_a_venues_bars_is_a_gap_and_not_the_end(tmp_path, style, hole):
    fetched = Paging([ms for i, ms in enumerate(_ALL) if i not in hole], style).download(
        tmp_path, _FROM, _FROM + 3000 * _MINUTE_MS
    )
    assert (fetched.rows, fetched.missing, fetched.gaps) == (3000 - len(hole), len(hole), int(bool(hole)))
    assert np.flatnonzero(ticks_of(tmp_path)["flags"] & GAP).tolist() == ([hole.start] if hole else [])


@pytest.mark.parametrize(("days", "most"), [(False, 300), (True, 40)])
def test_a_market_that_was_listed_later_is_found(tmp_path, days, most):
    venue = Paging(_ALL, "window", days=days)
    fetched = venue.download(tmp_path, _FROM - 20_000 * _MINUTE_MS, _FROM + 3000 * _MINUTE_MS)
    assert (fetched.rows, fetched.gaps, fetched.missing) == (3000, 1, 20_000)
    assert venue.calls < most, "where there are days, they are asked first"


def test_a_venue_that_tells_only_the_newest_leaves_a_gap(tmp_path):
    fetched = Paging(_ALL, "newest", 720).download(tmp_path, _FROM, _FROM + 3000 * _MINUTE_MS)
    assert (fetched.rows, fetched.gaps, fetched.missing) == (720, 1, 2280)


def test_where_the_data_end_is_told(tmp_path):
    fetched = Paging(_ALL, "window").download(tmp_path, _FROM, _FROM + 9000 * _MINUTE_MS)
    assert (fetched.rows, fetched.end_ms) == (3000, _FROM + 3000 * _MINUTE_MS)
