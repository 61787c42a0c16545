"""A daemon in a process of its own, trading on `ztb exchange` over real sockets, killed when a test likes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
        process.communicate(timeout=10)


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


class Trader:
    """Daemons on one folder, one after the other."""

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self.folder = folder
        self.client = ccxt.binance(options)
        self.file = folder.with_suffix(".json")
        self.file.write_text(json.dumps(_settings(options)))
        folder.mkdir()
        arm(folder, load_config(self.file, {}, {}).config, time.time_ns())
        self.process: subprocess.Popen[str] | None = None
        self.imported_s = self.imported_cpu_s = 0.0

    def start(self) -> None:
        """Returns when the imports are done."""
        (self.folder / "control.sock").unlink(missing_ok=True)
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(CHILD), "run", "--mode", "live", "--config", str(self.file), "--out",
                 str(self.folder), "--json"],
                env=environment(**SECRETS), stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "imported\n", (self.folder / "log").read_text()
        self.imported_s, self.imported_cpu_s = time.monotonic(), self._cpu_s()

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None and self.process.poll() is None, (self.folder / "log").read_text()
        self.process.kill()
        self.process.communicate()

    def leave(self) -> None:
        """Nothing of ours goes on, whatever happened."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def end(self) -> dict[str, Any]:
        """SIGTERM; the summary."""
        assert self.process is not None
        self.process.terminate()
        out, _ = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, (self.folder / "log").read_text()
        summary: dict[str, Any] = json.loads(out)
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
        until(lambda: self.status().get("state") in ("trading", "halted"), "ready")
        waited_s, used_s = time.monotonic() - self.imported_s, self._cpu_s() - self.imported_cpu_s
        return used_s if os.getloadavg()[0] > (os.cpu_count() or 1) else waited_s

    def _cpu_s(self) -> float:
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def halt(self) -> None:
        """Halt, and wait until no order is open, ours or the venue's."""
        until(lambda: (answer := self.ask(Halt("a look"))) is not None and answer.ok, "halted")
        until(lambda: self.status().get("open_orders") == [], "no open orders")


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    """A decision each fifth of a second, on random targets."""
    return {
        "strategy": {"name": "random_walk"},
        "online": {"learner": "off"},
        "decision": {"every": "time", "interval_ms": 200},
        "risk": {"max_orders_per_minute": 1000, "max_orders_per_day": 100_000, "max_repeated_side": 100_000},
        "execution": {"reconcile_every_s": 2.0},
        "market": {
            "venue": "binance", "symbol": "BTC/USDT", "allowed_hosts": ["127.0.0.1"], "record": False,
            "warm_up_s": 60.0, "client": {"urls": options["urls"], "options": options["options"]},
        },
    }  # fmt: skip
