"""From tick to order: how long after a websocket frame's arrival the order leaves that it led to, and where it was.

`PYTHONPATH=daemon:tests python tests/benchmarks/bench_latency.py [--orders 60] [--rounds 3]`.

A live daemon with its default features, policy and learner trades on a `ztb exchange` in a process of its own, over
real sockets. The policy trades the account itself, so that there are orders. Clocks are read where ccxt is handed a
frame, where it hands on what was in it, where the engine begins with the block, where the lane submits, where ccxt is
called, and where it calls aiohttp. A block counts from the arrival of its first frame; waiting for more to fill it
(`market.flush_ms`) is in. Rounds alternate between the product and itself with ccxt's own throttle: compare ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

import aiohttp
import ccxt.pro
import numpy as np
from ccxt.async_support.base.throttler import Throttler
from ccxt.async_support.base.ws.client import Client

from runtime.made_policy import made_policy
from runtime.venue.live_runs import ExchangeProcess, instrument_at, make_live, trading, write_config
from ztb.market.live.intake import Intake
from ztb.market.live.source import ChannelRunner
from ztb.runtime.build.assembly import Assembly
from ztb.runtime.engine import Engine
from ztb.runtime.modes import live
from ztb.runtime.venue.broker import VenueBroker

_LEGS = (
    "ccxt: frame to message", "rows, and the block", "features, policy, gate", "intent on disk",
    "ccxt: order to request",
)  # fmt: skip
_CCXTS = [0, 4]
_PATIENCE_S = 300.0


class Stopwatch:
    """`orders`: of each order the six moments between which the legs lie, seconds."""

    def __init__(self) -> None:
        self.orders: list[tuple[float, ...]] = []
        self._frames: dict[int, float] = {}
        self._clients: dict[int, Any] = {}
        self._heard = (0.0, 0.0)
        self._arrived: list[tuple[float, float]] = []
        self._blocks: deque[tuple[float, float]] = deque()
        self._block: tuple[float, ...] = ()
        self._order: tuple[float, ...] = ()
        self._called = 0.0

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Clocks are read while it lasts; one order works at a time, so that moments are of the same one."""
        hooks = (
            (Client, "handle_message", self._frame), (ChannelRunner, "_serve", self._serve), (ChannelRunner, "_next", self._message), (Intake, "put", self._put),
            (Intake, "take", self._take), (Engine, "consume", self._consume), (VenueBroker, "submit", self._submit),
            (ccxt.pro.binance, "create_order", self._call), (aiohttp.ClientSession, "_request", self._leave),
        )  # fmt: skip
        with ExitStack() as stack:
            for owner, name, hook in hooks:
                stack.enter_context(patch.object(owner, name, hook(getattr(owner, name))))
            yield

    def _frame(self, inner: Any) -> Any:
        def handle_message(socket: Any, message: Any) -> Any:
            self._frames[id(socket)] = perf_counter()
            return inner(socket, message)

        return handle_message

    def _serve(self, inner: Any) -> Any:
        async def serve(runner: Any, client: Any) -> None:
            self._clients[id(runner)] = client
            await inner(runner, client)

        return serve

    def _message(self, inner: Any) -> Any:
        async def following(runner: Any, read: Any) -> Any:
            message = await inner(runner, read)
            sockets = self._clients[id(runner)].clients.values()
            came = [self._frames.get(id(socket), 0.0) for socket in sockets]
            self._heard = max(came, default=0.0), perf_counter()
            return message

        return following

    def _put(self, inner: Any) -> Any:
        def put(intake: Any, ticks: Any, recv_ns: int) -> None:
            self._arrived.append(self._heard)
            inner(intake, ticks, recv_ns)

        return put

    def _take(self, inner: Any) -> Any:
        def take(intake: Any, most: int) -> Any:
            self._blocks.append(self._arrived[0])
            self._arrived.clear()
            return inner(intake, most)

        return take

    def _consume(self, inner: Any) -> Any:
        async def consume(engine: Any, ticks: Any) -> None:
            self._block = (*self._blocks.popleft(), perf_counter())
            await inner(engine, ticks)
            self._block = ()

        return consume

    def _submit(self, inner: Any) -> Any:
        def submit(broker: Any, order: Any, now_ns: int) -> None:
            # An order that a cancel made room for, and not a tick, has no block.
            self._order = (*self._block, perf_counter()) if self._block else ()
            inner(broker, order, now_ns)

        return submit

    def _call(self, inner: Any) -> Any:
        async def create_order(client: Any, *arguments: Any) -> Any:
            self._called = perf_counter()
            return await inner(client, *arguments)

        return create_order

    def _leave(self, inner: Any) -> Any:
        async def request(session: Any, method: str, url: Any, **options: Any) -> Any:
            if method == "POST" and "/order" in str(url) and self._order:
                self.orders.append((*self._order, self._called, perf_counter()))
                self._order = ()
            return await inner(session, method, url, **options)

        return request


async def measure(folder: Path, orders: int) -> Stopwatch:
    """Trade until so many orders have left."""
    exchange, watch = ExchangeProcess(), Stopwatch()
    asked: dict[str, Any] = {
        "strategy": {"name": "ppo_online", "sample": True}, "features": {"names": None},
        "online": {"learner": "process"},
    }  # fmt: skip
    try:
        config = write_config(folder, exchange.options, **asked)
        policy = await asyncio.to_thread(
            made_policy, folder / "policy", config, instrument_at(exchange.options)
        )
        with watch.reading(), patch.object(Assembly, "allocates", property(lambda _self: False)):
            async with trading(await make_live(folder, exchange.options, policy, **asked)):
                async with asyncio.timeout(_PATIENCE_S):  # a daemon that was told to end sends no more
                    while len(watch.orders) < orders:  # noqa: ASYNC110 (nobody tells)
                        await asyncio.sleep(0.1)
    finally:
        exchange.close()
    return watch


def rounds(count: int, orders: int) -> dict[str, list[tuple[float, ...]]]:
    """The moments of all orders by whose throttle they went through."""
    throttles: dict[str, Any] = {
        "ccxt's throttle": patch.object(live, "OrdersFirst", Throttler),
        "orders first": nullcontext(),
    }
    moments: dict[str, list[tuple[float, ...]]] = {name: [] for name in throttles}
    for _ in range(count):
        for name, throttle in throttles.items():
            with tempfile.TemporaryDirectory() as folder, throttle:
                moments[name] += asyncio.run(measure(Path(folder), orders)).orders
    return moments


def report(name: str, orders: list[tuple[float, ...]]) -> tuple[float, float]:
    """Print the legs; (median, 99th percentile) of the whole, milliseconds."""
    legs = 1e3 * np.diff(np.array(orders), axis=1)
    whole = legs.sum(axis=1)
    print(f"{name}: {len(whole)} orders, milliseconds: median, 99th percentile")
    for leg, of_it in (*zip(_LEGS, legs.T, strict=True), ("frame to order", whole)):
        print(f"  {leg:28} {np.median(of_it):8.2f} {np.percentile(of_it, 99):8.2f}")
    shares = legs[:, _CCXTS].sum(axis=1) / whole
    print(f"  ccxt's share of the whole    {np.median(shares):8.0%}")
    return float(np.median(whole)), float(np.percentile(whole, 99))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orders", type=int, default=60, help="a round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    before, now = [report(name, orders) for name, orders in rounds(options.rounds, options.orders).items()]
    print(
        f"orders first against ccxt's throttle: median {now[0] / before[0]:.2f}, 99th {now[1] / before[1]:.2f}"
    )


if __name__ == "__main__":
    main()
