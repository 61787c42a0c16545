"""kill -9 at any moment: after recovery nothing was sent twice, no fill is lost, ledger and venue agree."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from chaos.books import Books, books_of
from chaos.killing import Nursery, Trader, inject, until, venue_process
from chaos.truth import Truth, orders_told, truth_told
from ztb.control import Resume
from ztb.ledger.accounts import Account
from ztb.market.instrument import Instrument
from ztb.runtime.recovery.past import read_past

_LOOKS = 10

_CENT = Decimal("0.01")
_BTC_USDT = Instrument(
    "BTC/USDT", "BTC", "USDT", "binance", _CENT, Decimal("0.00001"), Decimal(5), Decimal(0), Decimal(0), 0.0
)


def ledger(folder: Path) -> Account:
    """The account as the journal alone tells it."""
    past = read_past(folder / "journal.sqlite")
    assert past is not None and past.opening is not None
    account = Account(_BTC_USDT, past.opening.cash)
    account.hold(past.opening.position)
    for booked in past.booked:
        fill = booked.fill
        account.fill(booked.side, fill.lots, fill.price_ticks, fill.liquidity, fill.fee)
        account.base_fee(fill.base_fee, fill.price_ticks)
    return account


@dataclass(frozen=True)
class Rest:
    """A daemon that rests: how soon after its start it was ready, the venue's books and ours."""

    ready_s: float
    truth: Truth
    books: Books


def look(trader: Trader, ready_s: float) -> Rest:
    """Let the daemon rest, and compare: halted it sends no more, but a protective stop, which may be on its way."""
    trader.halt()
    seen = _at_rest(trader, ready_s)
    for _ in range(_LOOKS):
        if seen.books.ends == seen.truth.ends:
            break
        seen = _at_rest(trader, ready_s)
    return seen


def _at_rest(trader: Trader, ready_s: float) -> Rest:
    time.sleep(0.5)  # the journal is on disk a fifth of a second later
    return Rest(ready_s, truth_told(trader.client), books_of(trader.folder, ledger(trader.folder)))


def kill_and_recover(seed: int, kills: int, folder: Path, nursery: Nursery) -> Iterator[Rest]:
    """Kill a daemon at `kills` moments; each rest of it, before and between the kills and twice after the last one."""
    rng = np.random.default_rng(seed)
    with venue_process(seed) as options:
        trader = Trader(folder, options, nursery)
        try:
            for k in range(kills):
                trader.start()
                if k > 0 and rng.random() < 0.2:
                    time.sleep(rng.uniform(0.0, 2.0))  # before it trades
                else:
                    yield look(trader, trader.ready_s())
                    if rng.random() < 0.5:
                        inject(options, kind="slow", match="POST /api/v3/order", seconds=0.3, count=3)
                    trader.ask(Resume())
                    time.sleep(rng.uniform(0.0, 4.0))
                trader.kill()
            trader.start()
            ready_s = trader.ready_s()
            yield look(trader, ready_s)
            before = len(orders_told(trader.client))
            trader.ask(Resume())
            until(lambda: len(orders_told(trader.client)) > before, "an order")
            yield look(trader, ready_s)
            assert trader.end()["status"] == "stopped"
        finally:
            trader.leave()


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


PROOF = [pytest.param(seed, 3, marks=pytest.mark.proof) for seed in range(100)]


@pytest.mark.parametrize(("seed", "kills"), [(100, 1), *PROOF])
def test_kills_leave_the_books_as_the_venue_has_them(
    seed: int, kills: int, tmp_path: Path, nursery: Nursery
) -> None:
    rests = list(kill_and_recover(seed, kills, tmp_path / "run", nursery))
    for seen in rests:
        assert (seen.books.cash, seen.books.position) == (seen.truth.cash, seen.truth.position)
        assert seen.books.fills == seen.truth.fills
        assert seen.books.ends == seen.truth.ends
        assert seen.truth.repeated == []
        assert len(seen.truth.standing) <= 1
        assert seen.books.mismatches == 0
    # The goal is 5 s; the first start may have to compile.
    print(f"ready again {max(seen.ready_s for seen in rests[1:]):.1f} s after the imports, at most")
    assert rests[-1].truth.orders
