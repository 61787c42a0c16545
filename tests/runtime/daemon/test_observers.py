"""Only what is configured watches; what watches a real daemon sees it as it is, and steers it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from runtime.daemons import make_daemon, running
from telemetry.mqtt.brokers import MOSQUITTO, Mosquitto, listening
from ztb.config import load_config
from ztb.control import Freeze, Halt
from ztb.errors import ConfigError
from ztb.ledger.journal import Journal
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import NoteRow
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.broadcast import Broadcast
from ztb.runtime.clock import SystemClock
from ztb.runtime.daemon.observers import configured_observers
from ztb.telemetry.mqtt.publisher import MqttObserver
from ztb.telemetry.mqtt.signing import Body, sign
from ztb.telemetry.web.server import WebObserver

KEY = "a key that is shared"
SECRETS = {"ZTB_SECRET_MQTT_COMMAND_KEY": KEY}


def names(folder: Path, settings: dict[str, object], environment: dict[str, str]) -> list[str]:
    config = load_config(None, settings, {}).config
    with contextlib.closing(Journal(folder / "journal.sqlite")) as journal:
        session: Any = SimpleNamespace(run_id="r", directory=RunDirectory(folder), journal=journal,
                                       context=SimpleNamespace(broadcast=Broadcast()))  # fmt: skip
        found = configured_observers(config, "paper", session, SystemClock(), environment)
        return [observer.name for observer in found]


def test_nothing_watches_unless_it_is_configured(tmp_path):
    assert names(tmp_path, {}, {}) == ["correlation"]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_everything_that_is_configured_watches(tmp_path):
    settings: dict[str, object] = {
        "mqtt.broker": "127.0.0.1", "mqtt.commands": True, "telemetry.web_listen": "127.0.0.1:0",
    }  # fmt: skip
    secrets = SECRETS | {"ZTB_SECRET_NOTIFY_URLS": "json://127.0.0.1:1/hook"}
    assert names(tmp_path, settings, secrets) == ["correlation", "mqtt", "notices", "web"]


def test_what_cannot_work_is_an_error_before_anything_runs(tmp_path):
    with pytest.raises(ConfigError, match="needs TLS"):
        names(tmp_path, {"telemetry.web_listen": "0.0.0.0:1"}, {})


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
async def test_a_running_daemon_is_published_served_and_halted_by_a_signed_command(tmp_path, write_bars):
    mosquitto = Mosquitto(tmp_path)
    await mosquitto.start()
    port = mosquitto.port
    settings = {
        "mqtt__broker": "127.0.0.1", "mqtt__port": port, "mqtt__commands": True, "mqtt__interval_ms": 100,
        "telemetry__web_listen": "127.0.0.1:0",
    }  # fmt: skip
    daemon, source = make_daemon(write_bars(300), tmp_path / "run", "hold", **settings)
    config = daemon.session.assembly.config
    observers = configured_observers(config, "test", daemon.session, SystemClock(), SECRETS)
    daemon.watch(observers)
    async with running(daemon, source) as run:
        await run.step(200)
        mqtt, page = observers[1:]
        assert isinstance(mqtt, MqttObserver) and isinstance(page, WebObserver)
        async with asyncio.timeout(60):
            while not page.addresses or not mqtt.gauges()["mqtt_connected"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        async with listening(port, "ztb/test/#") as ear, aiohttp.ClientSession() as session:
            state = await ear.hear("/state", ticks=200)
            assert state["strategy"] == "hold" and state["equity"] > 0
            await run.step(1)
            assert (await ear.hear("/decisions"))["symbol"] == state["symbol"]
            body = Body("test", 1, time.time_ns() // 1_000_000 + 10_000, Halt("by phone"))
            await ear.client.publish("ztb/test/command", sign(KEY, body), qos=1)
            assert (await ear.hear("/ack", sequence=1))["ok"]
            assert (await ear.hear("/status", state="halted"))["online"]
            async with session.get(f"http://127.0.0.1:{page.addresses[0][1]}/metrics") as answer:
                text = await answer.text()
            assert "ztb_ticks_total 201" in text and 'mode="replay"' in text
            forged = Body("test", 2, time.time_ns() // 1_000_000 + 10_000, Freeze())
            await ear.client.publish("ztb/test/command", sign("another key", forged), qos=1)
            assert (await ear.hear("/ack", ok=False))["refused"] == "signature"
        source.all()
    mosquitto.stop()
    notes = {row.kind: row for row in JournalReader(tmp_path / "run" / "journal.sqlite").rows(NoteRow)}
    assert json.loads(notes["mqtt_command"].detail)["sequence"] == 1
    assert json.loads(notes["mqtt_command_refused"].detail)["reason"] == "signature"
