"""Every route, for every kind of visitor: nobody sees more than they should."""

from __future__ import annotations

import itertools
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from telemetry.made_up import WORDS, alert, fill_row, snapshot
from telemetry.mqtt.brokers import certificates
from telemetry.web.served import Served
from ztb.config import TelemetrySection
from ztb.errors import ConfigError
from ztb.secrets import Redactor
from ztb.telemetry.metrics import Metrics
from ztb.telemetry.web.guard import PUBLIC
from ztb.telemetry.web.listening import Listening, listening
from ztb.telemetry.web.server import ASSETS, WebObserver

TOKEN = "a token that nobody guesses"
TOKENS = {
    "no token": {},
    "wrong token": {"Authorization": "Bearer wrong"},
    "right token": {"Authorization": f"Bearer {TOKEN}"},
}
PLACES = {
    "home": {},
    "foreign host": {"Host": "evil.example"},
    "foreign origin": {"Origin": "https://evil.example"},
}


def routes() -> list[tuple[str, str]]:
    """Method and path of every route, off the router's own table."""
    made = WebObserver(Listening(frozenset()), Metrics(), Redactor()).application()
    found = [(route.method, route.resource.canonical) for route in made.router.routes() if route.resource]
    assert len(found) >= 9
    return [(method, path) for method, path in found if method != "HEAD"]


def visit(path: str) -> str:
    return path.replace("{name}", next(iter(ASSETS)))


@pytest.mark.parametrize(("method", "path"), [*routes(), ("GET", "/nowhere"), ("DELETE", "/state")])
async def test_every_route_for_every_visitor(method, path):
    """A new route is in the table, so it is tested before anybody has thought of it."""
    async with Served(token=TOKEN).running() as served, aiohttp.ClientSession() as session:
        for token, place in itertools.product(TOKENS, PLACES):
            headers: dict[str, str] = {**TOKENS[token], **PLACES[place]}
            if path == "/live":
                headers |= {
                    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
                }  # fmt: skip
            url = f"http://127.0.0.1:{served.port}{visit(path)}"
            async with session.request(method, url, headers=headers, allow_redirects=False) as answer:
                known = path in PUBLIC or token == "right token"
                case = (token, place, answer.status)
                if place != "home":
                    assert answer.status == 403, case
                elif not known:
                    assert answer.status == 401, case
                elif path == "/nowhere":
                    assert answer.status == 404, case
                elif method == "DELETE":
                    assert answer.status == 405, case
                elif method == "POST":
                    assert answer.status == 401, case
                else:
                    assert answer.status in (200, 101), case
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy and "unsafe" not in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                if answer.status in (401, 403):
                    assert "equity" not in await answer.text()


def test_without_a_token_there_is_the_login_and_what_it_looks_like_and_nothing_else():
    assert PUBLIC == ("/login", "/assets/{name}")


async def test_a_right_token_becomes_a_cookie_that_does_not_hold_it():
    jar = aiohttp.CookieJar(unsafe=True)
    async with Served(token=TOKEN).running() as served, aiohttp.ClientSession(cookie_jar=jar) as session:
        base = f"http://127.0.0.1:{served.port}"
        home = {"Origin": base}
        async with session.post(f"{base}/login", data={"token": "wrong"}, headers=home) as answer:
            assert answer.status == 401
        async with session.post(
            f"{base}/login", data={"token": TOKEN}, headers=home, allow_redirects=False
        ) as answer:
            cookie = answer.headers["Set-Cookie"]
            assert (
                answer.status == 303
                and "HttpOnly" in cookie
                and "SameSite=Strict" in cookie
                and TOKEN not in cookie
            )
        async with session.get(f"{base}/state") as answer:
            assert answer.status == 200 and (await answer.json())["equity"] == 10_012.6


async def test_the_websocket_tells_history_then_news():
    async with Served().running() as served, aiohttp.ClientSession() as session:
        served.live_a_day()
        async with session.ws_connect(f"http://127.0.0.1:{served.port}/live") as socket:
            first = await socket.receive_json(timeout=60)
            assert len(first["history"]["marks"]) > 700 and first["snapshot"]["equity"] == 10_012.6
            served.observer.record(fill_row(99))
            second = await socket.receive_json(timeout=60)
            assert second["news"]["fills"] == [[1.6e9, 5000.12, 1, 0.01]]
            assert served.observer.gauges() == {"web_viewers": 1.0}


