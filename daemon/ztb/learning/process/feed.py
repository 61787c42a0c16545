"""Ticks and decisions from the trading process to the learner's window: two rings, one of rows, one of moments.

A moment is a decision: which rows came since the one before, what was seen. Its ticks stay in their ring until
the learner's state says that its window begins later, so that a learner that takes over tells its window the
same again. Where there is no room nobody waits: the decision and its ticks are dropped and counted, and the next
that fits begins a new window, with the market before it in front of its ticks.

Also here: numbers that come in order, as spans of consecutive ones: how a hole is journaled in few words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ztb.errors import InvariantError
from ztb.learning.process.memory import Bytes, Carver
from ztb.learning.process.ring import STAMP, Ring
from ztb.learning.window import RecentWindow, most_ticks
from ztb.market.ticks import TICK, Ticks, plain_ticks
from ztb.market.view import VIEW


class FeedSpans:
    """Spans [first, last] since they were taken last."""

    def __init__(self) -> None:
        self._spans: list[list[int]] = []

    def add(self, number: int) -> None:
        """One more, beyond all before."""
        if self._spans and self._spans[-1][1] == number - 1:
            self._spans[-1][1] = number
        else:
            self._spans.append([number, number])

    def take(self) -> list[list[int]]:
        """Those since the last call."""
        taken, self._spans = self._spans, []
        return taken


def numbers(spans: Iterable[Iterable[int]]) -> Iterator[int]:
    """Every number in `spans`."""
    for first, last in spans:
        yield from range(first, last + 1)


_ROW = TICK.itemsize
_VIEW_ROWS = -(-VIEW.itemsize // _ROW)


def moment_dtype(features: int) -> np.dtype[Any]:
    """A decision: the rows [first, last) that came since the one before, after `begins` ones that hold a market."""
    numbers = [(name, "<i8") for name in ("decision", "first", "last", "begins", "tainted")]
    return np.dtype([*STAMP, *numbers, ("digest", "<u8"), ("features", "<f4", (features,))])


@dataclass(frozen=True, slots=True)
class FeedSize:
    """Room for twice a window of `capacity` decisions on `features` features, of which `piece` come at a time."""

    capacity: int
    features: int
    piece: int

    @property
    def moments(self) -> int:
        return 2 * (self.capacity + self.piece)

    @property
    def rows(self) -> int:
        return 2 * most_ticks(self.capacity)

    @property
    def nbytes(self) -> int:
        return self.moments * moment_dtype(self.features).itemsize + self.rows * _ROW


class SharedFeed:
    """The rings where `carver` puts them; each process uses one end. `tail`: rows before it are done with."""

    def __init__(self, carver: Carver, size: FeedSize) -> None:
        self.size = size
        self.moments = Ring(carver, moment_dtype(size.features), size.moments)
        self._tail = carver.word()
        self._rows = carver.part(size.rows * _ROW).reshape(size.rows, _ROW)

    @property
    def tail(self) -> int:
        return int(self._tail[0])

    def commit(self, moment: int, row: int) -> None:
        """Give back the places of all moments before number `moment`, and of all rows before number `row`."""
        self.moments.commit(moment)
        self._tail[0] = row

    def write(self, first: int, rows: Bytes) -> None:
        """Put `rows` (n, ROW) where rows from number `first` on belong."""
        start = first % self.size.rows
        before_end = self.size.rows - start
        self._rows[start : start + len(rows)] = rows[:before_end]
        self._rows[: max(0, len(rows) - before_end)] = rows[before_end:]

    def read(self, first: int, last: int) -> Bytes:
        """Copies of rows [first, last), (n, ROW)."""
        places = np.arange(first, last) % self.size.rows
        return self._rows[places]


class FeedWriter:
    """The trading process's end; see the module. `dropped`: decisions that the learner's window never hears of, of
    which `unheard` have not been told yet; `rows`: that were to be told.
    """

    def __init__(self, feed: SharedFeed) -> None:
        self.dropped = 0
        self.unheard = FeedSpans()
        self.rows = 0
        self._feed = feed
        self._moment = feed.moments.record()
        self._first = self._next = feed.tail
        self._begins = 0
        self._whole = False  # whether all rows since the decision before have found room
        self._follows = False  # whether they follow on a decision that has
        self._digest = xxhash.xxh3_64()

    def ticks(self, ticks: Ticks, view: NDArray[np.void]) -> None:
        """Rows (n,) that arrived, after the market `view` (1,)."""
        self.rows += len(ticks)
        if not self._follows:
            self._begin(view)
        if self._whole:
            self._whole = self._append(plain_ticks(ticks).view(np.uint8).reshape(-1, _ROW))

    def decided(self, decision: int, features: NDArray[np.float32], tainted: bool) -> None:
        """Decision number `decision` was made after the last of the rows, on `features` (F,)."""
        moment = self._moment
        moment["decision"], moment["tainted"] = decision, tainted
        moment["first"], moment["last"], moment["begins"] = self._first, self._next, self._begins
        moment["digest"] = self._digest.intdigest()
        moment["features"] = features
        self._follows = self._whole and self._feed.moments.push(moment)
        if not self._follows:
            self.dropped += 1
            self.unheard.add(decision)
        else:
            self._first, self._begins = self._next, 0
            self._digest.reset()

    def skip(self) -> None:
        """No learner is running: drop what it has not told its window, and begin anew."""
        self._feed.commit(self._feed.moments.head, self._first)
        self._follows = False

    def _begin(self, view: NDArray[np.void]) -> None:
        """Start over from where the last decision told ended, with the market in front."""
        self._next = self._first
        self._digest.reset()
        rows = np.zeros(_VIEW_ROWS * _ROW, np.uint8)
        rows[: VIEW.itemsize] = view.view(np.uint8)
        self._begins = _VIEW_ROWS
        self._whole = self._append(rows.reshape(-1, _ROW))

    def _append(self, rows: Bytes) -> bool:
        """True if `rows` found room."""
        if self._next + len(rows) - self._feed.tail > self._feed.size.rows:
            return False
        self._feed.write(self._next, rows)
        self._digest.update(rows.tobytes())
        self._next += len(rows)
        return True


class FeedReader:
    """The learner's end: tells `window` what it hears, from decision number `window.start.first` on."""

    def __init__(self, feed: SharedFeed, window: RecentWindow) -> None:
        self.window = window
        self.told: int | None = None
        """Number of the last decision that the window was told of."""
        self._feed = feed
        self._rows: dict[int, int] = {}  # where each moment's begin
        self._ahead: np.void | None = None
        feed.moments.cursor = window.start.first

    def follow(self, decision: int) -> None:
        """Tell the window everything up to `decision`."""
        while (moment := self._peek()) is not None and moment["decision"] <= decision:
            self._tell(moment)
            self._ahead = None

    def forget(self) -> None:
        """Give back the places of what came before the window."""
        first = self.window.start.first
        if first in self._rows:
            self._feed.commit(first, self._rows[first])
            self._rows = {number: row for number, row in self._rows.items() if number >= first}

    def _peek(self) -> np.void | None:
        if self._ahead is None:
            number = self._feed.moments.cursor
            record = self._feed.moments.read()
            if record is not None:
                self._ahead = record[0]
                self._rows[number] = int(record["first"][0])
                self.forget()  # at the first: one that has died may not have come to it
        return self._ahead

    def _tell(self, moment: np.void) -> None:
        first, last, begins = int(moment["first"]), int(moment["last"]), int(moment["begins"])
        rows = self._feed.read(first, last)
        if xxhash.xxh3_64_intdigest(rows.tobytes()) != moment["digest"]:
            raise InvariantError("ticks in shared memory are damaged")
        if begins:
            self.window.restart()
        view = rows[:begins].reshape(-1)[: VIEW.itemsize].view(VIEW) if begins else self.window.start.view
        self.window.add(rows[begins:].reshape(-1).view(TICK), view)
        self.window.decide(moment["features"], bool(moment["tainted"]))
        self.told = int(moment["decision"])
