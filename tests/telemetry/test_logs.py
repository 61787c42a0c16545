"""The configured level decides what is logged, by ztb and by libraries alike; one event and typed fields a line."""

from __future__ import annotations

import ast
import asyncio
import base64
import io
import json
import logging
import re
import subprocess
import sys
import threading
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import quote

import ccxt
import pytest
import structlog

import ztb
from telemetry.made_up import decision_row, fill_row, generation_row
from ztb.ledger.records import OrderRow
from ztb.telemetry import correlation
from ztb.telemetry.correlation import correlate
from ztb.telemetry.logs import BackgroundStream, configure_logging, set_log_level

SECRET = "s3cr3t/with+signs"


@pytest.fixture(autouse=True)
def no_run_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines belong to no run, whatever ran in this process before."""
    monkeypatch.setattr(correlation, "_current", ContextVar("of_the_test", default=None))


@pytest.fixture
def written() -> io.StringIO:
    stream = io.StringIO()
    configure_logging("debug", "json", [SECRET], stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(("level", "shown"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_lines_below_the_level_are_not_written(level, shown, capsys):
    configure_logging(level)
    for logger in (structlog.get_logger(), logging.getLogger("library")):
        logger.debug("one_line")
        logger.info("one_line")
        logger.warning("one_line")
    captured = capsys.readouterr()
    assert captured.err.count("one_line") == 2 * shown and captured.out == ""


def test_the_level_changes_while_running(written):
    logger = structlog.get_logger()
    set_log_level("error")
    logger.info("before")
    set_log_level("info")
    logger.info("after")
    assert [line["event"] for line in lines(written)] == ["after"]


def test_fields_keep_their_types(written):
    structlog.get_logger("ztb.test").info("fill", price=5000.5, lots=3, maker=True, order=None)
    (line,) = lines(written)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "fill", "level": "info", "logger": "ztb.test", "price": 5000.5, "lots": 3, "maker": True,
        "order": None,
    }  # fmt: skip


def test_systemd_gets_json_and_a_terminal_colours(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    configure_logging("info", stream=terminal)
    structlog.get_logger().info("event", field=1)
    assert "\x1b[" in terminal.getvalue()
    plain = io.StringIO()
    configure_logging("info", stream=plain)
    structlog.get_logger().info("event", field=1)
    assert "\x1b[" not in plain.getvalue() and "field=1" in plain.getvalue()
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    journal = io.StringIO()
    configure_logging("info", stream=journal)
    structlog.get_logger().info("event", field=1)
    assert lines(journal)[0]["field"] == 1


async def test_lines_say_which_run_decision_order_and_generation_they_belong_to(written):
    correlation = correlate("run-1")

    async def library() -> None:
        logging.getLogger("ccxt").info("sent")

    correlation.record(decision_row(decision=7, generation=2))
    correlation.record(OrderRow(11, "c", 7, 2, 0, 1, 1, "limit", 1, "GTC", False, False))
    await asyncio.create_task(library())
    structlog.get_logger().info("ours")
    for line in (line for line in lines(written) if line["logger"] != "asyncio"):
        assert {"run": "run-1", "decision": 7, "generation": 2, "order": 11}.items() <= line.items()


async def test_fills_and_what_becomes_of_generations_are_lines(written):
    correlation = correlate("run-1")
    correlation.record(fill_row(3))
    correlation.record(generation_row(2, "made"))
    correlation.record(generation_row(2, "rolled_back"))
    fill, generation = (line for line in lines(written) if line["logger"] == "ztb.run")
    assert {
        "event": "fill",
        "order": 3,
        "side": "bought",
        "quantity": "0.0100",
        "price": "5000.12",
    }.items() <= fill.items()
    assert (generation["event"], generation["generation"]) == ("generation_rolled_back", 2)


def fail_with(secret: str) -> None:
    local_copy = secret
    raise ccxt.NetworkError(f"GET https://venue.example/order?apiKey={quote(local_copy, safe='')} timed out")


def leak_everywhere(logger: Any) -> None:
    """Every way into a line that we could think of."""
    authorization = base64.b64encode(f"user:{SECRET}".encode()).decode()
    logger.info(f"message {SECRET}")
    logger.info("argument %s", SECRET)
    logger.info("url https://user:%s@host/?k=%s", quote(SECRET, safe=""), quote(SECRET))
    logger.info("header %s", {"Authorization": f"Basic {authorization}", b"raw": SECRET.encode()})
    logger.info("object %r", {"nested": [SECRET, {"again": SECRET}]})
    try:
        fail_with(SECRET)
    except ccxt.NetworkError as error:
        logger.error("failed %s", error, exc_info=True)
        logger.error("again", exc_info=error)
        try:
            raise ValueError(SECRET.encode().hex()) from error
        except ValueError:
            logger.exception("chained")


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_planted_secret_leaks_through_no_path(form, monkeypatch):
    monkeypatch.setenv("ZTB_SECRET_PLANTED", SECRET)
    stream = io.StringIO()
    configure_logging("debug", form, [SECRET], stream=stream)
    leak_everywhere(structlog.get_logger("ztb"))
    leak_everywhere(logging.getLogger("ccxt.base.exchange"))
    structlog.get_logger().info(
        "fields", text=SECRET, inner={"a": [SECRET]}, raw=SECRET.encode(), error=ValueError(SECRET),
        path=Path("/run") / SECRET,
    )  # fmt: skip
    logging.getLogger("aiohttp").info("extra", extra={"request": {"token": SECRET}})
    text = stream.getvalue()
    assert text.count("[secret]") >= 30
    middle = SECRET[:7]
    for form_of_it in (middle, quote(middle, safe=""), base64.b64encode(middle.encode()).decode()[2:-3]):
        assert form_of_it not in text
    assert "local_copy =" not in text and SECRET.encode().hex() not in text


def test_the_redaction_is_what_keeps_it_out():
    stream = io.StringIO()
    configure_logging("debug", "json", [], stream=stream)
    leak_everywhere(structlog.get_logger("ztb"))
    assert stream.getvalue().count(SECRET) >= 4


UNCAUGHT = """
import threading, warnings
from ztb.secrets import known_secrets
from ztb.telemetry.logs import configure_logging
configure_logging("info", "json", known_secrets(), daemon=True)
import os
secret = os.environ["ZTB_SECRET_PLANTED"]
class Finaliser:
    def __del__(self): raise ValueError(secret)