async def test_a_secret_in_an_alert_or_a_reason_is_not_shown():
    served = Served(Redactor(["hunter2-hunter2"]))
    served.now = snapshot(
        conditions=(WORDS.halted("key hunter2-hunter2 was refused", "socket", 0),),
        alerts=(alert(text="hunter2-hunter2"),),
    )
    served.observer.alert(alert(text="hunter2-hunter2"))
    async with served.running(), aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{served.port}/state") as answer:
            assert "hunter2" not in await answer.text()
        async with session.ws_connect(f"http://127.0.0.1:{served.port}/live") as socket:
            text = (await socket.receive()).data
            assert "hunter2" not in text and text.count("[secret]") == 3


async def test_a_unix_socket_serves_too(tmp_path):
    path = tmp_path / "web.sock"
    async with Served(path=path).running():
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
            async with session.get("http://localhost/metrics") as answer:
                assert answer.status == 200 and "ztb_equity_quote 10012.6" in await answer.text()


async def test_tls_serves_under_its_name_alone(tmp_path):
    certificate, key = certificates(tmp_path, "127.0.0.1")
    section = TelemetrySection(
        web_listen="0.0.0.0:0",
        web_certificate=str(certificate),
        web_private_key=str(key),
        web_hosts=("127.0.0.1",),
    )
    where = listening(section, {"ZTB_SECRET_WEB_TOKEN": TOKEN})
    assert where is not None and where.tls is not None and where.hosts == {"127.0.0.1"}
    served = Served(hosts=where.hosts, tls=where.tls, token=where.token)
    tls = ssl.create_default_context(cafile=str(certificate))
    async with served.running(), aiohttp.ClientSession() as session:
        url = f"https://127.0.0.1:{served.port}/state"
        async with session.get(url, ssl=tls, headers=TOKENS["right token"]) as answer:
            assert answer.status == 200 and "max-age" in answer.headers["Strict-Transport-Security"]
        localhost = {"Host": f"localhost:{served.port}"}
        async with session.get(url, ssl=tls, headers=TOKENS["right token"] | localhost) as answer:
            assert answer.status == 403


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"web_listen": "0.0.0.0:8600"}, "0.0.0.0 can be reached from other machines; that needs TLS"),
        ({"web_listen": "example.org:8600"}, "needs TLS"),
        ({"web_listen": "8600"}, "is not HOST:PORT"),
        ({"web_listen": "127.0.0.1:99999"}, "is not HOST:PORT"),
        ({"web_listen": "127.0.0.1:1", "web_certificate": "a.pem"}, "go together; set both"),
        (
            {"web_listen": "127.0.0.1:1", "web_certificate": "/no", "web_private_key": "/no"},
            "/no: cannot be used",
        ),
    ],
)
def test_a_setting_that_would_open_the_page_to_all_is_an_error(settings, message):
    with pytest.raises(ConfigError, match=message):
        listening(TelemetrySection(**settings), {})


def test_other_machines_need_a_token_and_names(tmp_path: Path):
    certificate, key = certificates(tmp_path, "127.0.0.1")
    settings: dict[str, Any] = {
        "web_listen": "0.0.0.0:1",
        "web_certificate": str(certificate),
        "web_private_key": str(key),
    }
    with pytest.raises(ConfigError, match=r"needs telemetry.web_hosts"):
        listening(TelemetrySection(**settings), {})
    with pytest.raises(ConfigError, match="needs the secret 'web_token'"):
        listening(TelemetrySection(**settings, web_hosts=("z",)), {})


async def test_an_address_that_is_taken_is_an_error_that_says_so():
    async with Served().running() as served:
        with pytest.raises(ConfigError, match=r"telemetry.web_listen: cannot listen there"):
            await Served(port=served.port).observer.run(lambda: served.now, None)  # type: ignore[arg-type]


def test_it_is_off_by_default():
    assert listening(TelemetrySection(), {}) is None
