"""The venue's figures, taken over into the books because an operator said so: after a mismatch that was looked into.

What is taken over is capital that came or went, no profit and no loss: everything that equity is compared with moves
along, and the decision during which it happened is not trained on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.ledger.capital import Adoption
from ztb.runtime.engine import Engine


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
    lane.gate.memory.adopted(value)
    for shadow in engine.shadows.values():
        shadow.broker.account["cash"] += value
    engine.adopted(value)
