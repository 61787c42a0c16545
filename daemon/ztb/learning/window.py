"""The recent past as it arrived: what the policy is rolled out over, and what candidates are judged on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.market.instrument import Instrument
from ztb.market.ticks import Ticks, join_ticks, take_ticks
from ztb.market.view import new_view
from ztb.trading.recording import Recording, Shared, watch

_TICKS_A_DECISION = 64


def most_ticks(capacity: int) -> int:
    """Ticks that a window of `capacity` decisions holds at most: it is shorter where more come."""
    return _TICKS_A_DECISION * capacity


@dataclass(slots=True)
class _Pending:
    """The ticks that arrived since the last piece was cut, and the decisions among them."""

    ticks: list[Ticks] = field(default_factory=list[Ticks])
    count: int = 0
    ends: list[int] = field(default_factory=list[int])
    """Rows up to and including each decision's."""
    features: list[NDArray[np.float32]] = field(default_factory=list[NDArray[np.float32]])
    tainted: list[bool] = field(default_factory=list[bool])


@dataclass(frozen=True, slots=True)
class RolloutStart:
    """The beginning of a window: the number of its first decision, and the market (1,) before its first tick."""

    first: int
    view: NDArray[np.void]
    on_bars: int = 0


class RecentWindow:
    """The last `capacity` decisions with their ticks, forgotten from the oldest end.

    `add` and `decide` follow what happens; `cut` makes the new decisions ready and returns them, and `recording`
    is the whole window, the same bits as one made of all history at once. A hole in what is told ends the window
    (`restart`): what follows begins another.
    """

    def __init__(self, instrument: Instrument, period_ns: int, capacity: int) -> None:
        self.instrument = instrument
        self.period_ns = period_ns
        self.capacity = capacity
        self.most_ticks = most_ticks(capacity)
        self.resume(RolloutStart(0, new_view(instrument)))
        self._begun = False

    def resume(self, start: RolloutStart) -> None:
        """Forget everything; what is told next is decision `start.first` and those that follow it."""
        self._kept: Recording | None = None
        self._start = self._next = replace(start, view=start.view.copy())
        self._pending = _Pending()
        self._begun = True

    @property
    def start(self) -> RolloutStart:
        """The beginning of what is kept: told again from there, the window becomes the same again."""
        return self._start

    def restart(self) -> None:
        """Begin another window: what comes next does not follow on what came last."""
        told = len(self._pending.ends)
        self.resume(replace(self._next, first=self._next.first + told))
        self._begun = False

    def add(self, ticks: Ticks, view: NDArray[np.void]) -> None:
        """Rows (n,) that arrived, copied; `view` (1,) is the market before them, from which a window may begin."""
        pending = self._pending
        if not self._begun:
            self._start = self._next = replace(self._next, view=view.copy(), on_bars=0)
            pending.ticks.clear()
            pending.count = 0
        elif pending.count + len(ticks) > 2 * self.most_ticks:
            self.restart()
            self.add(ticks, view)
            return
        pending.ticks.append(join_ticks([ticks]))
        pending.count += len(ticks)

    def decide(self, features: NDArray[np.float32], tainted: bool) -> None:
        """A decision was made after the last row, on `features` (F,), copied; see `Shared.tainted`."""
        self._begun = True
        pending = self._pending
        pending.ends.append(pending.count)
        pending.features.append(features.copy())
        pending.tainted.append(tainted)

    def has_room(self, rows: int) -> bool:
        """True if so many more rows end no window."""
        return self._begun and self._pending.count + rows <= 2 * self.most_ticks

    def follow(
        self, ticks: Ticks, ends: NDArray[np.int64], features: NDArray[np.float32], tainted: NDArray[np.bool_]
    ) -> None:
        """As `add` and `decide` by turns, where there is room: rows (n,), and decisions after so many of them (K,)."""
        pending = self._pending
        pending.ends += (pending.count + ends).tolist()
        pending.features += list(features.copy())
        pending.tainted += tainted.tolist()
        pending.ticks.append(join_ticks([ticks]))
        pending.count += len(ticks)

    def cut(self) -> Recording | None:
        """The decisions since the last cut, led by the one before them; None where there are none."""
        pending = self._pending
        if not pending.ends:
            return None
        piece, rest = self._ready(pending)
        self._next = _after(self._next, piece)
        self._pending = _Pending([rest], len(rest)) if len(rest) else _Pending()
        if self._kept is None:
            led = self._kept = piece
        else:
            last = self._kept.decisions
            led = join((self._kept.window(last - 1, last), piece))
            self._kept = join((self._kept, piece))
        self._forget(self._kept)
        return led

    def recording(self) -> Recording | None:
        """The window: the last decisions that were cut, as many as fit. None where there are none."""
        return self._kept

    def _ready(self, pending: _Pending) -> tuple[Recording, Ticks]:
        """The pending decisions made ready, and the ticks after the last of them."""
        ticks = join_ticks(pending.ticks)
        end = pending.ends[-1]
        rows = np.array(pending.ends, np.int64) - 1
        start = self._next
        piece = watch(
            ticks=take_ticks(ticks, slice(0, end)),
            instrument=self.instrument,
            period_ns=self.period_ns,
            rows=rows,
            features=np.stack(pending.features),
            view=start.view,
            last_on_bars=start.on_bars,
        )
        piece.shared.tainted[:] |= np.array(pending.tainted)
        return piece, take_ticks(ticks, slice(end, None))

    def _forget(self, kept: Recording) -> None:
        """Let go of the oldest decisions, so that neither they nor their ticks are too many."""
        rows = kept.shared.rows
        fitting = int(np.searchsorted(rows, rows[-1] - self.most_ticks, side="right"))
        dropped = max(fitting, kept.decisions - self.capacity)
        if dropped > 0:
            self._start = _after(self._start, kept.window(0, dropped))
            self._kept = join((kept.window(dropped, kept.decisions),))


def _after(start: RolloutStart, piece: Recording) -> RolloutStart:
    """The beginning of the decisions after `piece`, which began at `start`."""
    shared = piece.shared
    view = start.view.copy()
    view.view(np.uint8)[: shared.markets.shape[1]] = shared.markets[-1]
    return RolloutStart(start.first + piece.decisions, view, int(shared.on_bars[-1]))


def join(recordings: tuple[Recording, ...]) -> Recording:
    """Consecutive recordings of one market as one; ticks before its first decision's row are left out."""
    first, *others = (recording.shared for recording in recordings)
    parts = [_trimmed(first), *others]
    starts = accumulate((len(part.ticks) for part in parts), initial=0)
    width = max(part.markets.shape[1] for part in parts)
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in Shared._fields
        if name not in ("ticks", "rows", "markets")
    }
    rows = np.concatenate([part.rows + start for part, start in zip(parts, starts, strict=False)])
    markets = np.concatenate([_widened(part.markets, width) for part in parts])
    shared = Shared(ticks=join_ticks([part.ticks for part in parts]), rows=rows, markets=markets, **joined)
    return replace(recordings[0], shared=shared)


def _trimmed(shared: Shared) -> Shared:
    """Without the ticks before the first decision's row, which no step goes through, and those after the last's."""
    first, last = int(shared.rows[0]), int(shared.rows[-1])
    return shared._replace(
        ticks=take_ticks(shared.ticks, slice(first, last + 1)), rows=shared.rows - shared.rows[0]
    )


def _widened(markets: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """With an empty book, where the market had none yet."""
    missing = width - markets.shape[1]
    return np.pad(markets, ((0, 0), (0, missing))) if missing else markets
