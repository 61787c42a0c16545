"""Request weights and order counts, and what happens to those who pass the limits."""

from __future__ import annotations

from dataclasses import dataclass, field

from ztb.testing.exchange.api.wire import RATE_LIMITS
from ztb.testing.exchange.orders import Refusal

_SECONDS = {"SECOND": 1, "MINUTE": 60, "DAY": 86_400}
_TOLERATED = 10
_BAN_MS = 120_000


@dataclass(slots=True)
class Limits:
    """Counters of the running intervals. Ten requests beyond a limit end in a ban of two minutes (418)."""

    used: dict[tuple[str, int], tuple[int, int]] = field(
        default_factory=dict[tuple[str, int], tuple[int, int]]
    )
    beyond: int = 0
    banned_until_ms: int = 0

    def spend(self, kind: str, amount: int, now_ms: int) -> None:
        """Count `amount` of `kind`; Refusal with 429 beyond the limit, with 418 while banned."""
        self._check_ban(now_ms)
        for name, interval, number, limit in RATE_LIMITS:
            if name == kind:
                self._count(
                    kind=name, seconds=number * _SECONDS[interval], limit=limit, amount=amount, now_ms=now_ms
                )

    def headers(self) -> dict[str, str]:
        """The headers in which answers tell the running intervals."""
        weight = self.used.get(("REQUEST_WEIGHT", 60), (0, 0))[1]
        short, day = (self.used.get(("ORDERS", s), (0, 0))[1] for s in (10, 86_400))
        orders = {"X-MBX-ORDER-COUNT-10S": str(short), "X-MBX-ORDER-COUNT-1D": str(day)} if day else {}
        return {"X-MBX-USED-WEIGHT": str(weight), "X-MBX-USED-WEIGHT-1M": str(weight)} | orders

    def as_rows(self) -> list[dict[str, object]]:
        """The same for the websocket API."""
        return [
            {
                "rateLimitType": kind,
                "interval": interval,
                "intervalNum": number,
                "limit": limit,
                "count": self.used.get((kind, number * _SECONDS[interval]), (0, 0))[1],
            }
            for kind, interval, number, limit in RATE_LIMITS
        ]

    def _count(self, kind: str, seconds: int, limit: int, amount: int, now_ms: int) -> None:
        interval = now_ms // (1_000 * seconds)
        begun, used = self.used.get((kind, seconds), (interval, 0))
        used = amount if begun != interval else used + amount
        self.used[kind, seconds] = (interval, used)
        if used > limit:
            self.beyond += 1
            left_s = seconds - now_ms // 1_000 % seconds
            raise Refusal(-1003 if kind == "REQUEST_WEIGHT" else -1015, _message(kind, limit), 429, left_s)

    def _check_ban(self, now_ms: int) -> None:
        if self.beyond > _TOLERATED:
            self.beyond = 0
            self.banned_until_ms = now_ms + _BAN_MS
        if now_ms < self.banned_until_ms:
            left_s = -(-(self.banned_until_ms - now_ms) // 1_000)
            text = f"Way too much request weight used; IP banned until {self.banned_until_ms}."
            raise Refusal(-1003, text, 418, left_s)


def _message(kind: str, limit: int) -> str:
    if kind == "ORDERS":
        return f"Too many new orders; current limit is {limit} orders per interval."
    return f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE."
