"""States × outputs: each state is reached in a real daemon on the local exchange (or, for learners, on history), and
every output says it in the words of the one source: log, alert, status, its exit code, metrics, MQTT, Home Assistant,
notices, the page, the service manager's line, and the report.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import msgspec
import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from chaos.stage import WARM_S, Stage, stage
from runtime.daemons import make_daemon, running, until
from ztb.commands import control
from ztb.config.running import TelemetrySection
from ztb.control import Answer, Command, Disarm, Flatten, Freeze, Halt, Resume
from ztb.learning.online import Dropped
from ztb.learning.process.channel import Doing
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import LOSS_LIMIT, NoteRow
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.daemon.daemon import Daemon
from ztb.secrets import Redactor
from ztb.telemetry.conditions import Condition, state_of
from ztb.telemetry.metrics import Metrics
from ztb.telemetry.mqtt.connection import Incoming
from ztb.telemetry.mqtt.payloads import PayloadEncoder
from ztb.telemetry.mqtt.publisher import MqttObserver
from ztb.telemetry.mqtt.topics import Topic, Topics, discovery
from ztb.telemetry.notices import Notice, NoticeObserver
from ztb.telemetry.report import write_report
from ztb.telemetry.snapshot import AlertFact, DaemonSnapshot
from ztb.telemetry.systemd import status_line
from ztb.telemetry.web.listening import listening
from ztb.telemetry.web.server import WebObserver
from ztb.testing.virtual_time import run_virtual

TOPICS = Topics("ztb", "chaos")


class Ether:
    """A broker that keeps what it is given, newest of each topic."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    @contextlib.asynccontextmanager
    async def connect(self, _topic: Topic, _will: bytes) -> AsyncIterator[Ether]:
        yield self

    async def publish(self, topic: Topic, payload: bytes) -> None:
        self.kept[topic.name] = json.loads(payload)

    async def subscribe(self, _topic: str) -> bool:
        return True

    async def messages(self) -> AsyncIterator[Incoming]:
        await asyncio.Event().wait()
        yield Incoming(b"", False)


@dataclass
class Watching:
    """Observers of a daemon that keep what they hear."""

    ether: Ether = field(default_factory=Ether)
    notices: list[Notice] = field(default_factory=list)
    alerts: list[AlertFact] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)
    page: WebObserver | None = None
    name: str = "watching"

    def of(self, daemon: Daemon) -> None:
        async def send(notice: Notice) -> None:
            self.notices.append(notice)

        encode = PayloadEncoder(Redactor())
        mqtt = MqttObserver(self.ether.connect, TOPICS, encode, 0.1, home_assistant=True)
        settings = TelemetrySection(web_listen="127.0.0.1:0")
        where = listening(settings, {})
        assert where is not None
        self.page = WebObserver(where, Metrics(), Redactor())
        daemon.watch([mqtt, NoticeObserver(send, "warning", Redactor()), self.page, self])

    async def state_of_the_page(self) -> dict[str, Any]:
        """What the page is given to show."""
        assert self.page is not None
        host, port = self.page.addresses[0]
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"GET /state HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
        shown: dict[str, Any] = json.loads((await reader.read()).partition(b"\r\n\r\n")[2])
        writer.close()
        return shown

    def record(self, record: Any) -> None:
        self.metrics.record(record)

    def alert(self, alert: AlertFact) -> None:
        self.alerts.append(alert)
        self.metrics.alert(alert)

    async def run(self, _snapshot: object, _controls: object) -> None:
        await asyncio.Event().wait()


Reach = Callable[[Stage, Daemon], Awaitable[object]]


@dataclass(frozen=True)
class Case:
    """`reach` brings a daemon of `mode` with `settings` to where `kind` holds and its state is `state`; `says`: words
    that a person needs; `reported`: whether the journal, and so the report, knows of it.
    """

    kind: str
    state: str
    reach: Reach
    says: tuple[str, ...] = ()
    mode: str = "paper"
    settings: dict[str, Any] = field(default_factory=dict)
    before: Callable[[Stage], object] = lambda _stage: None
    reported: bool = True
    settle_s: float = 12.0  # until notices, of which one goes out in ten seconds, are told