def fail(): raise ValueError(secret)
thread = threading.Thread(target=fail); thread.start(); thread.join()
Finaliser()
warnings.warn(secret)
import logging
logging.getLogger("x").info("%d", secret)
fail()
"""


def test_what_nobody_caught_is_a_line_without_the_secret():
    environment = {"ZTB_SECRET_PLANTED": SECRET, "PYTHONPATH": str(Path(ztb.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", UNCAUGHT], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 1 and SECRET not in done.stderr + done.stdout
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in events].count("uncaught_exception") == 3
    assert sum("line_not_written" in line["event"] for line in events) == 1
    assert sum(line["logger"] == "py.warnings" for line in events) == 1


def test_a_storm_of_one_line_is_summed_up(written, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(logging.time, "time", lambda: now[0])
    monkeypatch.setattr(logging.time, "time_ns", lambda: int(now[0] * 1e9), raising=False)
    for _ in range(5000):
        logging.getLogger("storm").warning("the same")
        structlog.get_logger("ours").warning("same_event", changing=_)
    now[0] += 11.0
    logging.getLogger("calm").info("another")
    seen = lines(written)
    assert len(seen) == 23
    summaries = {line["kind"]: line["count"] for line in seen if line["event"] == "lines_left_out"}
    assert summaries == {"storm WARNING the same": 4990, "ours WARNING same_event": 4990}


def test_a_reader_who_does_not_read_holds_nobody_up():
    gate = threading.Event()

    class Blocked(io.StringIO):
        def write(self, text: str, /) -> int:
            gate.wait()
            return super().write(text)

    blocked = Blocked()
    stream = BackgroundStream(blocked)
    for number in range(5000):
        stream.write(f"{number}\n")
    assert 2990 <= stream.dropped <= 3000
    gate.set()
    stream.write("last\n")
    stream.close()
    written = blocked.getvalue()
    assert '"event": "log_lines_dropped"' in written and "\n1\n2\n" in written


def test_our_own_lines_are_named_events():
    names: list[str] = []
    sources = [path.read_text() for path in Path(ztb.__file__).parent.rglob("*.py")]
    for source in (source for source in sources if "import structlog" in source):
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        attr="debug" | "info" | "warning" | "error" | "exception" | "critical"
                    ),
                    args=[ast.Constant(value=str(event)), *_],
                ):
                    names.append(event)
    assert len(names) >= 2
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]+", name)] == []
