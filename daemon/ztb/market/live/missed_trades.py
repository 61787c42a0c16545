"""Trades that a stream missed, asked for by REST: whatever the venue still tells, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ztb.market.live.messages import Trade, trade_of
from ztb.market.live.rest import Rest
from ztb.market.live.trade_ids import TradeIds, id_number

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Missed:
    """`trades` in order. `reached`: the venue's answer began no later than what was known, so that nothing is
    missing before them. `same_ids`: REST and stream number trades alike, for all one can see; where not, times alone
    decide."""

    trades: list[Trade]
    reached: bool
    same_ids: bool


async def missed_trades(rest: Rest, symbol: str, ids: TradeIds, since_ms: int, until: Trade | int) -> Missed:
    """Trades that REST tells after those seen, the last of which was at `since_ms`, and before `until`.

    `until` is a trade, or a moment in milliseconds: pages end with the first that reaches it, since a venue goes on
    trading while it is asked.
    """
    page = await trades_page(rest, symbol, since_ms)
    overlaps = any(trade.ms <= since_ms for trade in page)
    known = ids.knows_any(page)
    same_ids, reached = known or not overlaps, known or overlaps
    found: dict[object, Trade] = {}
    while True:
        unseen = ids.unseen(page) if same_ids else [t for t in page if t.ms > since_ms]
        before = _before(unseen, until, same_ids)
        fresh = {_key(trade): trade for trade in before if _key(trade) not in found}
        found |= fresh
        if not fresh or len(before) < len(unseen) or (isinstance(until, int) and page[-1].ms >= until):
            return Missed(list(found.values()), reached, same_ids)
        page = await trades_page(rest, symbol, page[-1].ms)


async def trades_page(rest: Rest, symbol: str, since_ms: int) -> list[Trade]:
    """The venue's first trades at or after `since_ms`, as many as it gives at once, in order of time."""
    page = await rest.call(lambda client: client.fetch_trades(symbol, since_ms, _PAGE))
    return sorted(map(trade_of, page), key=_order)


def _order(trade: Trade) -> tuple[int, int]:
    """By time, then id: ccxt sorts ids as text, which puts 100 before 99."""
    return trade.ms, id_number(trade) or 0


def _key(trade: Trade) -> object:
    return trade.id or (trade.ms, trade.price, trade.size, trade.side)


def _before(trades: Sequence[Trade], until: Trade | int, same_ids: bool) -> Sequence[Trade]:
    """The leading trades that come before `until`; all of them where it is a moment."""
    if isinstance(until, int):
        return trades
    end = next((i for i, trade in enumerate(trades) if _is_past(trade, until, same_ids)), len(trades))
    return trades[:end]


def _is_past(trade: Trade, until: Trade, same_ids: bool) -> bool:
    if not same_ids:
        return trade.ms >= until.ms
    number, last = id_number(trade), id_number(until)
    if number is not None and last is not None:
        return number >= last
    return trade.id == until.id
