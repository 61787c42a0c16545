"""Who named no venue has nobody asked: no verb looks up a name or connects anywhere, not to find out that it may not."""

from __future__ import annotations

import asyncio
import shlex
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ztb.cli import run

VERBS = [
    ("run --mode paper", 78), ("run --mode paper --symbol BTC/USDT", 78), ("run --mode live", 78),
    ("run --mode live --symbol BTC/USDT", 78), ("doctor", None), ("config check", 0), ("config show", 0),
    ("data download --symbol BTC/USDT --from 2024-01-01 --out there", 78), ("arm --run there --limit 10", 78),
    ("status", 75), ("data info bars.csv", 0),
    ("replay --data bars.csv --strategy hold --learner off --out made", 0),
]  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Names looked up and addresses connected to, but for files."""
    heard: list[object] = []
    look_up, connect = socket.getaddrinfo, socket.socket.connect

    def looked_up(host: object, *rest: object, **named: object) -> object:
        heard.append(host)
        return look_up(host, *rest, **named)  # type: ignore[arg-type]

    def connected(self: socket.socket, address: object) -> object:
        if self.family != socket.AF_UNIX:
            heard.append(address)
        return connect(self, address)  # type: ignore[arg-type]

    async def connected_later(_loop: object, sock: socket.socket, address: object) -> None:
        heard.append(address)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    monkeypatch.setattr(socket.socket, "connect", connected)
    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", connected_later)
    return heard


@pytest.mark.parametrize(("typed", "code"), VERBS)
def test_without_a_venue_nobody_is_reached(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_bars: Callable[..., Path],
    asked: list[object],
    typed: str,
    code: int | None,
) -> None:
    monkeypatch.setenv("ZTB_SECRET_EXCHANGE_API_KEY", "k" * 64)
    monkeypatch.setenv("ZTB_SECRET_EXCHANGE_SECRET", "s" * 64)
    write_bars(150).rename(tmp_path / "bars.csv")
    monkeypatch.chdir(tmp_path)
    found = run(shlex.split(typed))
    assert asked == []
    assert code is None or found == code


def test_who_names_one_does_reach_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[object]
) -> None:
    """To the one host that is allowed: what is counted here counts."""
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("localhost", port))
    assert asked
