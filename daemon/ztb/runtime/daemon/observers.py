"""Who watches the daemon, from the configuration and the secrets."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Protocol

from ztb.config import Config
from ztb.ledger.journal import Journal
from ztb.ledger.run_directory import RunDirectory
from ztb.ports import Clock
from ztb.runtime.build.context import RunContext
from ztb.secrets import Redactor, known_secrets, read_secret
from ztb.telemetry.correlation import correlate
from ztb.telemetry.metrics import Gauges, Metrics
from ztb.telemetry.mqtt.setup import mqtt_observer
from ztb.telemetry.notices import NoticeObserver, apprise_sender
from ztb.telemetry.snapshot import Observer
from ztb.telemetry.systemd import Notifier, SystemdObserver
from ztb.telemetry.web.listening import listening
from ztb.telemetry.web.server import WebObserver


class Watched(Protocol):
    """What is watched: a `Session`."""

    run_id: str
    directory: RunDirectory
    journal: Journal
    context: RunContext


def configured_observers(
    config: Config,
    instance: str,
    session: Watched,
    clock: Clock,
    environment: Mapping[str, str] = os.environ,
) -> list[Observer]:
    """MQTT, the page with its metrics, and notices, as far as they are configured. ConfigError says what to mend.

    Log lines of this task, and of those it makes, belong to the session's run from now on.
    """
    redact = Redactor(known_secrets(environment))
    observers: list[Observer] = [correlate(session.run_id)]
    gauges: list[Gauges] = []
    note = session.journal.append
    warn = session.context.broadcast.warn
    mqtt = mqtt_observer(config.mqtt, instance, session.directory.path, clock, note, environment, warn=warn)
    if mqtt is not None:
        observers.append(mqtt)
        gauges.append(mqtt.gauges)
    urls = read_secret("notify_urls", environment)
    if urls is not None:
        notices = NoticeObserver(apprise_sender(urls), config.telemetry.notify_from, redact)
        observers.append(notices)
        gauges.append(notices.gauges)
    where = listening(config.telemetry, environment)
    if where is not None:
        page = WebObserver(where, Metrics(gauges), redact)
        page.recall(session.directory.journal)
        observers.append(page)
    return observers


def service_manager(
    progress: Callable[[], object], environment: Mapping[str, str] = os.environ
) -> list[Observer]:
    """systemd, where it started us and wants to hear of it; `progress` is what feeds its watchdog."""
    notifier = Notifier(environment)
    return [SystemdObserver(notifier, progress)] if notifier.wanted else []
