"""Charts of a report: which ones, and of what.

Also here: how the policy follows its market: what each stretch of a run earned a decision, beside generation 0 and
hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.learning.allocation import name_of
from ztb.ledger.performance import A_RATIO_NS
from ztb.telemetry import texts
from ztb.telemetry.charts import BUCKETS, Chart, ChartLine, extremes, numbers, packed, seconds
from ztb.telemetry.figures import KeyFigures
from ztb.telemetry.periods import rolling_sharpe
from ztb.telemetry.run_data import Floats, RunData
from ztb.telemetry.trades import entered_by, profits_of_fills

_STRETCHES = 60
_LEAST_DECISIONS = 8
_BASIS_POINTS = 1e4


def adaptation(run: RunData, equities: Sequence[ChartLine], fields: dict[str, Any]) -> Chart:
    """Mean log return a decision in each stretch of equally many decisions, basis points, of each of `equities`."""
    n = len(run.marks.ts_ns)
    stretches = max(1, min(_STRETCHES, n // _LEAST_DECISIONS))
    edges = np.unique(np.linspace(0, n - 1, stretches + 1).astype(np.int64))
    lines = [
        ChartLine(
            name=line.name,
            color=line.color,
            values=_pace(line.values[edges], np.diff(edges)),
            dash=line.dash,
            width=line.width,
            stepped=True,
        )
        for line in equities
    ]
    return Chart(seconds(run.marks.ts_ns[edges]), lines, "plain", fields)


def _pace(equity: Floats, decisions: Floats) -> Floats:
    """Of each stretch between two marks; the last is said twice, as a step needs an end."""
    with np.errstate(divide="ignore", invalid="ignore"):
        pace = np.diff(np.log(equity)) / decisions * _BASIS_POINTS
    return np.append(pace, pace[-1:])


_MIX_BINS = 60
_EXPERT_COLORS = 5
_MOST_EXPERTS = 8
_PLACES = (("policy_loss", "Policy loss"), ("value_loss", "Value loss"), ("entropy", "Entropy, nats"),
           ("approx_kl", "Approximate KL, nats"), ("clip_fraction", "Clip fraction"),
           ("explained_variance", "Explained variance"), ("mean_reward", "Mean reward"),
           ("churn", "Policy churn"), ("dormant", "Dormant units"))  # fmt: skip


def equity_lines(run: RunData, figures: KeyFigures) -> list[ChartLine]:
    """Our own equity first, then what there is to compare it with; quote currency."""
    marks = run.marks
    flat = np.full(len(marks.ts_ns), figures.start_equity)
    own, frozen = figures.strategy, "generation 0, frozen"
    if run.experts:
        own, frozen = "account", f"{name_of(0)}, full size"
    candidates = [
        ChartLine(own, "ours", marks.equity, width=2.0),
        ChartLine("hold", "hold", marks.hold, (7, 3)),
        ChartLine(frozen, "frozen", marks.frozen, (2, 3)),
        *_rules(run, figures),
        ChartLine("flat", "flat", flat, width=1.0),
    ]
    return [line for line in candidates if not np.isnan(line.values).all()]


def _rules(run: RunData, figures: KeyFigures) -> list[ChartLine]:
    """The rules that are experts, as if each had had the account from the start; hold has a line of its own."""
    lines: list[ChartLine] = []
    for one, color in zip(run.experts, _colors(run), strict=True):
        if one.generation is None and one.name != "hold":
            begun = one.equity[np.isfinite(one.equity)][:1]
            values = one.equity * (figures.start_equity / begun) if len(begun) else one.equity
            lines.append(ChartLine(f"{one.name}, full size", color, values, (4, 2), stepped=True))
    return lines


def _colors(run: RunData) -> list[str]:
    """A colour of the page for each expert: generation 0 and hold have theirs, the others take turns."""
    own = {name_of(0): "frozen", "hold": "hold"}
    others = [one.name for one in run.experts if one.name not in own]
    turns = {name: f"expert-{k % _EXPERT_COLORS + 1}" for k, name in enumerate(others)}
    return [(own | turns)[one.name] for one in run.experts]


def capital(run: RunData, fields: dict[str, Any]) -> Chart:
    """The weight of each expert at each decision; those that never had much as one line."""
    shown = sorted(run.experts, key=lambda one: -float(one.weight.max()))[:_MOST_EXPERTS]
    lines = [
        ChartLine(one.name, color, one.weight, stepped=True)
        for one, color in zip(run.experts, _colors(run), strict=True)
        if one in shown
    ]
    others = [one.weight for one in run.experts if one not in shown]
    if others:
        lines.append(ChartLine("all others", "flat", np.sum(others, axis=0), (2, 3), stepped=True))
    return Chart(seconds(run.marks.ts_ns), lines, "percent", fields | {"low": 0})


def time_charts(run: RunData, figures: KeyFigures) -> dict[str, dict[str, Any]]:
    """Charts over the time of decisions, by name; the page shows those that are there."""
    marks = run.marks
    if len(marks.ts_ns) < 2:
        return {}
    x = seconds(marks.ts_ns)
    common: dict[str, Any] = {"time": True, "shades": _tainted_spans(run), "gaps": gaps(run)}
    events = {"events": _events(run)}
    drawdown = ChartLine("drawdown", "bad", -marks.drawdown, filled=True)
    fees = ChartLine("fees so far", "ours", marks.fees, filled=True)
    base: dict[str, Any] = {"base": figures.start_equity, "logs": True}
    learns = {"adaptation": adaptation(run, equity_lines(run, figures), common | events).encode()}
    shares = {"capital": capital(run, common | events).encode()} if run.experts else {}
    return (
        (learns if run.generations else {})
        | shares
        | {
            "equity": Chart(x, equity_lines(run, figures), "money", common | events | base).encode(),
            "drawdown": Chart(x, [drawdown], "percent", common | {"high": 0}).encode(),
            "exposure": _exposure(run, common).encode(),
            "price": price_chart(run, common | {"logs": True}),
            **rolling_sharpe_chart(run, common),
            "fees": Chart(x, [fees], "money", common | {"low": 0}).encode(),
            "actions": action_mix(run),
        }
    )


def _exposure(run: RunData, common: dict[str, Any]) -> Chart:
    """Exposure at each decision, or its mean over each stretch where there are too many."""
    exposure, ts_ns = run.marks.exposure, run.marks.ts_ns
    name = "exposure"
    if len(ts_ns) > 2 * BUCKETS:
        starts = np.linspace(0, len(ts_ns), BUCKETS + 1).astype(np.int64)
        exposure = np.add.reduceat(exposure, starts[:-1]) / np.diff(starts)
        ts_ns, name = ts_ns[starts[:-1]], "mean exposure"
    line = ChartLine(name, "ours", exposure, filled=True, stepped=True)
    return Chart(seconds(ts_ns), [line], "percent", common | {"low": 0, "high": 0})


def tainted_spans(run: RunData) -> list[tuple[int, int, int]]:
    """(first, last, decisions) of each run of decisions on tainted data; nanoseconds."""
    tainted = run.decisions.tainted.astype(np.int8)
    edges = np.flatnonzero(np.diff(tainted, prepend=0, append=0))
    ts_ns = run.decisions.ts_ns
    return [
        (int(ts_ns[a]), int(ts_ns[b - 1]), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]


def _tainted_spans(run: RunData) -> list[list[float]]:
    return [[first / 1e9, last / 1e9] for first, last, _ in tainted_spans(run)]


_GAP = 12  # times the usual distance of two decisions


def gaps(run: RunData) -> list[list[float]]:
    """(from, to), seconds, of every stretch without a decision that is much longer than usual: not drawn over."""
    ts_ns = run.marks.ts_ns
    steps = np.diff(ts_ns)
    wide = np.flatnonzero(steps > _GAP * np.median(steps)) if len(steps) else steps
    return [[int(ts_ns[k]) / 1e9, int(ts_ns[k + 1]) / 1e9] for k in wide.tolist()]


def _events(run: RunData) -> list[dict[str, Any]]:
    """Promotions, refusals and rollbacks after the first decision."""
    return [
        {"x": row.ts_ns / 1e9, "kind": row.event, "generation": row.generation}
        for row in run.generations
        if row.event != "made" and row.ts_ns > 0
    ]


_MOST_PRICES = 600_000
MOST_FILLS = 1_500
"""Fills that the page knows one by one, the newest."""
_FINEST = 3e-5  # of the price: a third of a basis point is nowhere seen


def price_chart(run: RunData, common: dict[str, Any]) -> dict[str, Any]:
    """The mid at every decision, from which the page makes candles, and the newest fills where they happened.

    Where there are too many decisions, the lowest and highest of each stretch.
    """
    rows = extremes([run.marks.mid], _MOST_PRICES // 2)
    mid = run.marks.mid[rows]
    unit = price_unit(mid, float(run.manifest.get("instrument", {}).get("tick_size", 0.0)))
    return common | {
        "form": "money",
        "candles": {
            "count": len(rows),
            "unit": unit,
            "times": packed(run.marks.ts_ns[rows] // 1_000_000),
            "prices": packed(np.round(mid / unit).astype(np.int64)),
        },
        "fills": _fills(run),
    }


def price_unit(mid: Floats, tick_size: float) -> float:
    """To what prices are rounded for the page: half a tick, or what is nowhere seen if that is more."""
    return max(tick_size / 2.0, float(f"{float(np.nanmin(mid)) * _FINEST:.1g}"))


def _fills(run: RunData) -> dict[str, Any]:
    """Columns of the newest fills; `who` is a place in `names`, and of those who wanted the fill's order."""
    profits, who = profits_of_fills(run.movements), entered_by(run)
    shown = list(zip(run.executions, profits, strict=True))[-MOST_FILLS:]
    names = sorted(set(who.values()))
    place = {order: names.index(name) for order, name in who.items()}
    fills = [one.row for one, _ in shown]
    return {
        "fill": [row.fill_id for row in fills],
        "x": [round(row.ts_ns / 1e9, 3) for row in fills],
        "price": [float(row.price) for row in fills],
        "side": [row.side for row in fills],
        "quantity": [float(row.quantity) for row in fills],
        "profit": [None if profit is None else round(profit, 4) for _, profit in shown],
        "fee": [round(float(one.fee), 4) for one, _ in shown],
        "order": [row.order_id for row in fills],
        "who": [place.get(row.order_id, -1) for row in fills],
        "names": names,
        "orders": _reasons(run, {row.order_id for row in fills}),
    }


