"""ccxt's own tests, as its wheel ships them, pass against the local exchange."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import ccxt
import ccxt.pro
import pytest

from ztb.testing import LocalExchange

SITE = Path(ccxt.__file__).parent
RUNNER = Path(__file__).parent / "ccxt_suite.py"
ROOT = Path(__file__).resolve().parents[3]

BROKEN_AS_SHIPPED = {
    "createOrder": "adds a float to a string in Python (TypeError before it gets to its order)",
    "fetchMarginModes": "asks for a spot symbol what the client refuses for spot symbols",
}
NOT_SPOT = {
    "fetchLeverageTiers": "asks the futures API",
    "fetchBorrowInterest": "asks the margin API",
    "watchPosition": "futures have positions",
    "watchPositions": "futures have positions",
}
LEFT_OUT = BROKEN_AS_SHIPPED | NOT_SPOT
PROPERTIES_LEFT_OUT = {"orderBook": {"timestamp": "depth of spot carries no time"}}

REST_PUBLIC = {
    "fetchTicker", "fetchTickers", "fetchLastPrices", "fetchOHLCV", "fetchTrades", "fetchOrderBook",
    "fetchStatus", "features", "loadMarkets", "fetchCurrencies", "afterConstruct",
}  # fmt: skip
REST_PRIVATE = {
    "fetchBalance", "fetchTradingFees", "fetchOrders", "fetchOpenOrders", "fetchClosedOrders", "fetchMyTrades",
    "fetchDeposits", "fetchWithdrawals", "fetchTransfers",
}  # fmt: skip
WS_PUBLIC = {
    "watchOHLCV", "watchOHLCVForSymbols", "watchTicker", "watchTickers", "watchBidsAsks", "watchOrderBook",
    "watchOrderBookForSymbols", "watchTrades", "watchTradesForSymbols",
}  # fmt: skip
WS_PRIVATE = {"watchBalance", "watchMyTrades", "watchOrders"}


def copy_tests(root: Path, options: dict[str, object]) -> None:
    """ccxt under `root`: its tests copied, everything else linked to; keys and skips where its tests look."""
    package = root / "python" / "ccxt"
    (package / "pro").mkdir(parents=True)
    for folder, source in ((package, SITE), (package / "pro", SITE / "pro")):
        for child in source.iterdir():
            if child.name not in ("test", "pro", "__pycache__"):
                (folder / child.name).symlink_to(child)
        shutil.copytree(source / "test", folder / "test", ignore=shutil.ignore_patterns("__pycache__"))
    only_spot = {"swap": False, "future": False, "option": False}
    settings = {"binance": {**options, "has": only_spot}}
    (root / "keys.json").write_text(json.dumps(settings))
    skips = {"binance": {"skipMethods": {**LEFT_OUT, **PROPERTIES_LEFT_OUT}}}
    (root / "skip-tests.json").write_text(json.dumps(skips))


async def run_suite(root: Path, arguments: list[str]) -> str:
    """What the suite printed."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "daemon"), "HOME": str(root)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(RUNNER), str(root), "binance", "--info", *arguments,
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-4_000:]
    return output.decode()


async def trade_now_and_then(exchange: LocalExchange) -> None:
    """Something for the user stream to tell of."""
    client = ccxt.pro.binance(exchange.ccxt_options())
    try:
        while True:
            for side in ("buy", "sell"):
                await client.create_order("BTC/USDT", "market", side, 0.001)
                await asyncio.sleep(0.3)
    finally:
        await client.close()


async def passed(tmp_path: Path, arguments: list[str]) -> set[str]:
    """Names of the tests that ran and passed; fails where one failed or warned."""
    async with LocalExchange(seed=3) as exchange:
        copy_tests(tmp_path, exchange.ccxt_options())
        async with asyncio.TaskGroup() as group:
            trader = group.create_task(trade_now_and_then(exchange))
            output = await run_suite(tmp_path, arguments)
            trader.cancel()
    trouble = [line for line in output.splitlines() if "TEST_FAILURE" in line or "TEST_WARNING" in line]
    assert not trouble, "\n".join(trouble)
    return {line.split()[4] for line in output.splitlines() if "TESTING DONE" in line}


async def test_ccxts_own_public_tests_pass_over_rest(tmp_path: Path) -> None:
    assert await passed(tmp_path, []) >= REST_PUBLIC


@pytest.mark.proof
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--sync", "--private"], REST_PUBLIC | REST_PRIVATE),
        (["--private"], REST_PUBLIC | REST_PRIVATE),
        (["--ws"], WS_PUBLIC),
        (["--ws", "--privateOnly"], WS_PRIVATE),
    ],
    ids=["rest-synchronous", "rest-asynchronous", "websocket-public", "websocket-private"],
)
async def test_ccxts_own_tests_pass(tmp_path: Path, arguments: list[str], expected: set[str]) -> None:
    assert await passed(tmp_path, arguments) >= expected
