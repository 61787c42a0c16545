"""Serves the page, its live feed and the metrics. Nothing here changes the daemon."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from ztb.control import Controls
from ztb.errors import ConfigError
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import Record
from ztb.secrets import Redactor
from ztb.telemetry.metrics import CONTENT_TYPE, Metrics
from ztb.telemetry.snapshot import AlertFact, DaemonSnapshot
from ztb.telemetry.web.feed import PageFeed
from ztb.telemetry.web.guard import COOKIE, Guard
from ztb.telemetry.web.listening import Listening

INTERVAL_S = 1.0
_MOST_VIEWERS = 16
_SLOW_S = 10.0
_TELEMETRY = Path(__file__).parent.parent
_PAGE = _TELEMETRY / "page"

ASSETS: dict[str, tuple[Path, str]] = {
    "charts.js": (_PAGE / "charts.js", "text/javascript"),
    "live.js": (_PAGE / "live.js", "text/javascript"),
    "live.css": (_PAGE / "live.css", "text/css"),
    "report.css": (_PAGE / "report.css", "text/css"),
    "uPlot.js": (_TELEMETRY / "vendor" / "uPlot.iife.min.js", "text/javascript"),
    "uPlot.css": (_TELEMETRY / "vendor" / "uPlot.min.css", "text/css"),
    "icon.svg": (_PAGE / "icon.svg", "image/svg+xml"),
}
"""All that is served from disk, by its name on the page."""


class WebObserver:
    """An `Observer`. `addresses` says where it listens once it does."""

    name = "web"

    def __init__(self, listening: Listening, metrics: Metrics, redact: Redactor) -> None:
        self._listening = listening
        self._guard = Guard(listening.hosts, listening.token, listening.tls is not None)
        self._metrics = metrics
        metrics.tell_of(self.gauges)
        self._redact = redact
        self._feed = PageFeed(redact)
        self._viewers = 0
        self._leaving = asyncio.Event()
        self._take: Callable[[], DaemonSnapshot] | None = None
        self._now: DaemonSnapshot | None = None
        self.addresses: list[Any] = []

    def record(self, record: Record) -> None:
        """Draw it and count it."""
        self._feed.record(record)
        self._metrics.record(record)

    def alert(self, alert: AlertFact) -> None:
        """Show it and count it."""
        self._feed.alert(alert)
        self._metrics.alert(alert)

    def recall(self, journal: Path) -> None:
        """Begin with what earlier starts of the run journaled. DataError: it cannot be read."""
        with contextlib.closing(JournalReader(journal)) as reader:
            self._feed.recall(reader)

    def gauges(self) -> dict[str, float]:
        """The number of those who watch."""
        return {"web_viewers": float(self._viewers)}

    async def run(self, snapshot: Callable[[], DaemonSnapshot], controls: Controls) -> None:
        """Serve until cancelled. ConfigError: the address is taken or not ours."""
        self._leaving.clear()
        self._take = snapshot
        self._now = snapshot()
        async with self._serving():
            while True:
                self._now = snapshot()
                self._feed.sample(self._now)
                await asyncio.sleep(INTERVAL_S)

    def application(self) -> web.Application:
        """The routes, guarded."""
        app = web.Application(middlewares=[self._guard.middleware()])
        app.on_response_prepare.append(self._guard.add_headers)
        app.router.add_get("/", self._page)
        app.router.add_get("/assets/{name}", self._asset)
        app.router.add_get("/live", self._live)
        app.router.add_get("/state", self._state)
        app.router.add_get("/metrics", self._exposition)
        app.router.add_get("/login", self._login_form)
        app.router.add_post("/login", self._login)
        return app

    @asynccontextmanager
    async def _serving(self) -> AsyncGenerator[None]:
        where = self._listening
        runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site: web.BaseSite = (
                web.TCPSite(runner, where.host, where.port, ssl_context=where.tls)
                if where.path is None
                else web.UnixSite(runner, str(where.path))
            )
            try:
                await site.start()
            except OSError as error:
                raise ConfigError(f"telemetry.web_listen: cannot listen there: {error}") from None
            self.addresses = runner.addresses
            yield
        finally:
            self._leaving.set()
            await runner.cleanup()

    def _fresh(self) -> DaemonSnapshot:
        if self._take is None:
            raise web.HTTPServiceUnavailable(text="not running yet")
        return self._take()

    def _json(self, snapshot: DaemonSnapshot | None) -> str:
        return self._redact(msgspec.json.encode(snapshot).decode())

    async def _page(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text=(_PAGE / "live.html").read_text(encoding="utf-8"), content_type="text/html")

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        found = ASSETS.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound(text="no such file")
        path, kind = found
        return web.Response(body=path.read_bytes(), content_type=kind, charset="utf-8")

    async def _state(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text=self._json(self._fresh()), content_type="application/json")

    async def _exposition(self, _: web.Request) -> web.StreamResponse:
        return web.Response(
            body=self._metrics.exposition(self._fresh()), headers={"Content-Type": CONTENT_TYPE}
        )

    async def _login_form(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text=(_PAGE / "login.html").read_text(encoding="utf-8"), content_type="text/html")

    async def _login(self, request: web.Request) -> web.StreamResponse:
        token = (await request.post()).get("token", "")
        if not isinstance(token, str) or not self._guard.knows(token):
            raise web.HTTPUnauthorized(text="wrong token")
        response = web.Response(status=303, headers={"Location": "/"})
        response.set_cookie(
            COOKIE,
            self._guard.session(),
            httponly=True,
            samesite="Strict",
            secure=self._listening.tls is not None,
        )
        return response

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if self._viewers >= _MOST_VIEWERS:
            raise web.HTTPServiceUnavailable(text="too many viewers")
        socket = web.WebSocketResponse(heartbeat=20.0, max_msg_size=1024, compress=False)
        await socket.prepare(request)
        self._viewers += 1
        try:
            async with asyncio.TaskGroup() as tasks:
                telling = tasks.create_task(self._tell(socket), name="web-viewer")
                async for _ in socket:
                    pass
                telling.cancel()
        finally:
            self._viewers -= 1
        return socket

    async def _tell(self, socket: web.WebSocketResponse) -> None:
        """History, then news and the snapshot of all viewers every second. Who takes none for 10 s is let go."""
        told = -1
        with contextlib.suppress(ConnectionError, TimeoutError):
            while not self._leaving.is_set():
                news = self._feed.since(told) if told >= 0 else None
                told = self._feed.count
                content: dict[str, Any] = (
                    {"history": self._feed.history()} if news is None else {"news": news}
                )
                content["snapshot"] = msgspec.Raw(self._json(self._now).encode())
                async with asyncio.timeout(_SLOW_S):
                    await socket.send_str(msgspec.json.encode(content).decode())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._leaving.wait(), INTERVAL_S)
        await socket.close()
