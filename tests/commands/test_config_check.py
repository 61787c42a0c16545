"""`ztb config check` says that a file is sound only where `ztb run` would accept it and could do as it says."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from runtime.daemons import environment
from ztb.config import load_config
from ztb.runtime.daemon.rehearsal import faults_of


def faults(tmp_path, content: dict, **secrets: str) -> list[str]:
    path = tmp_path / "trade-config.json"
    path.write_text(json.dumps(content))
    return faults_of(load_config(path, {}, {}).config, secrets)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"strategy": {"name": "pp_online"}}, "did you mean 'ppo_online'"),
        ({"allocation": {"rules": ["trendd"]}}, "did you mean 'trend'"),
        ({"market": {"venue": "binanse"}}, "ccxt has no streams for it"),
        ({"market": {"taker_fee": "0.02"}}, "2 % of each trade"),
        ({"mqtt": {"broker": "127.0.0.1", "tls": True, "ca_file": "nowhere.pem"}}, "mqtt.ca_file: nowhere.pem"),
        ({"mqtt": {"broker": "127.0.0.1", "username": "me"}}, "mqtt_password"),
        ({"telemetry": {"web_listen": "unix:/no/such/folder/page"}}, "there is no folder /no/such/folder"),
        ({"telemetry": {"web_listen": "127.0.0.1:8600", "web_certificate": "a.pem", "web_private_key": "b.pem"}}, "a.pem"),
        ({"telemetry": {"web_listen": "0.0.0.0:8600"}}, "needs TLS"),
    ],
)  # fmt: skip
def test_what_run_would_refuse_is_told(tmp_path, content, words):
    (fault,) = faults(tmp_path, content)
    assert words in fault


def test_notices_that_cannot_be_sent_are_told(tmp_path):
    (fault,) = faults(tmp_path, {}, ZTB_SECRET_NOTIFY_URLS="no-url-of-anything")
    assert "notify_urls" in fault


@pytest.mark.parametrize("key", ["telemetry", "mqtt"])
def test_a_port_that_is_taken_is_told_and_a_free_one_is_not(tmp_path, key):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        content = {
            "telemetry": {"telemetry": {"web_listen": f"127.0.0.1:{port}"}},
            "mqtt": {"mqtt": {"broker": "embedded", "port": port}},
        }[key]
        (fault,) = faults(tmp_path, content)
        assert f"nobody can listen on 127.0.0.1:{port}" in fault
    assert faults(tmp_path, content) == []


def test_all_faults_are_told_at_once_and_the_defaults_have_none(tmp_path):
    assert faults(tmp_path, {}) == []
    both = {"strategy": {"name": "x"}, "market": {"maker_fee": "0.03"}}
    assert len(faults(tmp_path, both)) == 2
    done = subprocess.run(
        [sys.executable, "-m", "ztb", "config", "check", "--config", "trade-config.json"], cwd=tmp_path,
        text=True, capture_output=True, check=False, env=environment(),
    )  # fmt: skip
    assert done.returncode == 78 and "Traceback" not in done.stderr
    assert "no strategy 'x'" in done.stderr and "market.maker_fee" in done.stderr
