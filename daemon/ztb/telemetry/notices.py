"""Messages to people about alerts: each cause once, with how often, never many in a short time.

Also here: sends messages through apprise: mail, Telegram, Signal, ntfy, Matrix and a hundred others.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import structlog

from ztb.control import Controls
from ztb.errors import ConfigError
from ztb.ledger.records import Record
from ztb.secrets import Redactor
from ztb.telemetry.conditions import Severity
from ztb.telemetry.snapshot import AlertFact, DaemonSnapshot

SPACING_S: Final = 10.0
"""Between two messages; the first goes at once."""

REPEAT_S: Final = 900.0
"""A cause that was told is not told again for so long, unless it got worse."""

_CAUSES = 200
_TOLD = 1_000
_LINES = 10
_RANK: dict[str, int] = {"info": 0, "warning": 1, "critical": 2}

_logger = structlog.get_logger("ztb.notices")


class NotSent(Exception):
    """A message did not go out."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One message."""

    severity: Severity
    title: str
    body: str


Send: TypeAlias = Callable[[Notice], Awaitable[None]]
"""Raises NotSent."""


@dataclass(slots=True)
class Cause:
    """Alerts of one key that have not been told: the newest text, the worst severity, how many."""

    text: str
    severity: Severity
    count: int = 1

    def add(self, other: Cause) -> None:
        self.text = other.text
        self.count += other.count
        if _RANK[other.severity] > _RANK[self.severity]:
            self.severity = other.severity


class Causes:
    """Causes still to be told. Bounded: of more than 200 causes the rest is counted only."""

    def __init__(self) -> None:
        self._causes: dict[str, Cause] = {}
        self._others = 0
        self._told: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def add(self, key: str, cause: Cause, now_s: float) -> bool:
        """Enter `cause`; whether it is worth a message of its own."""
        known = self._causes.get(key)
        if known is not None:
            known.add(cause)
        elif len(self._causes) < _CAUSES:
            self._causes[key] = cause
        else:
            self._others += cause.count
        told_s, rank = self._told.get(key, (-REPEAT_S, -1))
        return now_s - told_s >= REPEAT_S or _RANK[cause.severity] > rank

    def take(self, now_s: float) -> tuple[dict[str, Cause], int]:
        """All that is to be told, worst first, and how many alerts beyond; from now on they count as told."""
        ordered = sorted(self._causes.items(), key=lambda item: -_RANK[item[1].severity])
        taken, others = dict(ordered), self._others
        self._causes, self._others = {}, 0
        for key, cause in taken.items():
            self._told.pop(key, None)
            self._told[key] = now_s, _RANK[cause.severity]
        while len(self._told) > _TOLD:
            self._told.popitem(last=False)
        return taken, others

    def put_back(self, taken: dict[str, Cause], others: int, now_s: float) -> None:
        """They were not told after all."""
        for key, cause in taken.items():
            self._told.pop(key, None)
            self.add(key, cause, now_s)
        self._others += others


class NoticeObserver:
    """An `Observer`: sends alerts of `lowest` severity and above, one message in ten seconds at most."""

    name = "notices"

    def __init__(self, send: Send, lowest: Severity, redact: Redactor) -> None:
        self._send = send
        self._lowest = _RANK[lowest]
        self._redact = redact
        self._causes = Causes()
        self._due = asyncio.Event()
        self._sent = 0
        self._failed = 0

    def record(self, record: Record) -> None:
        """Rows are nobody's message."""

    def alert(self, alert: AlertFact) -> None:
        """Tell it, unless it is too slight or has just been told."""
        if _RANK[alert.severity] < self._lowest:
            return
        cause = Cause(alert.text, alert.severity)
        if self._causes.add(alert.key, cause, asyncio.get_running_loop().time()):
            self._due.set()

    def gauges(self) -> dict[str, float]:
        """The counts of notices that went out."""
        return {"notices_sent": float(self._sent), "notices_failed": float(self._failed)}

    async def run(self, snapshot: Callable[[], DaemonSnapshot], controls: Controls) -> None:
        """Send what is due until cancelled; what could not be sent is tried again with what came since."""
        while True:
            await self._due.wait()
            self._due.clear()
            await self._tell(snapshot())
            await asyncio.sleep(SPACING_S)

    async def _tell(self, now: DaemonSnapshot) -> None:
        at_s = asyncio.get_running_loop().time()
        taken, others = self._causes.take(at_s)
        try:
            await self._send(self._notice(taken, others, now))
            self._sent += 1
        except NotSent as error:
            self._failed += 1
            self._causes.put_back(taken, others, at_s)
            self._due.set()
            _logger.warning("notice_not_sent", reason=str(error))

    def _notice(self, causes: dict[str, Cause], others: int, now: DaemonSnapshot) -> Notice:
        worst = next(iter(causes.values())).severity
        shown = list(causes.values())[:_LINES]
        total = others + sum(cause.count for cause in causes.values())
        lines = [f"{cause.severity}: {cause.text}" + _times(cause.count) for cause in shown]
        hidden = total - sum(cause.count for cause in shown)
        if hidden:
            lines.append(f"and {hidden} more alerts; see the log")
        reason = f" ({now.because})" if now.because else ""
        lines.append(f"{now.strategy} on {now.symbol} is {now.state}{reason}; equity {now.equity:.2f}")
        title = f"ztb {now.instance}: {shown[0].text if len(causes) == 1 else f'{total} alerts'}"
        return Notice(worst, self._redact(title), self._redact("\n".join(lines)))


def _times(count: int) -> str:
    return f" ({count} times)" if count > 1 else ""


_TYPES = {"info": "info", "warning": "warning", "critical": "failure"}
_TIMEOUT_S = 30.0


def apprise_sender(urls: str) -> Send:
    """Sends to all of `urls`, apprise's own, separated by white space. ConfigError: not installed, or not understood.

    Each message is sent from a thread: no service's slowness is the trading's.
    """
    try:
        apprise: Any = importlib.import_module("apprise")
    except ModuleNotFoundError:
        raise ConfigError("the secret notify_urls needs apprise: pip install 'ztb[notify]'") from None
    logging.getLogger("apprise").setLevel(logging.ERROR)
    services = apprise.Apprise()
    for number, url in enumerate(urls.split(), 1):
        if not services.add(url):
            raise ConfigError(
                f"the secret notify_urls: number {number} is no URL that apprise understands; see `apprise --help`"
            )

    async def send(notice: Notice) -> None:
        work = asyncio.to_thread(
            services.notify, body=notice.body, title=notice.title, notify_type=_TYPES[notice.severity]
        )
        try:
            sent = await asyncio.wait_for(work, _TIMEOUT_S)
        except TimeoutError:
            raise NotSent(f"no answer in {_TIMEOUT_S:.0f} s") from None
        if not sent:
            raise NotSent("a service did not take it")

    return send