def ask(command: Command) -> Reach:
    async def reach(_it: Stage, daemon: Daemon) -> None:
        await asyncio.sleep(WARM_S + 5.0)
        assert (await daemon.controls.execute(command, "socket")).ok

    return reach


async def touch(it: Stage, _daemon: Daemon) -> None:
    await asyncio.sleep(WARM_S)
    (it.folder / "halt").touch()


async def move_money(it: Stage, daemon: Daemon) -> None:
    """Somebody else takes half of what the account holds."""
    await asyncio.sleep(WARM_S + 5.0)
    account = next(iter(it.exchange.accounts.values())) if hasattr(it.exchange, "accounts") else None
    assert account is not None
    account.free["USDT"] = account.free["USDT"] // 2


async def wait(_it: Stage, daemon: Daemon) -> None:
    await asyncio.sleep(WARM_S + 10.0)


def has(kind: str) -> Reach:
    async def reach(_it: Stage, daemon: Daemon) -> None:
        async with asyncio.timeout(600.0):
            while not any(one.kind == kind for one in daemon.snapshot().conditions):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    return reach


def rung(kind: str, words: str) -> Reach:
    async def reach(_it: Stage, daemon: Daemon) -> None:
        async with asyncio.timeout(3600.0):
            while not any(one.kind == kind and words in one.text for one in daemon.snapshot().conditions):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    return reach


async def silence(it: Stage, daemon: Daemon) -> None:
    await asyncio.sleep(WARM_S + 5.0)
    it.inject("silence", match="*", seconds=0.0, count=0)
    it.inject("status", match="GET *", count=0)
    await has("stale_market_data")(it, daemon)


async def skew(it: Stage, daemon: Daemon) -> None:
    await asyncio.sleep(WARM_S)
    it.skew_s = 20.0
    await has("clock_skew")(it, daemon)


async def end(_it: Stage, daemon: Daemon) -> None:
    await asyncio.sleep(WARM_S + 5.0)
    daemon.stop()


async def unreconciled_for_long(_it: Stage, daemon: Daemon) -> None:
    """Longer than a start takes."""
    await asyncio.sleep(320.0)


def unreconciled(it: Stage) -> None:
    it.inject("status", match="GET /api/v3/myTrades", status=503, count=0)


LOSES = {"market.taker_fee": 0.01}  # what trades at random loses a limit in seconds
DAILY = {"risk.max_daily_loss_fraction": 0.04, "risk.max_drawdown_fraction": 1.0, **LOSES}
DRAWDOWN = {"risk.max_daily_loss_fraction": 1.0, "risk.max_drawdown_fraction": 0.04, **LOSES}
LEARNS = {"strategy.name": "ppo_online"}

OVER_SOON = ("stopping", "flattening", "orders_per_minute")
"""Conditions that are over when notices are told."""

