"""The observer against real brokers: everything arrives, and whatever a broker does, it comes back."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from telemetry.made_up import HALTED, alert, decision_row, fill_row, generation_row, refusal_row, snapshot
from telemetry.mqtt.brokers import MOSQUITTO, Mosquitto, certificates, free_port, listening
from ztb.config import MqttSection
from ztb.control import Answer, Command, Halt, Status
from ztb.errors import ConfigError
from ztb.ledger.records import NoteRow
from ztb.telemetry.mqtt.connection import Link, LinkLost
from ztb.telemetry.mqtt.publisher import MqttObserver
from ztb.telemetry.mqtt.setup import client_identifier, mqtt_observer
from ztb.telemetry.mqtt.signing import Body, sign
from ztb.telemetry.mqtt.topics import Topic

KEY = "a key that is shared"
PASSWORD = "the broker's password"
SECRETS = {"ZTB_SECRET_MQTT_COMMAND_KEY": KEY, "ZTB_SECRET_MQTT_PASSWORD": PASSWORD}

needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


class WallClock:
    def now_ns(self) -> int:
        return time.time_ns()


class Daemon:
    """What an observer watches, with controls that remember."""

    def __init__(self, folder: Path, **section: Any) -> None:
        self.notes: list[NoteRow] = []
        self.executed: list[Command] = []
        self.alerts: list[tuple[str, str]] = []
        self.state = snapshot()
        settings = MqttSection(**{"interval_ms": 100, **section})
        made = mqtt_observer(
            settings, "paper", folder, WallClock(), self.notes.append, SECRETS, warn=self.warn
        )
        assert made is not None
        self.observer: MqttObserver = made

    def warn(self, key: str, text: str) -> None:
        self.alerts.append((key, text))

    async def execute(self, command: Command, origin: str) -> Answer:
        self.executed.append(command)
        return Answer(True, "halted")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[MqttObserver]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.observer.run(lambda: self.state, self))
            yield self.observer
            task.cancel()


async def until(condition: Callable[[], bool], within_s: float = 15.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def connected(observer: MqttObserver) -> Callable[[], bool]:
    return lambda: observer.gauges()["mqtt_connected"] == 1.0


@pytest.fixture
def mosquitto_of(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Makes brokers that end with the test."""
    made: list[Mosquitto] = []

    def make(*lines: str) -> Mosquitto:
        made.append(Mosquitto(tmp_path, list(lines) or ["allow_anonymous true"]))
        return made[-1]

    yield make
    for mosquitto in made:
        mosquitto.stop()


@pytest.fixture(params=["embedded", pytest.param("mosquitto", marks=needs_mosquitto)])
async def broker(request: pytest.FixtureRequest, mosquitto_of: Callable[..., Mosquitto]) -> dict[str, Any]:
    """Settings that reach a broker."""
    if request.param == "embedded":
        return {"broker": "embedded", "port": free_port()}
    mosquitto = mosquitto_of()
    await mosquitto.start()
    return {"broker": "127.0.0.1", "port": mosquitto.port}


