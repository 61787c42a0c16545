"""Sends messages through apprise: mail, Telegram, Signal, ntfy, Matrix and a hundred others."""

from __future__ import annotations

import asyncio
import importlib
import logging
from typing import Any

from ztb.errors import ConfigError
from ztb.telemetry.notices import Notice, NotSent, Send

_TYPES = {"info": "info", "warning": "warning", "critical": "failure"}
_TIMEOUT_S = 30.0


def apprise_sender(urls: str) -> Send:
    """Sends to all of `urls`, apprise's own, separated by white space. ConfigError: not installed, or not understood.

    Each message is sent from a thread: no service's slowness is the trading's.
    """
    try:
        apprise: Any = importlib.import_module("apprise")
    except ModuleNotFoundError:
        raise ConfigError("the secret notify_urls needs apprise: pip install 'ztb[notify]'") from None
    logging.getLogger("apprise").setLevel(logging.ERROR)
    services = apprise.Apprise()
    for number, url in enumerate(urls.split(), 1):
        if not services.add(url):
            raise ConfigError(
                f"the secret notify_urls: number {number} is no URL that apprise understands; see `apprise --help`"
            )

    async def send(notice: Notice) -> None:
        work = asyncio.to_thread(
            services.notify, body=notice.body, title=notice.title, notify_type=_TYPES[notice.severity]
        )
        try:
            sent = await asyncio.wait_for(work, _TIMEOUT_S)
        except TimeoutError:
            raise NotSent(f"no answer in {_TIMEOUT_S:.0f} s") from None
        if not sent:
            raise NotSent("a service did not take it")

    return send