CASES = {
    "stopping": Case("stopping", "stopping", end, reported=False, settle_s=0.0),
    "not reconciled for long": Case(
        "not_reconciled", "starting", unreconciled_for_long, ("our books and the venue's are not reconciled",),
        "live", before=unreconciled, reported=False,
    ),
    "the drawdown is passed by a quarter": Case(
        "drawdown", "flat", rung("drawdown", "passed by a quarter"), ("the position is closed", "ztb resume"),
        settings={**DRAWDOWN, "strategy.name": "hold", "risk.max_drawdown_fraction": 0.007},
    ),
    "starting": Case("starting", "starting", wait, (), "live", before=unreconciled, reported=False),
    "waiting": Case("waiting", "waiting", wait, ("nothing has earned a share",), settings=LEARNS, reported=False),
    "halted by a command": Case(
        "halted", "halted", ask(Halt("a storm")), ("halted: a storm", "by a command", "since", "`ztb resume --run")
    ),
    "halted by the file": Case("halted", "halted", touch, ("by the file halt", "`ztb resume --run")),
    "flattening": Case(
        "flattening", "flattening", ask(Flatten()), ("the position is being closed",), "live",
        {"strategy.name": "hold"}, settle_s=0.0,
    ),
    "disarmed": Case("disarmed", "disarmed", ask(Disarm()), ("disarmed", "ztb arm"), "live"),
    "near the daily loss": Case(
        "daily_loss", "trading", rung("daily_loss", "four fifths"), ("learning is frozen", "until"), settings=DAILY,
        settle_s=0.3,
    ),
    "the daily loss is reached": Case(
        "daily_loss", "reduce_only", rung("daily_loss", "is reached"),
        ("the limit on daily loss is reached", "00:00:00 UTC", "ztb resume"), settings=DAILY,
    ),
    "the drawdown is reached": Case(
        "drawdown", "reduce_only", rung("drawdown", "is reached"), ("the limit on drawdown", "ztb resume"),
        settings=DRAWDOWN,
    ),
    "orders a day": Case(
        "orders_per_day", "limited", has("orders_per_day"), ("3 orders are sent today", "until"),
        settings={"risk.max_orders_per_day": 3}, reported=False,
    ),
    "orders a minute": Case(
        "orders_per_minute", "limited", has("orders_per_minute"), ("2 orders are sent within a minute",),
        settings={"risk.max_orders_per_minute": 2}, reported=False, settle_s=0.3,
    ),
    "one side": Case(
        "repeated_side", "limited", has("repeated_side"), ("in a row",),
        settings={"risk.max_repeated_side": 1}, reported=False,
    ),
    "refused": Case(
        "refused", "limited", has("refused"), ("orders are refused", "order notional"),
        settings={"risk.max_order_notional_quote": 1.0}, reported=False,
    ),
    "stale": Case("stale_market_data", "held", silence, ("market data are stale",), settings={"market.stale_s": 5.0}),
    "skewed": Case("clock_skew", "held", skew, ("the clocks differ", "NTP")),
}  # fmt: skip


