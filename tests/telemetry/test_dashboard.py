"""Each panel of the dashboard has something to show within a minute of a daemon that trades and learns: what is fetched
from its `/metrics` holds samples of every metric that a panel asks for.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from chaos.stage import WARM_S, configuration, stage
from runtime.made_policy import made_policy
from runtime.venue.fake_account import INSTRUMENT
from ztb.runtime.daemon.daemon import Daemon
from ztb.runtime.daemon.observers import configured_observers
from ztb.telemetry.web.server import WebObserver
from ztb.testing.virtual_time import run_virtual

DASHBOARD = Path(__file__).resolve().parents[2] / "config" / "grafana-dashboard.json"
LEARNS = {
    "strategy.name": "ppo_online", "strategy.sample": True, "allocation.rules": ["hold"], "online.learner": "inline",
    "online.update_every_decisions": 32, "checkpoint.interval_updates": 1, "market.streams": ["trades", "quotes"],
    "telemetry.web_listen": "127.0.0.1:0",
}  # fmt: skip


async def fetched(page: WebObserver) -> str:
    """The body of /metrics."""
    host, port = page.addresses[0]
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET /metrics HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    assert " 200 " in head.splitlines()[0], head
    return body


def panels() -> dict[str, list[str]]:
    """What each panel asks for, by its title and place."""
    shown = json.loads(DASHBOARD.read_text())["panels"]
    return {
        f"{panel['id']} {panel['title']}": [target["expr"] for target in panel["targets"]]
        for panel in shown
        if panel["type"] != "row"
    }


def test_each_panel_shows_data_within_a_minute(tmp_path):
    policy = made_policy(tmp_path / "policy", configuration(**LEARNS), INSTRUMENT)
    told: list[str] = []

    async def go() -> None:
        pages: list[WebObserver] = []

        def watched(daemon: Daemon) -> None:
            config = daemon.session.assembly.config
            observers = configured_observers(config, "chaos", daemon.session, it, {})
            pages.extend(one for one in observers if isinstance(one, WebObserver))
            daemon.watch(observers)

        async with (
            stage(3, tmp_path / "run", **LEARNS) as it,
            it.running("paper", 0, policy, watch=watched) as daemon,
        ):
            await asyncio.sleep(WARM_S)
            assert daemon.snapshot().state == "trading"
            await asyncio.sleep(60.0)
            told.append(await fetched(pages[0]))

    run_virtual(go())
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(told[0])
        for sample in family.samples
        if sample.value == sample.value
    }
    asked = panels()
    assert len(asked) > 15
    without = {
        title: missing
        for title, queries in asked.items()
        if (
            missing := [
                name for query in queries for name in re.findall(r"ztb_\w+", query) if name not in samples
            ]
        )
    }
    assert without == {}
    assert all(re.findall(r"ztb_\w+", query) for queries in asked.values() for query in queries)
