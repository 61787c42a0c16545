"""How the policy follows its market: what each stretch of a run earned a decision, beside generation 0 and hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ztb.telemetry.charts import Chart, Line, seconds
from ztb.telemetry.run_data import Floats, RunData

_STRETCHES = 60
_LEAST_DECISIONS = 8
_BASIS_POINTS = 1e4


def adaptation(run: RunData, equities: Sequence[Line], fields: dict[str, Any]) -> Chart:
    """Mean log return a decision in each stretch of equally many decisions, basis points, of each of `equities`."""
    n = len(run.marks.ts_ns)
    stretches = max(1, min(_STRETCHES, n // _LEAST_DECISIONS))
    edges = np.unique(np.linspace(0, n - 1, stretches + 1).astype(np.int64))
    lines = [
        Line(line.name, line.color, _pace(line.values[edges], np.diff(edges)), line.dash, line.width, stepped=True)
        for line in equities
    ]  # fmt: skip
    return Chart(seconds(run.marks.ts_ns[edges]), lines, "plain", fields)


def _pace(equity: Floats, decisions: Floats) -> Floats:
    """Of each stretch between two marks; the last is said twice, as a step needs an end."""
    with np.errstate(divide="ignore", invalid="ignore"):
        pace = np.diff(np.log(equity)) / decisions * _BASIS_POINTS
    return np.append(pace, pace[-1:])
