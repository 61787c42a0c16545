"""Faults that a start would meet, found without starting: nothing is listened on, connected to or written."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Mapping
from decimal import Decimal

from ztb.config import Config
from ztb.errors import ConfigError
from ztb.runtime.sources.live import venue_clients
from ztb.secrets import read_secret
from ztb.strategies.loader import load_strategy
from ztb.telemetry.mqtt.setup import EMBEDDED, address_of
from ztb.telemetry.notices import apprise_sender
from ztb.telemetry.web.listening import listening

_DEAREST_FEE = Decimal("0.01")  # no venue known here takes more of a trade


def faults_of(config: Config, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Faults that `ztb run` would find in `config`, or on this machine now, each with its remedy."""
    found: list[str] = []
    for check in (_strategies, _venue, _fees, _page, _broker, _notices):
        try:
            check(config, environment)
        except ConfigError as error:
            found.append(str(error))
    return found


def _strategies(config: Config, _environment: Mapping[str, str]) -> None:
    load_strategy(config.strategy.name)
    for name in config.allocation.rules:
        load_strategy(name)


def _venue(config: Config, _environment: Mapping[str, str]) -> None:
    if config.market.venue is not None:
        venue_clients(config.market)


def _fees(config: Config, _environment: Mapping[str, str]) -> None:
    for name in ("maker_fee", "taker_fee"):
        fee = getattr(config.market, name)
        if fee is not None and fee > _DEAREST_FEE:
            raise ConfigError(
                f"market.{name}: {fee} is {float(100 * fee):g} % of each trade; fees are fractions: 0.001 is 0.1 %"
            )


def _page(config: Config, environment: Mapping[str, str]) -> None:
    where = listening(config.telemetry, environment)
    if where is None:
        return
    if where.path is None:
        _bind("telemetry.web_listen", where.host, where.port)
    elif not where.path.parent.is_dir():
        raise ConfigError(f"telemetry.web_listen: there is no folder {where.path.parent}: make it")


def _broker(config: Config, environment: Mapping[str, str]) -> None:
    section = config.mqtt
    if section.broker is None:
        return
    address_of(section, section.broker, "check", environment)
    if section.broker == EMBEDDED:
        if importlib.util.find_spec("amqtt") is None:
            raise ConfigError("mqtt.broker = embedded needs amqtt: pip install 'ztb[broker]'")
        _bind("mqtt.port", "127.0.0.1", section.port)


def _notices(_config: Config, environment: Mapping[str, str]) -> None:
    urls = read_secret("notify_urls", environment)
    if urls is not None:
        apprise_sender(urls)


def _bind(key: str, host: str, port: int) -> None:
    """ConfigError if nobody could listen there now."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        raise ConfigError(
            f"{key}: nobody can listen on {host}:{port}: {error.strerror or error}; end what has it (this daemon, "
            "perhaps) or choose another"
        ) from None