def order(sequence: int, command: Command) -> bytes:
    return sign(KEY, Body("paper", sequence, time.time_ns() // 1_000_000 + 30_000, command))


async def test_everything_is_published_and_commands_are_answered(broker, tmp_path):
    daemon = Daemon(tmp_path, **broker, commands=True)
    async with daemon.running() as observer:
        await until(connected(observer))
        async with listening(broker["port"], "ztb/paper/#") as ear:
            status = await ear.hear("/status", online=True)
            assert status["state"] == "trading" and status["retained"] and status["schema_version"] == 1
            state = await ear.hear("/state")
            assert state["equity"] == 10_012.6 and state["schema_version"] == 2
            assert (await ear.hear("/metrics"))["drawdown"] == 0.012
            observer.record(refusal_row())
            observer.record(decision_row(7))
            observer.record(fill_row(3))
            observer.record(generation_row(4))
            observer.alert(alert(text=f"password {PASSWORD} was refused"))
            assert (await ear.hear("/alerts"))["text"] == "password [secret] was refused"
            fill = await ear.hear("/fills", fill_id=3)
            assert fill["price"] == "5000.12" and fill["schema_version"] == 1
            assert (await ear.hear("/generations"))["event"] == "promoted"
            decision = await ear.hear("/decisions")
            assert decision["decision"] == 7 and "observation" not in decision
            await ear.client.publish("ztb/paper/command", order(1, Halt("enough")), qos=1)
            answer = await ear.hear("/ack", sequence=1)
            assert answer["ok"] and answer["command"] == "halt" and daemon.executed == [Halt("enough")]
            await ear.client.publish("ztb/paper/command", order(1, Halt("again")), qos=1)
            assert (await ear.hear("/ack", ok=False))["refused"] == "sequence"
            daemon.state = snapshot(conditions=(HALTED,))
            assert (await ear.hear("/status"))["reason"] == HALTED.text
    assert [note.kind for note in daemon.notes] == ["mqtt_command", "mqtt_command_refused"]
    assert len(daemon.executed) == 1


async def test_a_retained_command_is_never_obeyed(broker, tmp_path):
    daemon = Daemon(tmp_path, **broker, commands=True)
    if broker["broker"] == "embedded":
        pytest.skip("nobody can publish before the broker runs")
    async with listening(broker["port"], "ztb/paper/ack") as ear:
        await ear.client.publish("ztb/paper/command", order(1, Halt("old")), qos=1, retain=True)
        async with daemon.running():
            assert (await ear.hear("/ack"))["refused"] == "retained"
    assert daemon.executed == [] and daemon.notes[0].kind == "mqtt_command_refused"


async def test_without_the_setting_no_command_is_taken(broker, tmp_path):
    daemon = Daemon(tmp_path, **broker)
    async with daemon.running() as observer:
        await until(connected(observer))
        async with listening(broker["port"], "ztb/paper/#") as ear:
            await ear.client.publish("ztb/paper/command", order(1, Halt("enough")), qos=1)
            await ear.hear("/command")
            await ear.hear("/state")
    assert daemon.executed == [] and daemon.notes == []


@needs_mosquitto
async def test_who_stops_says_so_and_who_vanishes_is_said_to_have(mosquitto_of, tmp_path):
    mosquitto = mosquitto_of()
    await mosquitto.start()
    daemon = Daemon(tmp_path, broker="127.0.0.1", port=mosquitto.port)
    async with listening(mosquitto.port, "ztb/paper/status") as ear:
        async with daemon.running():
            await ear.hear("/status", online=True)
        assert (await ear.hear("/status", online=False))["reason"] == "stopped"
        async with daemon.running():
            await ear.hear("/status", online=True)
            async with aiomqtt.Client(
                "127.0.0.1", mosquitto.port, identifier=client_identifier("ztb", "paper", tmp_path)
            ):
                assert (await ear.hear("/status", online=False))["reason"] == "connection lost"


@needs_mosquitto
async def test_a_broker_that_restarts_gets_the_newest_state_and_what_it_missed(
    mosquitto_of, tmp_path, monkeypatch
):
    monkeypatch.setattr("ztb.telemetry.mqtt.publisher._FIRST_PAUSE_S", 0.05)
    mosquitto = mosquitto_of()
    await mosquitto.start()
    daemon = Daemon(tmp_path, broker="127.0.0.1", port=mosquitto.port)
    async with daemon.running() as observer:
        await until(connected(observer))
        mosquitto.stop()
        await until(lambda: not connected(observer)())
        observer.record(fill_row(1))
        daemon.state = snapshot(equity=1.0)
        await mosquitto.start()
        async with listening(mosquitto.port, "ztb/paper/#") as ear:
            assert (await ear.hear("/state"))["equity"] == 1.0
        await until(lambda: observer.gauges()["mqtt_connections"] == 2.0)
        await until(lambda: observer.gauges()["mqtt_waiting"] <= 2.0)


@needs_mosquitto
async def test_a_broker_that_stops_reading_holds_nothing_up(mosquitto_of, tmp_path, monkeypatch):
    """The process is frozen: its socket stays open and takes what fits."""
    monkeypatch.setattr("ztb.telemetry.mqtt.publisher._FIRST_PAUSE_S", 0.05)
    mosquitto = mosquitto_of()
    await mosquitto.start()
    daemon = Daemon(tmp_path, broker="127.0.0.1", port=mosquitto.port)
    async with daemon.running() as observer:
        await until(connected(observer))
        assert mosquitto.process is not None
        mosquitto.process.send_signal(signal.SIGSTOP)
        for number in range(30_000):
            observer.record(fill_row(number))
            if number % 1000 == 0:
                await asyncio.sleep(0)
        gauges = observer.gauges()
        assert gauges["mqtt_waiting"] <= 1003 and gauges["mqtt_missed"] >= 28_990
        mosquitto.process.send_signal(signal.SIGCONT)
        async with listening(mosquitto.port, "ztb/paper/fills") as ear:
            last = await ear.hear("/fills", fill_id=29_999)
        assert last["missed"] >= 28_990


def guarded(mosquitto_of: Callable[..., Mosquitto], folder: Path, host: str) -> tuple[Mosquitto, Path]:
    """A Mosquitto with TLS, passwords and an ACL: `ztb` may publish, `phone` may read and command."""
    certificate, private = certificates(folder, host)
    passwords, rules = folder / "passwords", folder / "acl"
    passwords.touch(mode=0o600)
    for user in ("ztb", "phone"):
        subprocess.run(
            ["mosquitto_passwd", "-b", str(passwords), user, PASSWORD], check=True, capture_output=True
        )
    rules.write_text(
        "user ztb\ntopic readwrite ztb/paper/#\nuser phone\ntopic read ztb/paper/#\ntopic write ztb/paper/command\n"
    )
    lines = [
        "allow_anonymous false", f"password_file {passwords}", f"acl_file {rules}",
        f"certfile {certificate}", f"keyfile {private}",
    ]  # fmt: skip
    return mosquitto_of(*lines), certificate


@needs_mosquitto
async def test_password_acl_and_tls(mosquitto_of, tmp_path):
    mosquitto, certificate = guarded(mosquitto_of, tmp_path, "127.0.0.1")
    await mosquitto.start()
    daemon = Daemon(
        tmp_path, broker="127.0.0.1", port=mosquitto.port, tls=True, ca_file=str(certificate), username="ztb",
        commands=True,
    )  # fmt: skip
    tls = ssl.create_default_context(cafile=str(certificate))
    account = {"username": "phone", "password": PASSWORD}
    async with daemon.running() as observer, listening(mosquitto.port, "ztb/paper/#", tls, **account) as ear:
        assert (await ear.hear("/status", online=True))["state"] == "trading"
        await ear.client.publish("ztb/paper/status", b'{"online": "forged"}', qos=1, retain=True)
        await ear.client.publish("ztb/paper/command", order(1, Status()), qos=1)
        assert (await ear.hear("/ack"))["ok"]
        observer.alert(alert())
        await ear.hear("/alerts")


# paho leaves the socket of a failed handshake to the collector.
@pytest.mark.filterwarnings("ignore:.*SSLSocket.*:pytest.PytestUnraisableExceptionWarning")
@needs_mosquitto
@pytest.mark.parametrize("fault", ["another authority", "another name", "no password", "plain text"])
async def test_a_broker_that_cannot_be_trusted_or_does_not_trust_us_is_tried_again(
    fault, mosquitto_of, tmp_path, monkeypatch
):
    monkeypatch.setattr("ztb.telemetry.mqtt.connection._TIMEOUT_S", 1.0)
    monkeypatch.setattr("ztb.telemetry.mqtt.publisher._FIRST_PAUSE_S", 0.05)
    mosquitto, certificate = guarded(
        mosquitto_of, tmp_path, "127.0.0.2" if fault == "another name" else "127.0.0.1"
    )
    settings: dict[str, Any] = {"tls": fault != "plain text", "ca_file": str(certificate), "username": "ztb"}
    if fault == "another authority":
        settings["ca_file"] = None
    if fault == "no password":
        settings["username"] = "nobody"
    await mosquitto.start()
    daemon = Daemon(tmp_path, broker="127.0.0.1", port=mosquitto.port, **settings)
    lost = asyncio.Queue[str]()
    monkeypatch.setattr(
        "ztb.telemetry.mqtt.publisher._logger.warning", lambda event, reason, retry_s: lost.put_nowait(reason)
    )
    async with daemon.running() as observer:
        reasons = [await asyncio.wait_for(lost.get(), 60) for _ in range(2)]
        observer.record(fill_row())
        assert observer.gauges()["mqtt_connected"] == 0.0 and observer.gauges()["mqtt_waiting"] == 1.0
    assert all(reasons)


async def test_home_assistant_finds_the_sensors(broker, tmp_path):
    daemon = Daemon(tmp_path, **broker, home_assistant=True)
    async with daemon.running() as observer:
        await until(connected(observer))
        async with listening(broker["port"], "homeassistant/#") as ear:
            sensor = await ear.hear("sensor/ztb_paper/equity/config")
    assert sensor["state_topic"] == "ztb/paper/state" and sensor["unit_of_measurement"] == "USD"
    assert sensor["value_template"] == "{{ value_json.equity }}" and sensor["device"]["name"] == "ztb paper"


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"broker": "broker.example", "username": "u"}, "clear text; set mqtt.tls"),
        ({"broker": "h", "tls": True, "ca_file": "/nowhere"}, "mqtt.ca_file: /nowhere: no certificates"),
        ({"broker": "h", "prefix": "a/#"}, "cannot be part of a topic"),
    ],
)
def test_a_setting_that_cannot_work_is_an_error_that_says_so(section, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        Daemon(tmp_path, **section)


def test_commands_need_a_key(tmp_path):
    section = MqttSection(broker="h", commands=True)
    with pytest.raises(ConfigError, match=r"mqtt.commands needs the secret 'mqtt_command_key'"):
        mqtt_observer(section, "paper", tmp_path, WallClock(), print, {}, warn=print)


def test_it_is_off_by_default(tmp_path):
    assert mqtt_observer(MqttSection(), "paper", tmp_path, WallClock(), print, {}, warn=print) is None


@needs_mosquitto
async def test_a_session_that_is_taken_over_is_an_alert(mosquitto_of, tmp_path, monkeypatch):
    """Copies of one folder, on machines of one name: each throws the others out for ever."""
    monkeypatch.setattr("ztb.telemetry.mqtt.publisher._FIRST_PAUSE_S", 0.02)
    mosquitto = mosquitto_of()
    await mosquitto.start()
    twins = [Daemon(tmp_path, broker="127.0.0.1", port=mosquitto.port) for _ in range(2)]
    async with contextlib.AsyncExitStack() as stack:
        for twin in twins:
            await stack.enter_async_context(twin.running())
        await until(lambda: all(twin.alerts for twin in twins))
    for twin in twins:
        key, text = twin.alerts[0]
        assert key == "mqtt_session_taken_over"
        assert client_identifier("ztb", "paper", tmp_path) in text and "--instance or mqtt.prefix" in text


@pytest.mark.parametrize("others", [("alice", "bob"), ("ztb", "bob", "carol")])
@needs_mosquitto
async def test_daemons_of_other_prefixes_leave_each_other_alone(mosquitto_of, tmp_path, others):
    mosquitto = mosquitto_of()
    await mosquitto.start()
    section = {"broker": "127.0.0.1", "port": mosquitto.port}
    daemons = [Daemon(tmp_path, prefix=prefix, **section) for prefix in others]
    async with contextlib.AsyncExitStack() as stack:
        seen = [await stack.enter_async_context(daemon.running()) for daemon in daemons]
        await until(lambda: all(connected(observer)() for observer in seen))
        async with listening(mosquitto.port, "#") as ear:
            for prefix in (*others, *others):
                async with asyncio.timeout(60):
                    async for message in ear.client.messages:
                        if message.topic.value == f"{prefix}/paper/metrics":
                            break
        assert [observer.gauges()["mqtt_connections"] for observer in seen] == [1.0] * len(seen)
    assert not any(daemon.alerts for daemon in daemons)


async def test_a_broker_that_is_not_there_takes_nothing_over(tmp_path, monkeypatch):
    monkeypatch.setattr("ztb.telemetry.mqtt.publisher._LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr("ztb.telemetry.mqtt.publisher._FIRST_PAUSE_S", 0.01)
    daemon, tries = Daemon(tmp_path, broker="127.0.0.1", port=free_port()), []

    @contextlib.asynccontextmanager
    async def refused(will: Topic, payload: bytes) -> AsyncIterator[Link]:
        tries.append(will)
        raise LinkLost("refused")
        yield

    monkeypatch.setattr(daemon.observer, "_connect", refused)
    async with daemon.running():
        await until(lambda: len(tries) > 10)
    assert not daemon.alerts


def test_no_two_daemons_have_one_name_at_the_broker(tmp_path):
    made = [
        (prefix, instance, folder)
        for prefix in ("ztb", "alice", "bob")
        for instance in ("ztb", "paper", "a-very-long-name-of-an-instance")
        for folder in (tmp_path / "a", tmp_path / "b")
    ]
    names = [client_identifier(*one) for one in made]
    assert len(set(names)) == len(names)
    assert names == [client_identifier(*one) for one in made], "the same after a restart"
    assert all(len(name) <= 23 for name in names), "what every broker of MQTT 3.1.1 takes"
