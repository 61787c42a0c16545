"""A daemon in a process of its own, trading on `ztb exchange` over real sockets, killed when a test likes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import ccxt

from chaos.stage import SECRETS, arm
from runtime.daemons import environment
from ztb.commands.control import ask
from ztb.config import load_config
from ztb.control import Answer, Command, Halt, Status
from ztb.errors import ZtbError

CHILD = Path(__file__).with_name("child.py")
_PATIENCE_S = 60.0
_COMPILING_S = 300.0


@contextmanager
def venue_process(seed: int) -> Iterator[dict[str, Any]]:
    """`ztb exchange`; gives the options that its clients need."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ztb", "exchange", "--port", "0", "--seed", str(seed), "--json"],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate(timeout=_PATIENCE_S)


def inject(options: dict[str, Any], **fault: Any) -> None:
    """Arm a fault at the venue."""
    url = options["urls"]["api"]["public"].split("/api")[0] + "/control/faults"
    with urlopen(Request(url, json.dumps(fault).encode(), method="POST")) as answer:
        assert answer.status == 200


def until(condition: Callable[[], bool], what: str, seconds: float = _PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


class Nursery:
    """Makes processes that have already done a daemon's imports; see `child.py`."""

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, str(CHILD)], env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )  # fmt: skip
        self._turn = threading.Lock()

    def run(self, arguments: list[str], log: Path) -> int:
        """`ztb` with `arguments`; the process that runs it."""
        return self._ask(run=arguments, environment=SECRETS, log=str(log))

    def wait(self, process: int) -> int:
        """Wait for the end of a process; its exit status, that of a signal negative."""
        return self._ask(wait=process)

    def close(self) -> None:
        self._parent.communicate()

    def _ask(self, **asked: Any) -> int:
        assert self._parent.stdin is not None and self._parent.stdout is not None
        with self._turn:
            self._parent.stdin.write(json.dumps(asked) + "\n")
            self._parent.stdin.flush()
            return int(self._parent.stdout.readline())


class Trader:
    """Daemons on one folder, one after the other."""

    def __init__(self, folder: Path, options: dict[str, Any], nursery: Nursery, **risk: float) -> None:
        self.folder = folder
        self.client = ccxt.binance(options)
        self.file = folder.with_suffix(".json")
        self.file.write_text(json.dumps(_settings(options, risk)))
        folder.mkdir()
        arm(folder, load_config(self.file, {}, {}).config, time.time_ns())
        self._nursery = nursery
        self._process = 0
        self._started_s = 0.0

    def start(self) -> None:
        """A process that has done its imports begins."""
        (self.folder / "control.sock").unlink(missing_ok=True)
        run = ["run", "--mode", "live", "--config", str(self.file), "--out", str(self.folder)]
        self._process = self._nursery.run(run, self.folder / "log")
        self._started_s = time.monotonic()

    def kill(self) -> None:
        """SIGKILL."""
        os.kill(self._process, signal.SIGKILL)
        assert self._nursery.wait(self._process) == -signal.SIGKILL, (self.folder / "log").read_text()
        self._process = 0

    def leave(self) -> None:
        """Nothing of ours goes on, whatever happened."""
        if self._process:
            os.kill(self._process, signal.SIGKILL)
            self._nursery.wait(self._process)

    def end(self) -> dict[str, Any]:
        """SIGTERM; the summary."""
        os.kill(self._process, signal.SIGTERM)
        assert self._nursery.wait(self._process) == 0, (self.folder / "log").read_text()
        self._process = 0
        summary: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return summary

    def ask(self, command: Command) -> Answer | None:
        """The daemon's answer; None while none listens."""
        try:
            return ask(self.folder, command)
        except ZtbError:
            return None

    def status(self) -> dict[str, Any]:
        answer = self.ask(Status())
        return {} if answer is None else answer.detail

    def ready_s(self) -> float:
        """Wait until the daemon trades; seconds since its imports.

        Where others keep the processors busy, what it used of them itself: their waiting is not ours.
        """
        until(lambda: self.status().get("state") in ("trading", "halted"), "ready", _COMPILING_S)
        waited_s = time.monotonic() - self._started_s
        return self._cpu_s() if os.getloadavg()[0] > (os.cpu_count() or 1) else waited_s

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self._process}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def halt(self) -> None:
        """Halt, and wait until no order is open, ours or the venue's."""
        until(lambda: (answer := self.ask(Halt("a look"))) is not None and answer.ok, "halted")
        until(lambda: self.status().get("open_orders") == [], "no open orders")


def _settings(options: dict[str, Any], risk: dict[str, float]) -> dict[str, Any]:
    """A decision each fifth of a second, on random targets."""
    return {
        "strategy": {"name": "random_walk"},
        "online": {"learner": "off"},
        "decision": {"every": "time", "interval_ms": 200},
        "risk": {"max_orders_per_minute": 1000, "max_orders_per_day": 100_000, "max_repeated_side": 100_000, **risk},
        "execution": {"reconcile_every_s": 2.0},
        "market": {
            "venue": "binance", "symbol": "BTC/USDT", "allowed_hosts": ["127.0.0.1"], "record": False,
            "warm_up_s": 60.0, "client": {"urls": options["urls"], "options": options["options"]},
        },
    }  # fmt: skip
