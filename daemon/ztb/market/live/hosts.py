"""Which hosts a client may reach: every URL it holds is looked at before it is used."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import urlsplit

from ztb.errors import ConfigError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# Addresses for people, never connected to.
_FOR_READERS = ("www", "doc", "fees", "logo", "referral", "api_management", "test")


def refuse_other_hosts(urls: Any, hostname: str | None, allowed: Collection[str]) -> None:
    """ConfigError if any URL in `urls` (ccxt's nested table) names a host that is not in `allowed`.

    `hostname` is what `{hostname}` stands for. Addresses for readers (documentation, logos) are not looked at.
    """
    for place, url in _connected(urls, ""):
        host = urlsplit(url.replace("{hostname}", hostname or "")).hostname
        if host not in allowed:
            raise ConfigError(
                f"urls{place}: {url!r} leads to {host}, only {', '.join(sorted(allowed))} may be reached: "
                "name another URL in venue.client, or the host in venue.allowed_hosts"
            )


def _connected(urls: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(urls, dict):
        for key, value in urls.items():
            if place or key not in _FOR_READERS:
                yield from _connected(value, f"{place}.{key}")
    elif isinstance(urls, list | tuple):
        for i, value in enumerate(urls):
            yield from _connected(value, f"{place}[{i}]")
    elif isinstance(urls, str):
        yield place, urls
