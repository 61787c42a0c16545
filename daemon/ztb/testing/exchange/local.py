"""The exchange on a socket of its own: HTTP and websockets on the loopback interface."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Self

from aiohttp import WSMsgType, web

from ztb.ports import Clock
from ztb.testing.clocks import WallClock
from ztb.testing.exchange.client_options import client_options
from ztb.testing.exchange.connections import Close, Connection, Output
from ztb.testing.exchange.exchange import Exchange
from ztb.testing.exchange.flow import Flow
from ztb.testing.exchange.setup import Setup, open_exchange
from ztb.testing.exchange.units import SCALE

HOST = "127.0.0.1"
_IDLE_S = 0.05
_BACKLOG = 20_000
_SOCKETS = ("/ws", "/stream", "/ws-api/v3")


class LocalExchange:
    """`async with LocalExchange(seed=1) as exchange: ccxt.pro.binance(exchange.ccxt_options())`.

    Binds 127.0.0.1 only; `port` 0: chosen by the system. `balances` are whole units of assets, such as
    {"USDT": 1_000}. `flows` by symbol replace the synthetic ones. A client that reads too slowly to keep
    20,000 messages in hand is disconnected.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        flow: Mapping[str, Flow] | None = None,
        balances: Mapping[str, float] | None = None,
        setup: Setup | None = None,
        clock: Clock | None = None,
        port: int = 0,
    ) -> None:
        units = {asset: round(amount * SCALE) for asset, amount in (balances or {}).items()}
        self._setup = setup or Setup(seed=seed, flows=flow, balances=units)
        self._clock = clock or WallClock()
        self.port = port
        self.core: Exchange = open_exchange(self._setup, self._clock)
        self._stack = AsyncExitStack()

    def ccxt_options(self) -> dict[str, Any]:
        """Constructor options for `ccxt.pro.binance` (or `ccxt.async_support`, or `ccxt`)."""
        return client_options(HOST, self.port, self._setup.credentials)

    async def __aenter__(self) -> Self:
        """Listen, and let the market run."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, HOST, self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        driver = group.create_task(self._drive(), name="exchange: flow and timers")
        self._stack.callback(driver.cancel)
        self._stack.callback(self._hang_up)
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Stop the market, close every connection."""
        await self._stack.aclose()

    async def _drive(self) -> None:
        while True:
            behind = self.core.advance(200)
            left_s = (self.core.next_due_ns - self._clock.now_ns()) / 1e9
            await asyncio.sleep(0.0 if behind else min(max(left_s, 0.0), _IDLE_S))

    def _hang_up(self) -> None:
        for connection in list(self.core.connections.open):
            connection.deliver(Close())

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_socket(request)
        params = "&".join(part for part in (request.rel_url.raw_query_string, await request.text()) if part)
        self.core.advance()
        answer = self.core.handle_request(request.method, request.path, params, request.headers)
        headers = {**answer.headers, "Content-Type": "application/json;charset=UTF-8"}
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    async def _serve_socket(self, request: web.Request) -> web.StreamResponse:
        if not request.path.startswith(_SOCKETS):
            return web.Response(status=404)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        outputs: asyncio.Queue[Output] = asyncio.Queue(_BACKLOG)

        def deliver(output: Output) -> None:
            if outputs.full():
                self.core.disconnect(connection)
            else:
                outputs.put_nowait(output)

        connection = self.core.connect(request.path, deliver)
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(_write(socket, outputs), name="exchange: writer")
                await self._read(socket, connection)
                writer.cancel()
        finally:
            self.core.disconnect(connection)
        return socket

    async def _read(self, socket: web.WebSocketResponse, connection: Connection) -> None:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                self.core.advance()
                self.core.receive(connection, message.data)


async def _write(socket: web.WebSocketResponse, outputs: asyncio.Queue[Output]) -> None:
    """Send what is put into `outputs`, in order, until it says to close or the client has gone."""
    while True:
        output = await outputs.get()
        if isinstance(output, Close):
            await socket.close(code=output.code, message=output.reason.encode())
            return
        try:
            await socket.send_str(output.text)
        except ConnectionResetError:
            return
