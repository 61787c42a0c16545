"""An MQTT observer from the configuration and the secrets; and a broker inside the daemon, to try MQTT without one."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ztb.config import MqttSection
from ztb.errors import ConfigError
from ztb.ledger.records import NoteRow
from ztb.ports import Clock
from ztb.secrets import Redactor, known_secrets, require_secret
from ztb.telemetry.mqtt.commands import Commands
from ztb.telemetry.mqtt.connection import Address, connecting, tls_context
from ztb.telemetry.mqtt.payloads import PayloadEncoder
from ztb.telemetry.mqtt.publisher import MqttObserver, no_broker
from ztb.telemetry.mqtt.signing import RESUMING, SAFE, CommandGate, SequenceFile
from ztb.telemetry.mqtt.topics import Topics


@asynccontextmanager
async def embedded_broker(port: int) -> AsyncGenerator[None]:
    """Serve on 127.0.0.1 while entered. Everybody on this machine may read and write; commands are signed.

    ConfigError: amqtt is not installed, or the port is taken.
    """
    try:
        from amqtt.broker import Broker
        from amqtt.errors import BrokerError
    except ModuleNotFoundError:
        raise ConfigError("mqtt.broker = embedded needs amqtt: pip install 'ztb[broker]'") from None
    logging.getLogger("amqtt").setLevel(logging.ERROR)
    logging.getLogger("transitions").setLevel(logging.ERROR)
    broker = Broker(_settings(port))
    try:
        await broker.start()
    except BrokerError as error:
        raise ConfigError(f"mqtt.port: no broker can listen on 127.0.0.1:{port}: {error}") from None
    try:
        yield
    finally:
        await broker.shutdown()


def _settings(port: int) -> dict[str, Any]:
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }


EMBEDDED = "embedded"
LOOPBACK = ("127.0.0.1", "::1", "localhost", EMBEDDED)


def mqtt_observer(
    section: MqttSection,
    instance: str,
    state_folder: Path,
    clock: Clock,
    note: Callable[[NoteRow], object],
    environment: Mapping[str, str] = os.environ,
    *,
    warn: Callable[[str, str], object],
) -> MqttObserver | None:
    """The observer, or None where no broker is configured. ConfigError says what to mend.

    `state_folder` keeps the highest command sequence; `note` enters a row into the journal, `warn`
    is told the key and the text of an alert.
    """
    if section.broker is None:
        return None
    embedded = functools.partial(embedded_broker, section.port)
    address = address_of(
        section=section,
        broker=section.broker,
        instance=instance,
        environment=environment,
        state_folder=state_folder,
    )
    return MqttObserver(
        connect=connecting(address),
        topics=Topics(section.prefix, instance),
        encode=PayloadEncoder(Redactor(known_secrets(environment))),
        interval_s=section.interval_ms / 1000.0,
        commands=_commands(section, instance, state_folder, clock, note, environment),
        home_assistant=section.home_assistant,
        broker=embedded if section.broker == EMBEDDED else no_broker,
        taken_over=functools.partial(warn, "mqtt_session_taken_over", _taken_over(address)),
    )


def _taken_over(address: Address) -> str:
    return (
        f"the MQTT broker {address.host}:{address.port} ends each connection soon after it took it, as it does where "
        f"another client has our name {address.identifier!r}: end the other daemon, or give one of the two another "
        "--instance or mqtt.prefix"
    )


def client_identifier(prefix: str, instance: str, state_folder: Path) -> str:
    """The name that a broker knows a daemon by, 23 characters at most: a broker throws out the older of two clients of
    one name, so it has the topics' prefix, the machine and the run's folder in it, and is the same after a restart."""
    told = "\0".join((prefix, instance, socket.gethostname(), str(state_folder.resolve())))
    return f"ztb-{instance[:8]}-{hashlib.sha256(told.encode()).hexdigest()[:10]}"


def address_of(
    section: MqttSection,
    broker: str,
    instance: str,
    environment: Mapping[str, str],
    state_folder: Path = Path(),
) -> Address:
    """The address of `broker`, and how `instance`, which keeps its state in `state_folder`, signs in there.
    ConfigError says what to mend."""
    if section.username is not None and not section.tls and broker not in LOOPBACK:
        raise ConfigError(
            f"mqtt.username: its password would travel to {broker} in clear text; set mqtt.tls to true"
        )
    password = None
    if section.username is not None:
        password = require_secret("mqtt_password", "mqtt.username", environment)
    return Address(
        host="127.0.0.1" if broker == EMBEDDED else broker,
        port=section.port,
        identifier=client_identifier(section.prefix, instance, state_folder),
        username=section.username,
        password=password,
        tls=tls_context(section.ca_file) if section.tls else None,
    )


def _commands(
    section: MqttSection,
    instance: str,
    state_folder: Path,
    clock: Clock,
    note: Callable[[NoteRow], object],
    environment: Mapping[str, str],
) -> Commands | None:
    if not section.commands:
        return None
    key = require_secret("mqtt_command_key", "mqtt.commands", environment)
    gate = CommandGate(key, instance, SAFE + (RESUMING if section.allow_resume else ()))
    return Commands(gate, SequenceFile(state_folder / "mqtt_sequence"), clock, note)
