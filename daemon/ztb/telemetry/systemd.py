"""The service manager's side of the daemon: ready, status line, watchdog, stopping (sd_notify(3)).

The watchdog is fed by progress, not by a timer: a ping goes out only where the count of the loop's turns has moved
since the last one. An idle market is progress, since the loop turns to find it idle; a loop that is blocked, or a
task that waits for ever while others turn, is none.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping

from ztb.control import Controls
from ztb.ledger.records import Record
from ztb.telemetry.snapshot import AlertFact, DaemonSnapshot

_EVERY_S = 1.0
_PINGS_A_LIMIT = 4  # a ping may come late by three quarters of the limit
_MORE_TIME_USEC = 60_000_000


class Notifier:
    """Datagrams to the service manager's socket; silent where there is none, and where it does not listen.

    The protocol is a line a field in one datagram. The package sdnotify sends the same on a socket that blocks, so a
    full queue of the manager's would stop the trading.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading @ is systemd's way to write Linux's abstract sockets.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = int(environment.get("WATCHDOG_USEC", "0")) / 1e6

    @property
    def wanted(self) -> bool:
        """True if a service manager listens."""
        return bool(self._address)

    def send(self, **fields: str | int) -> None:
        """One message of `fields`, such as READY=1. Never waits, never raises: nothing here may stop the trading."""
        if not self._address:
            return
        text = "\n".join(f"{name}={value}" for name, value in fields.items())
        with socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        ) as door:
            try:
                door.sendto(text.encode(), self._address)
            except OSError:
                return


def status_line(now: DaemonSnapshot) -> str:
    """The line that `systemctl status` shows: state, equity, position, generation."""
    parts = [
        now.because or f"{now.state}: {now.symbol} {now.mode}",
        f"equity {now.equity:,.2f}",
        f"position {now.position:g}",
    ]
    if now.generation is not None:
        parts.append(f"generation {now.generation.serving}")
    return ", ".join(parts)


def is_ready(now: DaemonSnapshot) -> bool:
    """Recovered, reconciled and past a first tick; or halted, which is a place to stay too."""
    return now.state == "halted" or (now.state not in ("starting", "stopping") and now.ticks > 0)


class SystemdObserver:
    """Tells the service manager; see the module. What `progress` returns changes while there is some."""

    name = "systemd"

    def __init__(self, notifier: Notifier, progress: Callable[[], object]) -> None:
        self._notifier = notifier
        self._progress = progress
        self._seen: object = None
        self._said = ""
        self._ready = False

    def record(self, record: Record) -> None:
        """Nothing: the status line is made from snapshots."""

    def alert(self, alert: AlertFact) -> None:
        """Nothing: alerts are in the log."""

    async def run(self, snapshot: Callable[[], DaemonSnapshot], controls: Controls) -> None:
        """Until cancelled, which is when the daemon stops."""
        limit = self._notifier.watchdog_s
        every_s = min(_EVERY_S, limit / _PINGS_A_LIMIT) if limit else _EVERY_S
        try:
            while True:
                self.turn(snapshot())
                await asyncio.sleep(every_s)
        finally:
            self._notifier.send(STOPPING=1, STATUS="stopping")

    def turn(self, now: DaemonSnapshot) -> None:
        """One look at the daemon: what has changed is said, and where there was progress a ping goes out too."""
        if not self._ready and is_ready(now):
            self._ready = True
            self._notifier.send(READY=1)
        if (line := status_line(now)) != self._said:
            self._said = line
            self._notifier.send(STATUS=line)
        if (progress := self._progress()) != self._seen:
            self._seen = progress
            more = {} if self._ready else {"EXTEND_TIMEOUT_USEC": _MORE_TIME_USEC}
            self._notifier.send(WATCHDOG=1, **more)
