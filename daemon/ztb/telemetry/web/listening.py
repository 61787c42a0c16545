"""The address of the page: loopback or a unix socket for whoever is on the machine, elsewhere only with TLS and
a token."""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ztb.config import TelemetrySection
from ztb.errors import ConfigError
from ztb.secrets import read_secret, require_secret

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Listening:
    """`path` for a unix socket, else `host` and `port` (0: the system chooses)."""

    hosts: frozenset[str]
    host: str = ""
    port: int = 0
    path: Path | None = None
    tls: ssl.SSLContext | None = None
    token: str | None = None


def listening(section: TelemetrySection, environment: Mapping[str, str] = os.environ) -> Listening | None:
    """The address to listen on, or None where nothing is configured. ConfigError says what is missing."""
    where = section.web_listen
    if where is None:
        return None
    if where.startswith("unix:"):
        path = Path(where.removeprefix("unix:"))
        return Listening(_LOOPBACK_NAMES, path=path, token=read_secret("web_token", environment))
    host, port = _address(where)
    names = _LOOPBACK_NAMES | {name.lower() for name in section.web_hosts}
    if _is_loopback(host):
        token = read_secret("web_token", environment)
        return Listening(names, host, port, tls=_tls(section), token=token)
    return _guarded(section, host, port, environment)


def _guarded(section: TelemetrySection, host: str, port: int, environment: Mapping[str, str]) -> Listening:
    why = f"telemetry.web_listen: {host} can be reached from other machines; that"
    tls = _tls(section)
    if tls is None:
        raise ConfigError(f"{why} needs TLS: set telemetry.web_certificate and telemetry.web_private_key")
    if not section.web_hosts:
        raise ConfigError(f"{why} needs telemetry.web_hosts, the names that browsers will use")
    token = require_secret("web_token", why.removesuffix("; that") + ", which", environment)
    return Listening(frozenset(name.lower() for name in section.web_hosts), host, port, tls=tls, token=token)


def _tls(section: TelemetrySection) -> ssl.SSLContext | None:
    certificate, key = section.web_certificate, section.web_private_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ConfigError("telemetry: web_certificate and web_private_key go together; set both")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"telemetry.web_certificate: {certificate}, {key}: cannot be used: {error}"
        ) from None
    return context


def _address(where: str) -> tuple[str, int]:
    host, _, port = where.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ConfigError(
            f"telemetry.web_listen: {where!r} is not HOST:PORT, such as 127.0.0.1:8600, or unix:PATH"
        )
    return host.strip("[]"), int(port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
