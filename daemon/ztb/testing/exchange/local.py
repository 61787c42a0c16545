"""The exchange on a socket of its own: HTTP and websockets on the loopback interface.

Also here: the constructor options with which an unmodified `ccxt.pro.binance` talks to a local exchange.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web

from ztb.ports import Clock
from ztb.runtime.clock import SystemClock
from ztb.testing.exchange.connections import Close, Connection, Output, WebSocketFrame
from ztb.testing.exchange.exchange import Exchange, Response
from ztb.testing.exchange.faults import Armed, Fault, FaultKind
from ztb.testing.exchange.flow import Flow
from ztb.testing.exchange.gateway import PATH, CallOutcome, Gateway, handle_control
from ztb.testing.exchange.listing import LISTINGS, SCALE, Listing
from ztb.testing.exchange.setup import Setup, open_exchange
from ztb.testing.exchange.venue import Credentials

_SPOT_STREAMS = ("stream.binance.com", "stream.testnet.binance.vision", "demo-stream.binance.com")


def client_options(host: str, port: int, credentials: Credentials) -> dict[str, Any]:
    """Every address that the client knows replaced by one of `host`:`port`, a key, and spot markets only."""
    from ztb.market.live.exchanges import ccxt_pro

    description: Any = ccxt_pro.binance().describe()
    return {
        "apiKey": credentials.key,
        "secret": credentials.secret,
        "urls": _local(description["urls"], f"{host}:{port}"),
        "options": {
            "defaultType": "spot",
            "fetchMarkets": {"types": ["spot"]},
            "fetchMargins": False,
            "fetchCurrencies": False,
        },
    }


def _local(urls: Any, place: str) -> Any:
    """`urls`, of whatever shape, at `place`. ccxt merges what it is given: one left out would stay as it was."""
    if isinstance(urls, dict):
        return {key: _local(value, place) for key, value in urls.items()}
    if isinstance(urls, list):
        return [_local(value, place) for value in urls]
    if not isinstance(urls, str) or "://" not in urls:
        return urls
    parts = urlsplit(urls)
    scheme = "ws" if parts.scheme.startswith("ws") else "http"
    path = parts.path
    if path == "/ws":
        # The client knows spot streams by "/stream" in the address; other venues' streams are not spoken.
        path = "/ws/stream" if parts.hostname in _SPOT_STREAMS else f"/unspoken/{parts.hostname}/ws"
    return f"{scheme}://{place}{path}"


HOST = "127.0.0.1"
_IDLE_S = 0.05
_ENDLESS_S = 86_400.0
_BACKLOG = 20_000
_SOCKETS = ("/ws", "/stream", "/ws-api/v3")


class LocalExchange:
    """`async with LocalExchange(seed=1) as exchange: ccxt.pro.binance(exchange.ccxt_options())`.

    Binds 127.0.0.1 only; `port` 0: chosen by the system. `balances` are whole units of assets, such as
    {"USDT": 1_000}. `flow` by symbol, such as BTCUSDT, replaces the synthetic one. A client that reads so slowly
    that 20,000 messages wait for it is disconnected.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        listings: Sequence[Listing] = LISTINGS,
        flow: Mapping[str, Flow] | None = None,
        balances: Mapping[str, float] | None = None,
        credentials: Credentials | None = None,
        clock: Clock | None = None,
        port: int = 0,
    ) -> None:
        units = {asset: round(amount * SCALE) for asset, amount in (balances or {}).items()}
        self._setup = Setup(
            seed=seed,
            listings=tuple(listings),
            flows=flow or {},
            balances=units,
            credentials=credentials or Credentials(),
        )
        self._clock = clock or SystemClock()
        self.port = port
        self.gateway = Gateway(open_exchange(self._setup, self._clock))
        self._stack = AsyncExitStack()

    @property
    def core(self) -> Exchange:
        """The exchange itself: what really happened, whatever the client was told."""
        return self.gateway.exchange

    def inject(self, kind: str, **details: Any) -> Armed:
        """Let something go wrong; see `Fault`. Returns what counts how often it happened."""
        return self.gateway.inject(Fault(FaultKind(kind), **details))

    def ccxt_options(self) -> dict[str, Any]:
        """Constructor options for `ccxt.pro.binance` (or `ccxt.async_support`, or `ccxt`)."""
        return client_options(HOST, self.port, self._setup.credentials)

    async def __aenter__(self) -> Self:
        """Listen, and let the market run; OSError if the port is taken."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        async with AsyncExitStack() as stack:
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, HOST, self.port).start()
            self.port = runner.addresses[0][1]
            group = await stack.enter_async_context(asyncio.TaskGroup())
            driver = group.create_task(self._drive(), name="exchange: flow and timers")
            stack.callback(driver.cancel)
            stack.callback(self._hang_up)
            self._stack = stack.pop_all()
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
        body = await request.text()
        if request.path == PATH:
            return _answer(handle_control(self.gateway, request.method, body))
        params = "&".join(part for part in (request.rel_url.raw_query_string, body) if part)
        self.core.advance()
        reply = self.gateway.handle_request(request.method, request.path, params, request.headers)
        await asyncio.sleep(reply.delay_s)
        if reply.outcome is CallOutcome.NO_ANSWER:
            await asyncio.sleep(_ENDLESS_S)
        if reply.outcome is CallOutcome.RESET:
            _cut(request)
        return _answer(reply.response)

    async def _serve_socket(self, request: web.Request) -> web.StreamResponse:
        if not request.path.startswith(_SOCKETS):
            return web.Response(status=404)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        outputs: asyncio.Queue[Output] = asyncio.Queue(_BACKLOG)

        def deliver(output: Output) -> None:
            if outputs.full():
                self.gateway.disconnect(connection)
                outputs.get_nowait()
                output = Close(1008, "too slow")
            outputs.put_nowait(output)

        connection = self.gateway.connect(request.path, deliver)
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(_write(request, socket, outputs), name="exchange: writer")
                await self._read(socket, connection)
                writer.cancel()
        finally:
            self.gateway.disconnect(connection)
        return socket

    async def _read(self, socket: web.WebSocketResponse, connection: Connection) -> None:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                self.core.advance()
                self.gateway.receive(connection, message.data)
            elif message.type is WSMsgType.PING and self.gateway.answers_pings():
                await socket.pong(message.data)


def _answer(response: Response) -> web.Response:
    headers = {**response.headers, "Content-Type": "application/json;charset=UTF-8"}
    return web.Response(status=response.status, body=response.body, headers=headers)


def _cut(request: web.Request) -> None:
    """End the connection as a failing network does."""
    if request.transport is not None:
        request.transport.abort()


async def _write(request: web.Request, socket: web.WebSocketResponse, outputs: asyncio.Queue[Output]) -> None:
    """Send what is put into `outputs`, in order, until it says to close or the client has gone."""
    while isinstance(output := await outputs.get(), WebSocketFrame):
        await asyncio.sleep(output.delay_s)
        try:
            await socket.send_str(output.text)
        except ConnectionResetError:
            return
    if output.code is None:
        _cut(request)
    else:
        await socket.close(code=output.code, message=output.reason.encode())
