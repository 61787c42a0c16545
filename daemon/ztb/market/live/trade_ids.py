"""Trade ids: which trades are new, and whether some are missing between two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ztb.market.live.messages import Trade

_WINDOW = 131_072
_FALSE_ALARMS = 3


class TradeIds:
    """Ids of the trades seen so far, the latest `_WINDOW` of them.

    Where ids are whole numbers that rise by one, a jump says how many trades are missing. Venues whose ids jump by
    themselves are found out: after three jumps that hid nothing, jumps are no longer believed.
    """

    def __init__(self) -> None:
        self.highest: int | None = None
        self._seen: dict[str, None] = {}
        self._numbered = True
        self._false_alarms = 0

    def unseen(self, trades: Iterable[Trade]) -> list[Trade]:
        """The trades not seen before, in order, each once. One without an id is always new."""
        fresh: dict[object, Trade] = {}
        for trade in trades:
            key = trade.id
            if key is None or key not in self._seen:
                fresh.setdefault(key if key is not None else id(trade), trade)
        return list(fresh.values())

    def see(self, trades: Iterable[Trade]) -> None:
        """Remember `trades`."""
        for trade in trades:
            key = trade.id
            if key is not None:
                self._see(key)
        while len(self._seen) > _WINDOW:
            del self._seen[next(iter(self._seen))]

    def jump(self, trades: Sequence[Trade]) -> int:
        """Index of the first trade before which ids are missing, `len(trades)` if none is."""
        before = self.highest
        if before is None or not self.believed:
            return len(trades)
        for i, trade in enumerate(trades):
            number = id_number(trade)
            if number is not None and number > before + 1:
                return i
            before = before if number is None else max(before, number)
        return len(trades)

    def missing_before(self, trade: Trade) -> int:
        """The number of ids between the highest seen and that of `trade`, 0 if ids do not tell."""
        number = id_number(trade)
        if number is None or self.highest is None or not self.believed:
            return 0
        return max(0, number - self.highest - 1)

    def knows_any(self, trades: Iterable[Trade]) -> bool:
        """True if any of `trades` was seen."""
        return any(trade.id in self._seen for trade in trades)

    def hid_nothing(self) -> None:
        """A jump was looked into, and no trade was missing."""
        self._false_alarms += 1

    @property
    def believed(self) -> bool:
        """True if a jump means that trades are missing."""
        return self._numbered and self._false_alarms < _FALSE_ALARMS

    def _see(self, key: str) -> None:
        self._seen[key] = None
        if not key.isdecimal():
            self._numbered = False
        elif self.highest is None or int(key) > self.highest:
            self.highest = int(key)


def id_number(trade: Trade) -> int | None:
    """The trade's id where it is a whole number."""
    key = trade.id
    return int(key) if key is not None and key.isdecimal() else None
