"""Messages: the first at once, few in a storm, each cause once, and none lost when a service fails."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web

from telemetry.made_up import alert, snapshot
from ztb.errors import ConfigError
from ztb.secrets import Redactor
from ztb.telemetry.notices import (
    REPEAT_S,
    Cause,
    Causes,
    Notice,
    NoticeObserver,
    NotSent,
    Severity,
    apprise_sender,
)
from ztb.testing.virtual_time import run_virtual

STORM = 100_000


class Post:
    """Remembers when what was sent; fails while told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, Notice]] = []
        self.failing = False

    async def send(self, notice: Notice) -> None:
        if self.failing:
            raise NotSent("service is down")
        self.sent.append((asyncio.get_running_loop().time(), notice))


@contextlib.asynccontextmanager
async def running(post: Post, lowest: Severity = "warning") -> AsyncIterator[NoticeObserver]:
    observer = NoticeObserver(post.send, lowest, Redactor(["hunter2-hunter2"]))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(observer.run(snapshot, None))  # type: ignore[arg-type]
        yield observer
        task.cancel()


@pytest.mark.parametrize("kinds", [1, 7, STORM])
def test_a_hundred_thousand_alerts_in_a_minute_are_at_most_ten_messages(kinds):
    post = Post()

    async def storm() -> None:
        async with running(post) as observer:
            for number in range(STORM):
                observer.alert(alert(f"cause {number % kinds}", f"text {number % kinds}"))
                if number % 100 == 99:
                    await asyncio.sleep(0.06)
            await asyncio.sleep(60)

    run_virtual(storm())
    assert 1 <= len(post.sent) <= 10 and post.sent[0][0] <= 2.0
    if kinds == 1:
        assert len(post.sent) == 1
    if kinds == STORM:
        assert "more alerts; see the log" in post.sent[1][1].body
        assert all(len(notice.body) < 1000 for _, notice in post.sent)


def test_an_alert_costs_the_trading_no_more_than_a_few_of_its_making():
    async def cost() -> float:
        alerts = [alert(f"cause {number}") for number in range(20_000)]
        async with running(Post()) as observer:
            started = time.process_time()
            for one in alerts:
                observer.alert(one)
            taken = time.process_time() - started
        started = time.process_time()
        for number in range(20_000):
            alert(f"cause {number}")
        return taken / (time.process_time() - started)

    assert run_virtual(cost()) < 20.0


def told(
    post: Post, script: Callable[[NoticeObserver], list[tuple[float, Callable[[], None]]]]
) -> list[Notice]:
    async def play() -> None:
        async with running(post) as observer:
            for at_s, act in script(observer):
                await asyncio.sleep(at_s - asyncio.get_running_loop().time())
                act()
            await asyncio.sleep(60)

    run_virtual(play())
    return [notice for _, notice in post.sent]


def test_a_message_says_the_cause_how_often_and_how_things_are():
    post = Post()

    def script(observer: NoticeObserver) -> list[tuple[float, Callable[[], None]]]:
        stale = lambda: observer.alert(alert("stale", "no tick for 60 s"))  # noqa: E731
        worse = lambda: observer.alert(alert("drawdown", "limit reached, key hunter2-hunter2", "critical"))  # noqa: E731
        return [(1.0, stale), (2.0, stale), (3.0, worse)]

    first, second = told(post, script)
    assert first.title == "ztb paper: no tick for 60 s" and first.severity == "warning"
    assert first.body.splitlines()[-1] == "ppo_online on BTC/USD is trading; equity 10012.60"
    assert second.severity == "critical" and second.title == "ztb paper: 2 alerts"
    assert second.body.splitlines()[:2] == [
        "critical: limit reached, key [secret]",
        "warning: no tick for 60 s",
    ]


def test_a_cause_is_told_again_when_it_got_worse_or_after_a_while():
    post = Post()

    def script(observer: NoticeObserver) -> list[tuple[float, Callable[[], None]]]:
        def say(severity: Severity) -> Callable[[], None]:
            return lambda: observer.alert(alert("memory", "memory", severity))

        return [(1.0, say("warning")), (20.0, say("warning")), (40.0, say("critical")), (60.0, say("critical")),
                (45.0 + REPEAT_S, say("critical"))]  # fmt: skip

    notices = told(post, script)
    assert [notice.severity for notice in notices] == ["warning", "critical", "critical"]
    assert "(2 times)" in notices[1].body and "(2 times)" in notices[2].body


def test_slight_alerts_are_left_to_the_log():
    post = Post()
    assert told(post, lambda observer: [(1.0, lambda: observer.alert(alert(severity="info")))]) == []


def test_what_could_not_be_sent_is_sent_later():
    post = Post()
    post.failing = True

    def script(observer: NoticeObserver) -> list[tuple[float, Callable[[], None]]]:
        def mend() -> None:
            assert observer.gauges()["notices_failed"] == 6.0
            post.failing = False

        return [(1.0, lambda: observer.alert(alert())), (59.0, mend)]

    (only,) = told(post, script)
    assert "no tick for 60 s" in only.body


def test_memory_of_causes_is_bounded():
    causes = Causes()
    for number in range(50_000):
        causes.add(str(number), Cause("t", "warning"), 0.0)
        if number % 1000 == 999:
            taken, others = causes.take(0.0)
            assert len(taken) == 200 and others == 800
    assert len(causes._told) <= 1_000


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
async def test_apprise_sends_it():
    received: list[dict[str, str]] = []

    async def take(request: web.Request) -> web.Response:
        received.append(await request.json())
        return web.Response(status=200 if len(received) < 2 else 500)

    app = web.Application()
    app.router.add_post("/{tail:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    send = apprise_sender(f"json://127.0.0.1:{runner.addresses[0][1]}/hook")
    await send(Notice("critical", "ztb paper: halted", "why"))
    assert received[0]["title"] == "ztb paper: halted" and received[0]["type"] == "failure"
    with pytest.raises(NotSent):
        await send(Notice("info", "t", "b"))
    await runner.cleanup()


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_a_url_that_means_nothing_is_an_error_that_does_not_show_it():
    with pytest.raises(ConfigError, match=r"notify_urls: number 2") as raised:
        apprise_sender("json://127.0.0.1/ nonsense-with-a-password")
    assert "password" not in str(raised.value)
