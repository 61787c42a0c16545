"""The venue's figures, taken over into the books because an operator said so: after a mismatch that was looked into.

What is taken over is capital that came or went, no profit and no loss: everything that equity is compared with moves
along, and the decision during which it happened is not trained on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ztb.ledger.records import ADOPTED, NoteRow
from ztb.runtime.engine import Engine


@dataclass(frozen=True, slots=True)
class Adoption:
    """`cash` quote and `position` base currency, worth `price` each, that came (or went, below 0) at `ts_ns`."""

    ts_ns: int
    cash: Decimal
    position: Decimal
    price: float

    @property
    def value(self) -> float:
        """Quote currency."""
        return float(self.cash) + float(self.position) * self.price

    def note(self, rows: int, evidence: Mapping[str, Any]) -> NoteRow:
        """As it is journaled, with why, and after how many rows of ticks of this start."""
        facts = {
            "cash": f"{self.cash:f}", "position": f"{self.position:f}", "price": self.price, "rows": rows,
        }  # fmt: skip
        return NoteRow(self.ts_ns, ADOPTED, json.dumps({**facts, "evidence": evidence}, sort_keys=True))

    @classmethod
    def of(cls, note: NoteRow) -> Self:
        """What `note` wrote down."""
        told = json.loads(note.detail)
        return cls(note.ts_ns, Decimal(told["cash"]), Decimal(told["position"]), told["price"])


def enter(adoption: Adoption, account: NDArray[np.void], position: float) -> None:
    """Change `account` (1,) ACCOUNT; `position` is what it holds after it, base currency."""
    account["cash"] += float(adoption.cash)
    account["position"] = position
    for name in ("start_equity", "peak_equity"):
        account[name] += adoption.value
    if account["entry_price"] == 0.0 or position == 0.0:
        account["entry_price"] = adoption.price if position else 0.0
        account["opened_ns"] = adoption.ts_ns if position else 0


def adopt(adoption: Adoption, engine: Engine) -> None:
    """Change the books of a running engine, and what equity is compared with."""
    lane, exact, value = engine.live, engine.books.account, adoption.value
    exact.adopt(adoption.cash, adoption.position)
    enter(adoption, lane.broker.account, exact.position)
    lane.gate.memory.day_start_equity += value
    lane.gate.memory.peak_equity += value
    for shadow in engine.shadows.values():
        shadow.broker.account["cash"] += value
    engine.adopted(value)