def _reasons(run: RunData, orders: set[int]) -> dict[str, list[Any]]:
    """Of each order: decision, seconds, generation, target, exposure before, experts as [name, wanted, weight]."""
    place = {number: k for k, number in enumerate(run.decisions.number.tolist())}
    exposure = run.marks.exposure
    found: dict[str, list[Any]] = {}
    for order in run.orders:
        k = place.get(order.decision)
        if order.order_id not in orders or k is None or k >= len(exposure):
            continue
        wanted = [
            [one.name, round(float(one.aim[k]), 4), float(f"{one.weight[k]:.3g}")]
            for one in run.experts
            if np.isfinite(one.aim[k])
        ]
        found[str(order.order_id)] = [
            order.decision,
            int(run.decisions.ts_ns[k] // 10**9),
            order.generation,
            round(float(run.decisions.target[k]), 5),
            round(float(exposure[k]), 5),
            wanted,
        ]
    return found


def rolling_sharpe_chart(run: RunData, common: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Of the last 30 days at each decision; nothing where the run is not twice as long."""
    ts_ns = run.marks.ts_ns
    if ts_ns[-1] - ts_ns[0] < 2 * A_RATIO_NS:
        return {}
    line = ChartLine("Sharpe ratio of 30 days", "ours", rolling_sharpe(ts_ns, run.marks.equity))
    return {"sharpe": Chart(seconds(ts_ns), [line], "plain", common).encode()}


def action_mix(run: RunData) -> dict[str, Any]:
    """Share of each target exposure over time, stacked."""
    decisions, ladder = run.decisions, run.ladder
    edges = np.unique(np.linspace(0, len(decisions.ts_ns), _MIX_BINS + 1).astype(np.int64))
    shares = np.stack([_shares(decisions.size[a:b], len(ladder)) for a, b in pairwise(edges.tolist())])
    shares = np.concatenate([shares, shares[-1:]])
    x = seconds(decisions.ts_ns[np.minimum(edges, len(decisions.ts_ns) - 1)])
    lines = [
        ChartLine(
            f"target {texts.percent(rung, 0, signed=min(ladder) < 0)}",
            float(rung),
            shares[:, i],
            stepped=True,
        )
        for i, rung in enumerate(ladder)
    ]
    return Chart(x, lines, "percent", {"time": True, "stacked": True, "low": 0, "high": 1}).encode()


def _shares(values: NDArray[np.int64], kinds: int) -> Floats:
    return np.bincount(values, minlength=kinds)[:kinds] / max(len(values), 1)


def learning_charts(run: RunData) -> dict[str, dict[str, Any]]:
    """One chart a statistic of the updates, over their numbers."""
    if len(run.updates) < 2:
        return {}
    x = np.array([row.number for row in run.updates], np.float64)
    charts: dict[str, dict[str, Any]] = {}
    for name, label in learning_labels(run):
        values = np.array([getattr(row, name) for row in run.updates], np.float64)
        charts[name] = Chart(x, [ChartLine(label, "ours", values)], "plain", {"small": True}).encode()
    return charts


def learning_labels(run: RunData) -> list[tuple[str, str]]:
    """(name, heading) of each statistic that the updates have, in the order of the page."""
    return [
        (name, label) for name, label in _PLACES if any(getattr(row, name) is not None for row in run.updates)
    ]


def last_numbers(run: RunData) -> dict[str, list[float | int | None]]:
    """First and last value of each statistic, for those who see no charts."""
    first, last = run.updates[0], run.updates[-1]
    pairs = {name: [getattr(first, name), getattr(last, name)] for name, _ in _PLACES}
    return {name: numbers(np.array(pair, np.float64)) for name, pair in pairs.items()}
