"""Only what is configured watches; each is built from the configuration and the secrets alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from ztb.config import load_config
from ztb.errors import ConfigError
from ztb.runtime.observers import configured_observers
from ztb.testing.clocks import VirtualClock


def names(folder: Path, settings: dict[str, object], environment: dict[str, str]) -> list[str]:
    config = load_config(None, settings, {}).config
    return [
        observer.name
        for observer in configured_observers(config, "paper", folder, VirtualClock(), print, environment)
    ]


def test_nothing_watches_unless_it_is_configured(tmp_path):
    assert names(tmp_path, {}, {}) == []


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_everything_that_is_configured_watches(tmp_path):
    settings: dict[str, object] = {
        "mqtt.broker": "127.0.0.1", "mqtt.commands": True, "telemetry.web_listen": "127.0.0.1:0",
    }  # fmt: skip
    secrets = {
        "ZTB_SECRET_MQTT_COMMAND_KEY": "a key that is shared",
        "ZTB_SECRET_NOTIFY_URLS": "json://127.0.0.1:1/hook",
    }
    assert names(tmp_path, settings, secrets) == ["mqtt", "notices", "web"]


def test_what_cannot_work_is_an_error_before_anything_runs(tmp_path):
    with pytest.raises(ConfigError, match="needs TLS"):
        names(tmp_path, {"telemetry.web_listen": "0.0.0.0:1"}, {})
