"""A secret that is planted in what configures a live daemon comes out nowhere, though the venue itself says it aloud."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import aiohttp
import aiomqtt
import pytest

from runtime.daemons import make_daemon, until
from runtime.venue.live_runs import arm, assert_nowhere, trading, write_config
from telemetry.mqtt.brokers import MOSQUITTO, Mosquitto, free_port
from ztb import cli
from ztb.commands.control import ask
from ztb.commands.report import report
from ztb.control import Halt, Status
from ztb.errors import InvariantError, VenueError
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.clock import SystemClock
from ztb.runtime.daemon.component import Component
from ztb.runtime.daemon.daemon import Daemon, DaemonOptions
from ztb.runtime.daemon.observers import configured_observers
from ztb.runtime.modes.live import live_daemon
from ztb.runtime.modes.paper import TradingRequest
from ztb.secrets import HIDDEN, Redactor, known_secrets
from ztb.telemetry.logs import configure_logging
from ztb.testing.exchange.local import LocalExchange
from ztb.testing.exchange.venue import Credentials

KEY, SECRET = "planted-key-4c1f", "planted-secret-9d2e"
PLANTED = {
    "ZTB_SECRET_EXCHANGE_API_KEY": KEY,
    "ZTB_SECRET_EXCHANGE_SECRET": SECRET,
    "ZTB_SECRET_WEB_TOKEN": "planted-token-77aa",
    "ZTB_SECRET_MQTT_COMMAND_KEY": "planted-command-key-31b7",
}
ALOUD = f"{KEY} and {SECRET}"


class Heard:
    """All that leaves the daemon while it runs."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def mqtt(self, port: int) -> None:
        async with aiomqtt.Client("127.0.0.1", port) as client:
            await client.subscribe("#", qos=1)
            async for message in client.messages:
                self.texts.append(f"{message.topic} {bytes(message.payload).decode()}")

    async def web(self, port: int) -> None:
        """The page, its state, its live messages and the metrics, as a visitor with the token gets them."""
        headers = {"Authorization": f"Bearer {PLANTED['ZTB_SECRET_WEB_TOKEN']}"}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
            for path in ("/", "/state", "/metrics"):
                async with session.get(path) as answer:
                    assert answer.status == 200
                    self.texts.append(await answer.text())
            async with session.ws_connect("/live") as live:
                self.texts += [str((await live.receive()).data) for _ in range(2)]


async def daemon_of(folder: Path, options: dict[str, Any], **more: Any) -> Daemon:
    config = write_config(folder, options, **more)
    arm(folder, config, KEY)
    redact = Redactor(known_secrets(PLANTED))
    request = TradingRequest(config, RunDirectory(folder), 0)
    asked = DaemonOptions("test", lambda: config, redact=redact)
    daemon = await live_daemon(request, asked, SystemClock(), PLANTED)
    daemon.watch(configured_observers(config, "test", daemon.session, SystemClock(), PLANTED))
    return daemon


@pytest.fixture
async def broker(tmp_path):
    """Mosquitto, of its own."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    made = Mosquitto(tmp_path)
    await made.start()
    yield made
    made.stop()


async def test_the_venue_says_it_an_operator_types_it_and_it_is_nowhere(tmp_path, capsys, broker):
    log = io.StringIO()
    configure_logging("debug", "json", known_secrets(PLANTED), stream=log)
    heard, web_port = Heard(), free_port()
    more = {
        "mqtt": {"broker": "127.0.0.1", "port": broker.port, "commands": True, "interval_ms": 100},
        "telemetry": {"web_listen": f"127.0.0.1:{web_port}"},
    }
    async with LocalExchange(seed=1, credentials=Credentials(key=KEY, secret=SECRET)) as exchange:
        aloud = json.dumps({"id": "1", "error": {"code": -1, "msg": ALOUD}})
        exchange.inject("malform", match="user", text=aloud)
        daemon = await daemon_of(tmp_path, exchange.ccxt_options(), **more)
        async with trading(daemon), asyncio.TaskGroup() as tasks:
            ear = tasks.create_task(heard.mqtt(broker.port))
            await until(
                lambda: daemon.session.books.account.fills > 0 and "user_stream_failed" in log.getvalue()
            )
            daemon.alert("critical", "planted", f"the venue said {ALOUD}")
            await asyncio.to_thread(ask, tmp_path, Halt(f"because of {ALOUD}"))
            await heard.web(web_port)
            status = await asyncio.to_thread(ask, tmp_path, Status())
            await until(lambda: any("the venue said" in text for text in heard.texts))
            ear.cancel()
    assert report(tmp_path, as_json=False) == 0
    assert any(HIDDEN in line for line in log.getvalue().splitlines() if "user_stream_failed" in line)
    assert HIDDEN in repr(status)
    said = [*heard.texts, repr(status), repr(daemon.snapshot()), *capsys.readouterr(), log.getvalue()]
    for secret in PLANTED.values():
        assert_nowhere(tmp_path, "\n".join(said), secret)


@pytest.mark.parametrize("grouped", [False, True])
def test_an_error_that_ends_the_command_is_said_without_it(monkeypatch, capsys, grouped):
    error: Exception = VenueError(f"binance: GET /api?key={KEY} {SECRET}")

    def fail(_arguments: object, **_options: object) -> None:
        raise ExceptionGroup("tasks", [error]) if grouped else error

    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cli, "app", fail)
    assert cli.run(["run"]) == 75
    said = capsys.readouterr().err
    assert "binance: GET" in said and KEY not in said and SECRET not in said


def test_a_contradiction_that_holds_it_is_latched_and_journaled_without_it(tmp_path, write_bars):
    class Contradicting(Component):
        def tick(self) -> None:
            raise InvariantError(f"what {SECRET}")

    daemon, source = make_daemon(
        write_bars(100), tmp_path, "hold", redact=Redactor([SECRET]), components=[Contradicting()]
    )
    source.all()
    with pytest.raises(ExceptionGroup):
        asyncio.run(daemon.run())
    assert HIDDEN in (tmp_path / "latch.json").read_text()
    assert_nowhere(tmp_path, "", SECRET)
