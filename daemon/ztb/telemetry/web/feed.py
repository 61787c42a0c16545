"""The data that the page draws: the whole time since the start, in bounded memory."""

from __future__ import annotations

import json
from collections import deque
from typing import Any, TypeAlias

from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import FillRow, GenerationRow, MarkRow, Record, UpdateRow
from ztb.secrets import Redactor
from ztb.telemetry.snapshot import AlertFact, DaemonSnapshot

Row: TypeAlias = tuple[Any, ...]

_POINTS = 2_000
_FILLS = 500
_GENERATIONS = 200
_ALERTS = 100
_RECENT = 1_000

_RECALLED = _POINTS // 2
_SPREAD = "{column} % (1 + (SELECT max({column}) - 1 FROM {table}) / ?) = 0"
_NEWEST = "seq IN (SELECT seq FROM {table} ORDER BY seq DESC LIMIT ?)"


class Thinned:
    """A series of at most `capacity` rows over all time, each with its place on the axis in front, and the newest.

    When it is full, the least distance between two rows grows: a year of rows an hour apart and a day of rows a second
    apart both stay in view, as even as an axis shows them.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._distance = 0.0
        self._kept: list[Row] = []
        self._newest: Row | None = None

    def append(self, row: Row) -> None:
        """Enter `row`, which lies behind all others, or leave it out if it is too near to the last."""
        self._newest = row
        self._keep(row)
        if len(self._kept) >= self._capacity:
            kept = self._kept
            self._distance = 2.0 * (kept[-1][0] - kept[0][0]) / self._capacity
            self._kept = []
            for row in kept:
                self._keep(row)

    def _keep(self, row: Row) -> None:
        if not self._kept or row[0] - self._kept[-1][0] >= self._distance:
            self._kept.append(row)

    def rows(self) -> list[Row]:
        """The rows that are kept, and the newest in any case."""
        newest = self._newest
        return self._kept if newest is None or self._kept[-1] is newest else [*self._kept, newest]


class PageFeed:
    """History for a page that opens, and news for one that is open.

    Rows: marks (s, mid, equity, hold, frozen, position), fills (s, price, side, quantity), updates (number, entropy,
    KL, value loss, explained variance), generations (number, s, event, reason), alerts (s, severity, text). Times are
    seconds since 1970. News beyond the newest 1,000 are dropped: a page so far behind gets the history again.
    Texts are redacted as they come in: history is long, and made anew for each page.
    """

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact
        self._marks = Thinned(_POINTS)
        self._updates = Thinned(_POINTS)
        self._fills: deque[Row] = deque(maxlen=_FILLS)
        self._generations: deque[Row] = deque(maxlen=_GENERATIONS)
        self._alerts: deque[Row] = deque(maxlen=_ALERTS)
        self._news: deque[tuple[str, Row]] = deque(maxlen=_RECENT)
        self._marked_ns = 0
        self.count = 0

    def recall(self, journal: JournalReader) -> None:
        """Begin with what earlier starts journaled, evenly spread; alerts are in the log alone."""
        for mark in journal.rows(
            MarkRow, _SPREAD.format(column="decision", table=MarkRow.table), (_RECALLED,)
        ):
            self._mark(mark.ts_ns, mark)
        for update in journal.rows(
            UpdateRow, _SPREAD.format(column="number", table=UpdateRow.table), (_RECALLED,)
        ):
            self.record(update)
        for kind, most in ((FillRow, _FILLS), (GenerationRow, _GENERATIONS)):
            for row in journal.rows(kind, _NEWEST.format(table=kind.table), (most,)):
                self.record(row)

    def record(self, record: Record) -> None:
        """A row was journaled."""
        row: Row
        match record:
            case FillRow(ts_ns=ts_ns, price=price, side=side, quantity=quantity):
                row = (ts_ns / 1e9, float(price), side, float(quantity))
                self._fills.append(row)
                self._tell("fills", row)
            case UpdateRow() as update:
                row = (
                    update.number,
                    update.entropy,
                    update.approx_kl,
                    update.value_loss,
                    update.explained_variance,
                )
                self._updates.append(row)
                self._tell("updates", row)
            case GenerationRow(generation=generation, ts_ns=ts_ns, event=event, detail=detail):
                row = (generation, ts_ns / 1e9, event, self._redact(_reason(detail)))
                self._generations.append(row)
                self._tell("generations", row)
            case _:
                pass

    def alert(self, alert: AlertFact) -> None:
        """Something an operator should know."""
        row = (alert.ts_ns / 1e9, alert.severity, self._redact(alert.text))
        self._alerts.append(row)
        self._tell("alerts", row)

    def sample(self, now: DaemonSnapshot) -> None:
        """Draw the state of now, unless nothing has happened since the last, or warming up is all that has."""
        if now.decisions and now.last_tick_ns is not None and now.mid is not None:
            self._mark(now.last_tick_ns, now)

    def history(self) -> dict[str, list[Row]]:
        """All there is to draw."""
        return {
            "marks": self._marks.rows(),
            "fills": list(self._fills),
            "updates": self._updates.rows(),
            "generations": list(self._generations),
            "alerts": list(self._alerts),
        }

    def since(self, count: int) -> dict[str, list[Row]] | None:
        """The rows after the first `count`; None if they have been dropped."""
        missing = self.count - count
        if missing > len(self._news):
            return None
        news: dict[str, list[Row]] = {}
        for kind, row in list(self._news)[len(self._news) - missing :]:
            news.setdefault(kind, []).append(row)
        return news

    def _mark(self, at_ns: int, now: MarkRow | DaemonSnapshot) -> None:
        if at_ns > self._marked_ns:
            self._marked_ns = at_ns
            row = (at_ns / 1e9, now.mid, now.equity, now.hold_equity, now.frozen_equity, now.position)
            self._marks.append(row)
            self._tell("marks", row)

    def _tell(self, kind: str, row: Row) -> None:
        self._news.append((kind, row))
        self.count += 1


def _reason(detail: str) -> str:
    found: Any = json.loads(detail)
    return str(found.get("reason", "")) if isinstance(found, dict) else ""
