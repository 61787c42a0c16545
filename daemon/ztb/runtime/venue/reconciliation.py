"""Our books against the venue's, to the last unit: at the start, after each reconnect, every so often.

Trades first, then orders, then the balance, then trades again: a balance counts only if nothing traded around it.
What cannot be explained halts the trading, with its evidence in the journal.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ztb.errors import UsageError, VenueError
from ztb.ledger.accounts import Account
from ztb.ledger.journal import Journal
from ztb.ledger.records import NoteRow
from ztb.market.instrument import Instrument
from ztb.market.live.client import Row
from ztb.market.live.rest import Rest
from ztb.runtime.venue.client import PrivateClient
from ztb.runtime.venue.gateway import OrderGateway
from ztb.runtime.venue.translation import balance_of, fill_id

MISMATCH = "mismatch"
_PAGE = 500
_OVERLAP_MS = 60_000
_TRIES = 4
_BETWEEN_S = 0.5
_OWED_S = 1.0  # a fill may come later than the end of its order
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Balances:
    """Quote and base currency, exactly."""

    cash: Decimal
    position: Decimal


async def fetch_balances(client: PrivateClient, rest: Rest, instrument: Instrument) -> Balances:
    """The account's balances now. VenueError."""
    row = await rest.call(lambda _client: client.fetch_balance())
    return Balances(balance_of(row, instrument.quote), balance_of(row, instrument.base))


def _nobody_missed(_trade: int) -> None:
    """The answer where there is no stream that could have told of a trade first."""


class Reconciler:
    """Compares `gateway`'s venue with `account`, the exact ledger. `halt` is called with a reason when they differ.

    `since_ms`: trades from then on are looked at. `done` is set while the last comparison agreed. `missed` hears of
    trades, by `fill_id`, of which this was the first news.
    """

    def __init__(
        self,
        gateway: OrderGateway,
        account: Account,
        journal: Journal,
        every_s: float,
        since_ms: int,
        heard: Callable[[], None],
        halt: Callable[[str], None],
        missed: Callable[[int], None] = _nobody_missed,
        wanted: asyncio.Event | None = None,
    ) -> None:
        self.done = asyncio.Event()
        self.wanted = wanted or asyncio.Event()
        self.rounds = 0
        self._one_at_a_time = asyncio.Lock()
        self._missed = missed
        self._gateway = gateway
        self._table = gateway.table
        self._account = account
        self._journal = journal
        self._every_s = every_s
        self._since_ms = since_ms
        self._heard = heard
        self._halt = halt
        self._noted = ""  # the last mismatch

    async def run(self) -> None:
        """Every `every_s`, and at once when `wanted` is set or fills are late, until cancelled."""
        while True:
            self.wanted.clear()
            try:
                await self.reconcile()
            except VenueError:
                self.done.clear()
            await self._wait(self._every_s if self.done.is_set() else _BETWEEN_S)

    async def _wait(self, seconds: float) -> None:
        loop, late = asyncio.get_running_loop(), set[int]()
        end_s = loop.time() + seconds
        while (left_s := end_s - loop.time()) > 0.0 and not late & self._table.owing:
            late = self._table.owing
            try:
                async with asyncio.timeout(min(_OWED_S, left_s)):
                    await self.wanted.wait()
                return
            except TimeoutError:
                continue

    async def reconcile(self) -> None:
        """One comparison. VenueError if the venue does not answer."""
        async with self._one_at_a_time:
            await self._reconcile()

    async def settled(self) -> Balances:
        """The account's balances, all that led to them booked, nothing on its way.

        UsageError while orders of ours are open; VenueError if the venue does not answer, or the account trades on.
        """
        async with self._one_at_a_time:
            for _ in range(_TRIES):
                found = await self._look()
                if self._table.working:
                    raise UsageError("orders are still open at the venue: try again once they are over")
                if found is not None:
                    return found
                await asyncio.sleep(_BETWEEN_S)
        raise VenueError("somebody trades on the account: try again once it rests")

    async def _reconcile(self) -> None:
        found: Balances | None = None
        for _ in range(_TRIES):
            found = await self._look()
            if found is not None and self._agrees(found):
                self.rounds += 1
                self.done.set()
                return
            await asyncio.sleep(_BETWEEN_S)
        self.done.clear()
        # An order whose sending has no answer yet may be at the venue, or arrive there any moment.
        if found is not None and all(order.accepted for order in self._table.open):
            self._differs(found)

    async def _look(self) -> Balances | None:
        """The balance, with all that led to it booked; None if something traded meanwhile."""
        await self.catch_up()
        before = self._table.known
        balances = await fetch_balances(self._gateway.client, self._gateway.rest, self._account.instrument)
        await self._fetch_trades()
        # The user stream may have told of trades while an old balance was on its way.
        return balances if self._table.known == before else None

    async def catch_up(self) -> None:
        """Every trade and every order's state, as the venue has them."""
        await self._fetch_trades()
        for order in self._table.open:
            await self._gateway.look_at(order)
        await self._fetch_trades()

    async def _fetch_trades(self) -> None:
        """Take over the account's trades, those of the last minute before the newest known one again."""
        since_ms, more = self._since_ms, True
        while more:
            page = await self._page(since_ms)
            for trade in page:
                self._take(trade)
            more = len(page) >= _PAGE
            newest_ms = int(page[-1].get("timestamp") or 0) if page else 0
            since_ms = max(since_ms + more, newest_ms)
        self._since_ms = max(self._since_ms, since_ms - _OVERLAP_MS)
        self._heard()

    async def _page(self, since_ms: int) -> list[Row]:
        client, symbol = self._gateway.client, self._account.instrument.symbol
        return await self._gateway.rest.call(lambda _client: client.fetch_my_trades(symbol, since_ms, _PAGE))

    def _take(self, trade: Row) -> None:
        table, number = self._table, fill_id(trade)
        before = table.known
        table.traded(trade)
        if table.known != before:
            self._missed(number)

    def _agrees(self, found: Balances) -> bool:
        account = self._account
        return found == Balances(account.exact_cash, account.exact_position)

    def evidence(self, found: Balances) -> dict[str, Any]:
        """The venue's statement beside that of our books."""
        account, table = self._account, self._table
        return {
            "venue": {"cash": f"{found.cash:f}", "position": f"{found.position:f}"},
            "ledger": {"cash": f"{account.exact_cash:f}", "position": f"{account.exact_position:f}"},
            "foreign_trades": [_facts(trade) for trade in list(table.foreign.values())[-_SHOWN:]],
            "open_orders": [order.client_id for order in table.open],
        }

    def _differs(self, found: Balances) -> None:
        """Note it once, and halt, again if somebody resumed meanwhile."""
        account, table = self._account, self._table
        evidence = json.dumps(self.evidence(found), sort_keys=True)
        if evidence != self._noted:
            self._noted = evidence
            self._journal.append(NoteRow(0, MISMATCH, evidence))
        self._halt(
            f"the venue holds {found.cash:f} and {found.position:f}, our books say {account.exact_cash:f} and "
            f"{account.exact_position:f}; {len(table.foreign)} trades are not ours; see the note {MISMATCH!r}; "
            "once you know why, `ztb resume --adopt` takes the venue's figures over"
        )


def _facts(trade: Row) -> dict[str, Any]:
    return {name: trade.get(name) for name in ("id", "order", "timestamp", "side", "price", "amount")}
