"""What is taken over from the venue is capital, no profit: everything that equity is compared with moves along."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ztb.execution.account import book_fill, new_account
from ztb.ledger.accounts import Account
from ztb.ledger.capital import Adoption
from ztb.market.instrument import Instrument
from ztb.runtime.recovery.adoption import adopt, enter

D = Decimal
INSTRUMENT = Instrument("BTC/USD", "BTC", "USD", "test", D("0.5"), D("0.25"), D(1), D(0), D(0), 1.0)


def account(position: float = 0.0) -> NDArray[np.void]:
    made = new_account(100.0)
    if position:
        book_fill(made[0], 1, 10.0, position, 0.0, 3)
    return made


@pytest.mark.parametrize(
    ("held", "came", "entry", "opened"),
    [(0.0, 2.0, 12.0, 9), (2.0, 2.0, 10.0, 3), (2.0, -2.0, 0.0, 0), (0.0, 0.0, 0.0, 0)],
)
def test_an_account_takes_over_cash_and_position_and_neither_wins_nor_loses(held, came, entry, opened):
    made = account(held)
    enter(Adoption(9, D(-5), D(str(came)), 12.0), made, held + came)
    assert made["position"][0] == held + came and made["cash"][0] == 95.0 - held * 10.0
    assert (made["entry_price"][0], made["opened_ns"][0]) == (entry, opened)
    value = came * 12.0 - 5.0
    assert made["start_equity"][0] == made["peak_equity"][0] == 100.0 + value


def test_books_gate_and_accounts_beside_move_along():
    told: list[tuple[str, float]] = []

    def hears(who: str) -> Any:
        return lambda value: told.append((who, value))

    live, beside = account(), account()
    engine = SimpleNamespace(
        live=SimpleNamespace(
            broker=SimpleNamespace(account=live), gate=SimpleNamespace(memory=SimpleNamespace(adopted=hears("gate")))
        ),
        books=SimpleNamespace(account=Account(INSTRUMENT, D(100))),
        shadows={"hold": SimpleNamespace(broker=SimpleNamespace(account=beside))},
        adopted=hears("engine"),
    )  # fmt: skip
    adopt(Adoption(9, D(-5), D(2), 12.0), engine)  # type: ignore[arg-type]
    assert engine.books.account.exact_position == 2 and engine.books.account.exact_cash == 95
    assert live["position"][0] == 2.0 and live["cash"][0] == 95.0
    assert beside["cash"][0] == 119.0 and beside["position"][0] == 0.0
    assert told == [("gate", 19.0), ("engine", 19.0)]
