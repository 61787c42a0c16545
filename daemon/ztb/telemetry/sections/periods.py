"""Months, drawdowns, hours and weekdays, as tables and bars."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ztb.telemetry import texts
from ztb.telemetry.markup import Html, columns, join, sort_key, table, text
from ztb.telemetry.periods import Drawdown, by_hour, by_weekday, drawdowns, monthly
from ztb.telemetry.run_data import RunData

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MOST_DRAWDOWNS = 10
_DAY_NS = 86_400 * 10**9
_FULL = 0.1  # a month's return that has the full colour, where none is larger


def months(run: RunData) -> Html:
    """Returns by month as a heat map; nothing before the second decision."""
    marks = run.marks
    if len(marks.ts_ns) < 2:
        return Html("")
    found = monthly(marks.ts_ns, marks.equity)
    most = max(_FULL, *(abs(value) for value in found.values() if math.isfinite(value)))
    years = sorted({year for year, _ in found})
    rows = [
        [
            text(str(year)),
            *(_heat(found.get((year, month)), most) for month in range(1, 13)),
            _year(found, year),
        ]
        for year in years
    ]
    return table(("Year", *_MONTHS, "Year's"), rows, "Returns by month, %", words=1, kind="heat")


def _year(found: dict[tuple[int, int], float], year: int) -> Html:
    whole = math.prod(1.0 + value for (of, _), value in found.items() if of == year) - 1.0
    return Html(f"<b>{text(_percent(whole))}</b>")


def _heat(value: float | None, most: float) -> Html:
    if value is None or not math.isfinite(value):
        return Html("")
    colour = "good" if value > 0 else "bad"
    strength = round(45 * min(1.0, math.sqrt(abs(value) / most)))
    return Html(
        f'<span class="heat" style="--heat:var(--{colour});--of:{strength}%">{text(_percent(value))}</span>'
    )


def _percent(value: float) -> str:
    """Without the sign of per cent, which the caption says."""
    return texts.percent(value, 1).rsplit("\N{NO-BREAK SPACE}", 1)[0]


def drawdown_periods(run: RunData) -> Html:
    """The deepest ones."""
    marks = run.marks
    if len(marks.ts_ns) < 2:
        return Html("")
    found = drawdowns(marks.ts_ns, marks.equity)
    if not found:
        return Html("<p>Equity never was below an earlier one.</p>")
    rows = [_drawdown(one, int(marks.ts_ns[-1])) for one in found[:_MOST_DRAWDOWNS]]
    heads = ("Depth", "From the peak", "Lowest", "Recovered", "Down", "Under water")
    caption = f"The deepest of {len(found):,} drawdowns" if len(found) > len(rows) else "Drawdowns"
    return table(heads, rows, caption, words=0, sorts=True)


def _drawdown(one: Drawdown, end_ns: int) -> list[Html]:
    under = (one.recovered_ns or end_ns) - one.peak_ns
    return [
        text(texts.percent(-one.depth, 2)),
        *(text(texts.stamp(ts)) for ts in (one.peak_ns, one.trough_ns)),
        text(texts.stamp(one.recovered_ns) if one.recovered_ns else "not yet"),
        *(sort_key(span // 10**9, texts.span(span)) for span in (one.trough_ns - one.peak_ns, under)),
    ]


def clock(run: RunData) -> Html:
    """Earnings by hour of the day and by weekday; nothing where the run is shorter than that."""
    marks = run.marks
    if len(marks.ts_ns) < 2:
        return Html("")
    span = int(marks.ts_ns[-1] - marks.ts_ns[0])
    parts: list[Html] = []
    if span >= _DAY_NS:
        hours = by_hour(marks.ts_ns, marks.equity).tolist()
        parts.append(_bars("Hours", "by hour of the day, UTC", [f"{hour:02d}" for hour in range(24)], hours))
    if span >= 7 * _DAY_NS:
        days = by_weekday(marks.ts_ns, marks.equity).tolist()
        parts.append(_bars("Weekdays", "by weekday, UTC", _WEEKDAYS, days))
    return Html(f'<div class="pair even">{join(parts)}</div>') if parts else Html("")


def _bars(title: str, of: str, names: Sequence[str], values: Sequence[float]) -> Html:
    said = [texts.percent(value, 2) for value in values]
    best, worst = (values.index(extreme) for extreme in (max(values), min(values)))
    most = f"best {names[best]}, {said[best]}; worst {names[worst]}, {said[worst]}"
    return Html(
        f"<figure><figcaption><h3>{text(title)}</h3><p>Sum of returns {text(of)}: {text(most)}.</p></figcaption>"
        f"{columns(names, values, said)}</figure>"
    )
