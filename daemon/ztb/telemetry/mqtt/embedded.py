"""A broker inside the daemon, on loopback, for trying MQTT without installing one."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from ztb.errors import ConfigError


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
