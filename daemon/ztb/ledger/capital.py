"""Capital that came or went, as it is journaled: what an account began with, what was taken over from the venue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from ztb.ledger.records import ADOPTED, NoteRow

OPENING = "opening"
"""Kind of the note that says what an account began with."""


@dataclass(frozen=True, slots=True)
class Opening:
    """An account's beginning: `cash` quote and `position` base currency, exact, worth `price` each."""

    cash: Decimal
    position: Decimal = Decimal(0)
    price: float = 0.0

    @property
    def equity(self) -> float:
        """Quote currency."""
        return float(self.cash) + float(self.position) * self.price

    def note(self, ts_ns: int) -> NoteRow:
        """As it is journaled."""
        facts = {"cash": f"{self.cash:f}", "position": f"{self.position:f}", "price": self.price}
        return NoteRow(ts_ns, OPENING, json.dumps(facts))

    @classmethod
    def of(cls, note: NoteRow) -> Self:
        """The opening that `note` tells."""
        told = json.loads(note.detail)
        return cls(Decimal(told["cash"]), Decimal(told["position"]), told["price"])


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
            "cash": f"{self.cash:f}",
            "position": f"{self.position:f}",
            "price": self.price,
            "rows": rows,
        }
        return NoteRow(self.ts_ns, ADOPTED, json.dumps({**facts, "evidence": evidence}, sort_keys=True))

    @classmethod
    def of(cls, note: NoteRow) -> Self:
        """The adoption that `note` wrote down."""
        told = json.loads(note.detail)
        return cls(note.ts_ns, Decimal(told["cash"]), Decimal(told["position"]), told["price"])
