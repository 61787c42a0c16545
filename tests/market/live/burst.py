"""A recorded burst through a whole paper daemon: a server that plays it, `ztb run --mode paper`, learning on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from market.live.tape_server import read_tape, trades_of
from ztb.errors import ZtbError
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import UpdateRow
from ztb.market.recording import RecordingReader
from ztb.market.ticks import TRADE, join_ticks
from ztb.testing.exchange.local import client_options
from ztb.testing.exchange.venue import Credentials

ROOT = Path(__file__).resolve().parents[3]
_CATCHING_UP_S = 120.0  # for a daemon on a busy machine
SERVER = Path(__file__).with_name("tape_server.py")


@dataclass(frozen=True, slots=True)
class Burst:
    """What came of it: the tape's trades and those recorded, from sending to receiving in ms, the run's summary.

    Of the trades, the last `fast` were sent at full speed.
    """

    sent: list[tuple[float, float, int]]
    received: list[tuple[float, float, int]]
    lag_ms: np.ndarray
    summary: dict[str, Any]
    fast: int


async def play(tape: Path, speed: float, seconds: float, folder: Path) -> Burst:
    """Play the busiest `seconds` of `tape` (0: all) at `speed` to a paper daemon that learns in a process.

    All of it is played as it was recorded until the learner has made its first update, and at `speed` from then on.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "daemon"), str(ROOT / "tests")])}

    async def python(*command: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            sys.executable, *command, stdin=pipe, stdout=pipe, env=environment
        )

    server = await python(str(SERVER), str(tape), str(speed), str(seconds))
    try:
        assert server.stdout is not None and server.stdin is not None
        port = int(await server.stdout.readline())
        options = client_options("127.0.0.1", port, Credentials())
        config = folder / "config.json"
        config.write_text(json.dumps(configuration({key: options[key] for key in ("urls", "options")})))
        run = ("run", "--mode", "paper", "--config", str(config), "--out", str(folder / "run"), "--json")
        daemon = await python("-m", "ztb", *run)
        played = asyncio.ensure_future(server.stdout.readline())
        while seconds == 0.0 and not played.done() and not _updates(folder / "run"):
            await asyncio.wait([played], timeout=0.5)
        server.stdin.write(b"faster\n")
        fast = int(await played)
        sent = trades_of(read_tape(tape, seconds)[0])
        with suppress(TimeoutError):
            async with asyncio.timeout(_CATCHING_UP_S):
                while len(_recorded(folder / "run" / "ticks")[0]) < len(sent):  # noqa: ASYNC110 (nobody tells)
                    await asyncio.sleep(1.0)
        daemon.send_signal(signal.SIGTERM)
        printed, _ = await daemon.communicate()
        assert daemon.returncode == 0, printed
    finally:
        server.kill()
        await server.wait()
    return Burst(sent, *_recorded(folder / "run" / "ticks"), json.loads(printed), fast)


def configuration(client: dict[str, Any]) -> dict[str, Any]:
    """Decisions each 100 ms, an update each eight of them: the learner is never idle."""
    streams = ["trades", "quotes", "depth"]
    return {
        "market": {
            "venue": "binance", "symbol": "BTC/USDT", "client": client, "allowed_hosts": ["127.0.0.1"],
            "streams": streams, "warm_up_s": 0.0,
        },
        "features": {"names": ["rsi_14"]},
        "decision": {"every": "time", "interval_ms": 100},
        "online": {"learner": "process", "update_every_decisions": 8},
        "checkpoint": {"interval_updates": 1},
    }  # fmt: skip


def _updates(folder: Path) -> bool:
    """Whether the run has learnt from anything yet."""
    try:
        reader = JournalReader(folder / "journal.sqlite")
    except ZtbError:
        return False
    found = any(True for _ in reader.rows(UpdateRow))
    reader.close()
    return found


def _recorded(ticks: Path) -> tuple[list[tuple[float, float, int]], np.ndarray]:
    frames = [frame for path in sorted(ticks.iterdir()) for frame in RecordingReader(path).frames()]
    rows, recv_ns = join_ticks([t for t, _ in frames]), np.concatenate([r for _, r in frames])
    mine = rows["kind"] == TRADE
    trades = zip(*(rows[name][mine].tolist() for name in ("price", "size", "side")), strict=True)
    return list(trades), (recv_ns - rows["ts_ns"])[mine] / 1e6