def status_lines(now: DaemonSnapshot, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> tuple[int, str]:
    told = Answer(True, now.state, detail=json.loads(msgspec.json.encode(now)))
    monkeypatch.setattr(control, "find_run", lambda run: run)
    monkeypatch.setattr(control, "ask", lambda run, command: told)
    code = control.status(Path("run"), False)
    return code, capsys.readouterr().out


def check_now(
    now: DaemonSnapshot, one: Condition, watching: Watching, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Everything that is made of a snapshot when somebody asks."""
    code, said = status_lines(now, monkeypatch, capsys)
    assert one.text in said and f"state       {now.state.replace('_', ' ')}\n" in said
    assert code == (3 if any(each.severity != "info" for each in now.conditions) else 0)
    samples = {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(watching.metrics.exposition(now).decode())
        for sample in family.samples
    }
    assert samples["ztb_condition", (one.kind,)] == samples["ztb_state", (now.state,)] == 1.0
    assert sum(value for (name, _), value in samples.items() if name == "ztb_state") == 1.0
    sensors = {topic.name.split("/")[-2]: json.loads(payload) for topic, payload in discovery(TOPICS, now)}
    state = json.loads(msgspec.json.encode(now))
    shown = {
        name: jinja2.Template(each["value_template"]).render(value_json=state)
        for name, each in sensors.items()
    }
    assert shown["state"] == now.state and shown["halted"] == ("ON" if now.state == "halted" else "OFF")
    assert shown["because"] == (now.conditions[0].text[:255])
    if one.state == now.state:
        assert now.because in status_line(now)


async def check(
    now: DaemonSnapshot, one: Condition, watching: Watching, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """As `check_now`, and what observers heard and show."""
    check_now(now, one, watching, monkeypatch, capsys)
    page = await watching.state_of_the_page()
    assert page["state"] == now.state and one.text in {each["text"] for each in page["conditions"]}
    alarming = one.severity != "info"
    counted = {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(watching.metrics.exposition(now).decode())
        for sample in family.samples
    }
    assert counted["ztb_alerts_total", ("warning",)] + counted["ztb_alerts_total", ("critical",)] == len(
        watching.alerts
    )
    status, state = watching.ether.kept["ztb/chaos/status"], watching.ether.kept["ztb/chaos/state"]
    assert status["online"] and status["state"] == now.state and status["reason"] == now.because
    assert state["state"] == now.state and one.text in {each["text"] for each in state["conditions"]}
    told = [alert for alert in watching.alerts if alert.key == one.kind]
    bodies = "\n".join(f"{notice.title}\n{notice.body}" for notice in watching.notices)
    assert (one.text in {alert.text for alert in told} and one.text in bodies) if alarming else not told


@pytest.mark.parametrize("name", CASES)
def test_every_output_says_what_the_one_source_says(name, tmp_path, monkeypatch, capsys):
    case, watching, folder = CASES[name], Watching(), tmp_path / "run"
    states: list[tuple[DaemonSnapshot, Condition]] = []

    async def go() -> None:
        async with stage(3, folder, **case.settings) as it:
            case.before(it)
            async with it.running(case.mode, watch=watching.of) as daemon:
                await case.reach(it, daemon)
                await asyncio.sleep(case.settle_s)
                now = daemon.snapshot()
                (one,) = [each for each in now.conditions if each.kind == case.kind]
                states.append((now, one))
                check_now(now, one, watching, monkeypatch, capsys)
                if case.kind not in OVER_SOON:
                    await check(now, one, watching, monkeypatch, capsys)
                await asyncio.sleep(0.3)

    with structlog.testing.capture_logs() as lines:
        run_virtual(go())
    now, one = states[0]
    print(one.text)
    assert now.state == case.state == state_of(now.conditions)
    assert all(word in one.text for word in case.says), one.text
    begun = [line for line in lines if line["event"] == "condition" and line["kind"] == case.kind]
    assert [(line["text"], line["severity"]) for line in begun].count((one.text, one.severity)) == 1
    assert all(line["log_level"] == ("info" if line["severity"] == "info" else "warning") for line in begun)
    write_report(RunDirectory(folder))
    # What is a command to a reader is set as one.
    report = re.sub("</?code>", "`", (folder / "report.html").read_text())
    # What the market guard saw is journaled a turn after it was seen, and with what was stale by then.
    held = case.state in ("held", "disarmed")
    assert ((one.text.split(":")[0] if held else one.text) in report) is case.reported


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_a_healthy_start_raises_no_alert_and_a_healthy_daemon_has_no_condition(
    mode, tmp_path, monkeypatch, capsys
):
    watching, states = Watching(), []

    async def go() -> None:
        settings = {"market.streams": ["trades", "quotes", "depth"]}
        async with (
            stage(3, tmp_path / "run", **settings) as it,
            it.running(mode, watch=watching.of) as daemon,
        ):
            await asyncio.sleep(60.0)
            states.append(daemon.snapshot())

    run_virtual(go())
    assert states[0].state == "trading" and states[0].conditions == () and watching.alerts == []
    assert watching.notices == []
    code, said = status_lines(states[0], monkeypatch, capsys)
    assert code == 0 and "state       trading\n" in said


def test_a_limit_that_is_passed_by_far_closes_the_position_until_somebody_resumes(tmp_path):
    """One fee is more than may be lost: every rung at once."""
    folder, watching, seen = tmp_path / "run", Watching(), []
    settings = {**DRAWDOWN, "strategy.name": "hold", "risk.max_drawdown_fraction": 0.007}

    async def go() -> None:
        async with stage(3, folder, **settings) as it, it.running("paper", watch=watching.of) as daemon:
            await rung("drawdown", "passed by a quarter")(it, daemon)
            await asyncio.sleep(20.0)
            seen.append(daemon.snapshot())
            assert (await daemon.controls.execute(Resume(), "socket")).ok
            seen.append(daemon.snapshot())

    run_virtual(go())
    flat, after = seen
    assert flat.state == "flat" and abs(flat.position * (flat.mid or 0.0)) < 10.0
    assert after.state == "trading" and after.conditions == ()
    alerts = [alert.text for alert in watching.alerts if alert.key == "drawdown"]
    assert len(alerts) == 1 and "passed by a quarter: the position is closed" in alerts[0]
    with contextlib.closing(JournalReader(folder / "journal.sqlite")) as reader:
        rungs = [json.loads(note.detail)["rung"] for note in reader.rows(NoteRow, "kind = ?", (LOSS_LIMIT,))]
    assert rungs[:2] == [3, 0]


def test_a_limit_that_is_latched_is_latched_after_a_restart_too(tmp_path):
    folder, seen = tmp_path / "run", []

    async def go() -> None:
        async with stage(3, folder, **DRAWDOWN) as it:
            async with it.running("paper") as daemon:
                await rung("drawdown", "is reached")(it, daemon)
                seen.append(next(one for one in daemon.snapshot().conditions if one.kind == "drawdown"))
            async with it.running("paper") as daemon:
                await asyncio.sleep(WARM_S)
                seen.append(next(one for one in daemon.snapshot().conditions if one.kind == "drawdown"))
                assert (await daemon.controls.execute(Resume(), "socket")).ok
            async with it.running("paper") as daemon:
                await asyncio.sleep(1.0)
                seen.append(daemon.snapshot().conditions)

    run_virtual(go())
    assert seen[1].since_ns >= seen[0].since_ns > 0 and seen[1].state in ("reduce_only", "flat")
    assert not any(one.kind == "drawdown" for one in seen[2])


def no_room(*_: object) -> None:
    raise OSError("no room for another process")


@pytest.mark.parametrize(
    "what", ["frozen", "paused", "died", "hung", "made_anew", "not_started", "compiling"]
)
async def test_what_the_learner_is_at_is_said_everywhere(what, write_bars, tmp_path, monkeypatch, capsys):
    watching = Watching()
    settings = {"online__learner": "process", "online__update_every_decisions": 64}
    if what == "not_started":
        monkeypatch.setattr("ztb.learning.process.supervisor.Child", no_room)
    daemon, source = make_daemon(write_bars(300), tmp_path, "ppo_online", **settings)
    watching.of(daemon)

    def learner() -> str:
        fact = daemon.snapshot().learner
        return "" if fact is None else fact.state

    async with running(daemon, source) as run:
        await run.step(80)
        await until(lambda: learner() in ("learning", "resting", "not_started"))
        if what == "frozen":
            assert (await run.ask(Freeze())).ok
        elif what == "paused":
            daemon.session.engine.learning.relief.pause(1.0)
        elif what in ("died", "hung", "compiling"):
            learning: Any = daemon.session.engine.learning
            (pid,) = learning.process_ids
            os.kill(pid, signal.SIGKILL if what == "died" else signal.SIGSTOP)
            if what == "hung":
                await asyncio.sleep(1.0)  # until its last sign of life is seen
                monkeypatch.setattr(learning.process, "_clock", lambda: time.monotonic() + 61.0)
            if what == "compiling":  # as it says of itself when an update meets what is not compiled
                learning.process._channel.doing = Doing.COMPILING
        elif what == "made_anew":
            assert daemon.session.promotion is not None
            daemon.session.promotion.dropped(Dropped(7, "its weights are not finite", astray=True), 9, 0)
        await until(lambda: learner() == what)
        now = daemon.snapshot()
        (one,) = [each for each in now.conditions if each.kind == f"learner_{what}"]
        await until(lambda: one.text in str(watching.ether.kept.get("ztb/chaos/state")))
        if one.severity != "info":
            await until(lambda: any(one.text in notice.body for notice in watching.notices))
        await check(now, one, watching, monkeypatch, capsys)
        metrics = watching.metrics.exposition(now).decode()
        assert f'ztb_learner_state{{state="{what}"}} 1.0' in metrics
        _, said = status_lines(now, monkeypatch, capsys)
        assert f"learner     {what.replace('_', ' ')}, process" in said
