"""What must hold at every moment, as seen from outside the code that is to see to it: at each sending, and in between."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from typing import Any, cast

from chaos.stage import Stage
from chaos.truth import protects
from chaos.weather import Weather
from ztb.runtime.daemon.daemon import Daemon
from ztb.runtime.guards import NOT_ARMED
from ztb.testing.exchange.listing import SCALE
from ztb.testing.exchange.orders import ExchangeOrderType, Side
from ztb.testing.exchange.venue import USER

MOST_TASKS = 60
_BETWEEN_S, _SELDOM_S = 1.0, 60.0
_OVER = 1.05  # of the limit: the market moves between the decision and what comes of it


def watch_sendings(daemon: Daemon) -> None:
    """No order is sent without a durable intent, while halted or disarmed, before the books are believed, and none buys
    for a policy without weight.
    """
    client = cast(Any, daemon.account)._venue.client
    send = client.create_order

    async def watched(
        symbol: str, kind: str, side: str, amount: float, price: Any, params: Any = None
    ) -> Any:
        client_id = params["clientOrderId"]
        assert intended(daemon, client_id), f"{client_id} was sent before its intent was on disk"
        assert daemon.account.believed, f"{client_id} was sent before the books were compared"
        latch, holds = daemon.switch.latch, daemon.session.engine.live.gate.memory.permission.holds
        if not protects(client_id):
            assert latch is None or latch.stop != "halted", f"{client_id} was sent while halted"
            assert NOT_ARMED not in holds or side == "sell", f"{client_id} was sent while disarmed"
            assert side == "sell" or backed(daemon, client_id), (
                f"{client_id} buys for a policy without weight"
            )
        return await send(symbol, kind, side, amount, price, params)

    client.create_order = watched


def intended(daemon: Daemon, client_id: str) -> bool:
    """Whether the journal on disk has the order."""
    path = daemon.session.directory.path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as journal:
        return (
            journal.execute("SELECT 1 FROM orders WHERE client_id = ?", (client_id,)).fetchone() is not None
        )


_BACKERS = """SELECT aims, expert, weight FROM orders JOIN decisions USING (decision) LEFT JOIN allocations ON
    allocations.seq IN (SELECT max(seq) FROM allocations WHERE decision <= orders.decision GROUP BY expert)
    WHERE orders.client_id = ?"""


def backed(daemon: Daemon, client_id: str) -> bool:
    """Whether an expert with weight wanted to hold something when the order was decided, or the account follows none."""
    path = daemon.session.directory.path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as journal:
        rows = journal.execute(_BACKERS, (client_id,)).fetchall()
    wanted: dict[str, float] = json.loads(rows[0][0]) if rows and rows[0][0] else {}
    return not wanted or any(weight and wanted.get(expert, 0.0) > 0.0 for _, expert, weight in rows)


async def hold(it: Stage, weather: Weather) -> None:
    """Until cancelled: stops sell no more than is held, what is open at its worst exceeds no limit, tasks are few."""
    most = it.config.risk.max_exposure * _OVER
    while True:
        venue = it.exchange.state.venue
        cash, coins = (venue.accounts.held[USER][asset] for asset in ("USDT", "BTC"))
        held, price = coins.free + coins.locked, venue.markets["BTCUSDT"].last_price
        waiting = [venue.orders[number] for (account, _), number in venue.open_ids.items() if account == USER]
        stops = sum(o.remaining for o in waiting if o.request.type is ExchangeOrderType.STOP_LOSS)
        assert stops <= held, "stops sell more than is held"
        bought = sum(o.remaining for o in waiting if o.request.side is Side.BUY)
        equity = cash.free + cash.locked + held * price // SCALE
        assert (held + bought) * price // SCALE <= most * equity, "the worst case exceeds the limit"
        assert len(asyncio.all_tasks()) <= MOST_TASKS, f"{len(asyncio.all_tasks())} tasks"
        await asyncio.sleep(_BETWEEN_S if weather.busy else _SELDOM_S)
