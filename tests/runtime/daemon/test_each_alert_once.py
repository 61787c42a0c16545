"""On a real daemon an alert goes out in each of the ways, once in each; a hundred thousand of them make few messages."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from chaos.stage import WARM_S, stage
from runtime.daemon.test_one_source import Ether, Watching
from ztb.runtime.daemon.daemon import Daemon
from ztb.telemetry.mqtt.topics import Topic
from ztb.testing.virtual_time import run_virtual

STORM, MOST_MESSAGES = 100_000, 10
KEY, TEXT = "a_lamp", "the lamp above the door is out since 12:00 UTC"


class Counting(Ether):
    """A broker that keeps everything it is given on one topic."""

    def __init__(self, topic: str) -> None:
        super().__init__()
        self.topic = topic
        self.heard: list[dict[str, Any]] = []

    async def publish(self, topic: Topic, payload: bytes) -> None:
        await super().publish(topic, payload)
        if topic.name == self.topic:
            self.heard.append(json.loads(payload))


def _raise(daemon: Daemon, key: str, text: str) -> None:
    daemon.alert("warning", key, text)


def test_an_alert_is_once_in_the_log_by_mqtt_in_home_assistant_as_a_notice_on_the_page_and_in_metrics(
    tmp_path: Path,
) -> None:
    ether = Counting("ztb/chaos/alerts")
    watching, pages, states = Watching(ether=ether), [], []

    async def go() -> None:
        async with stage(3, tmp_path / "run") as it, it.running("paper", watch=watching.of) as daemon:
            await asyncio.sleep(WARM_S + 5.0)
            _raise(daemon, KEY, TEXT)
            await asyncio.sleep(60.0)
            states.append(daemon.snapshot())
            pages.append(await watching.state_of_the_page())

    with structlog.testing.capture_logs() as lines:
        run_virtual(go())
    ways = {
        "log": [line for line in lines if line["event"] == "alert" and line["text"] == TEXT],
        "observers": [alert for alert in watching.alerts if alert.key == KEY],
        "MQTT": [alert for alert in ether.heard if alert["key"] == KEY],
        "Home Assistant": [a for a in ether.kept["ztb/chaos/state"]["alerts"] if a["text"] == TEXT],
        "notices": [notice for notice in watching.notices if TEXT in notice.body],
        "page": [alert for alert in pages[0]["alerts"] if alert["text"] == TEXT],
        "status": [alert for alert in states[0].alerts if alert.text == TEXT],
    }
    assert {way: len(found) for way, found in ways.items()} == dict.fromkeys(ways, 1)
    assert sum(notice.body.count(TEXT) for notice in watching.notices) == 1
    counted = {
        sample.labels["severity"]: sample.value
        for family in text_string_to_metric_families(watching.metrics.exposition(states[0]).decode())
        for sample in family.samples
        if sample.name == "ztb_alerts_total"
    }
    assert counted["warning"] == 1.0 and counted["critical"] == 0.0
    assert msgspec.json.encode(states[0]).count(TEXT.encode()) == 1


@pytest.mark.proof
def test_a_storm_of_alerts_makes_few_messages_and_the_daemon_trades_on(tmp_path: Path) -> None:
    ether = Counting("ztb/chaos/alerts")
    watching, decisions = Watching(ether=ether), []

    async def go() -> None:
        async with stage(3, tmp_path / "run") as it, it.running("paper", watch=watching.of) as daemon:
            await asyncio.sleep(WARM_S + 5.0)
            decisions.append(daemon.snapshot().decisions)
            for number in range(STORM):
                _raise(daemon, f"lamp_{number}", f"lamp {number} is out")
                if number % 100 == 99:
                    await asyncio.sleep(0.06)
            await asyncio.sleep(5.0)
            decisions.append(daemon.snapshot().decisions)

    with structlog.testing.capture_logs():
        run_virtual(go())
    assert 1 <= len(watching.notices) <= MOST_MESSAGES
    assert all(len(notice.body) < 1000 for notice in watching.notices)
    assert len(watching.alerts) == STORM and decisions[1] >= decisions[0] + 100
