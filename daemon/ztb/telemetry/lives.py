"""The life of each generation: where it came from, what was said of it, and what it earned while it served."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.telemetry.run_data import Floats, RunData


@dataclass(frozen=True, slots=True)
class Life:
    """One generation. Returns are over the spans in which it served, None where there is nothing to compare."""

    number: int
    parent: int | None
    made_ts: int
    weights_sha256: str
    outcome: str
    reason: str
    decided_ts: int
    numbers: dict[str, Any] = field(default_factory=dict[str, Any])
    decisions: int = 0
    first_ts: int = 0
    last_ts: int = 0
    earned: float | None = None
    hold: float | None = None
    frozen: float | None = None
    fees: float = 0.0


def lives(run: RunData) -> list[Life]:
    """Every generation that was made or served, by number."""
    served = np.unique(run.decisions.generation).tolist() if run.generations else []
    numbers = sorted({row.generation for row in run.generations} | set(served))
    return [_life(run, number) for number in numbers]


def _life(run: RunData, number: int) -> Life:
    rows = [row for row in run.generations if row.generation == number]
    made = next((row for row in rows if row.event == "made"), None)
    verdicts = [row for row in rows if row.event != "made"]
    last = verdicts[-1] if verdicts else None
    numbers: dict[str, Any] = {}
    for row in rows:
        numbers |= json.loads(row.detail or "{}")
    return Life(
        number=number,
        parent=made.parent if made else None,
        made_ts=made.ts_ns if made else 0,
        weights_sha256=made.weights_sha256 if made else "",
        outcome=last.event if last else "waiting",
        reason=str(numbers.get("reason", numbers.get("origin", ""))),
        decided_ts=last.ts_ns if last else 0,
        numbers=numbers,
        **_service(run, number),
    )


def _service(run: RunData, number: int) -> dict[str, Any]:
    """The events from each of its decisions to the next one."""
    marks = run.marks
    n = len(marks.ts_ns)
    own = np.flatnonzero(run.decisions.generation[:n] == number)
    if len(own) == 0:
        return {}
    before = own[own < n - 1]
    return {
        "decisions": len(own),
        "first_ts": int(marks.ts_ns[own[0]]),
        "last_ts": int(marks.ts_ns[min(own[-1] + 1, n - 1)]),
        "earned": growth(marks.equity, before),
        "hold": growth(marks.hold, before),
        "frozen": growth(marks.frozen, before),
        "fees": float((marks.fees[before + 1] - marks.fees[before]).sum()),
    }


def growth(equity: Floats, before: NDArray[np.int64]) -> float | None:
    """Compound return over the steps from each row in `before` to the next; None where equity is not known."""
    if len(before) == 0 or np.isnan(equity[before]).any() or (equity[before] <= 0).any():
        return None
    return float(np.prod(equity[before + 1] / equity[before]) - 1.0)
