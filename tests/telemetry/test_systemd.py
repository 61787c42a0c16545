"""The service manager hears the truth: ready when it is, alive while there is progress, and what it stops for."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telemetry.made_up import HALTED
from telemetry.telemetry_snapshots import snapshot
from ztb.telemetry.systemd import Notifier, SystemdObserver, is_ready, status_line

CHILD = Path(__file__).with_name("notify_child.py")
LIMIT_S = 1.0


@pytest.fixture
def door(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(20.0)
        yield listener


def heard(door: socket.socket) -> list[str]:
    """Every message that waits at the door."""
    door.setblocking(False)
    messages = []
    while True:
        try:
            messages.append(door.recv(4096).decode())
        except BlockingIOError:
            return messages


def observer(door: socket.socket, progress: Callable[[], int] = lambda: 0) -> SystemdObserver:
    return SystemdObserver(Notifier({"NOTIFY_SOCKET": door.getsockname()}), progress)


def test_ready_is_said_once_and_not_before_a_tick_was_processed(door):
    watched = observer(door)
    watched.turn(snapshot(state="starting", ticks=0))
    watched.turn(snapshot(ticks=0))
    assert not any("READY" in message for message in heard(door))
    watched.turn(snapshot(ticks=1))
    watched.turn(snapshot(ticks=2))
    assert heard(door).count("READY=1") == 1


def test_a_halted_daemon_is_ready_and_says_that_it_is_halted(door):
    observer(door).turn(snapshot(state="halted", conditions=(HALTED,), ticks=0))
    said = heard(door)
    assert "READY=1" in said and any(
        line.startswith(f"STATUS={HALTED.text}, equity 10,123.50") for line in said
    )


def test_the_start_is_given_more_time_only_while_recovery_gets_on(door):
    turns = iter((1, 2, 2))
    watched = observer(door, lambda: next(turns))
    for expected in (True, True, False):
        watched.turn(snapshot(state="starting", ticks=0))
        assert any("EXTEND_TIMEOUT_USEC=60000000" in message for message in heard(door)) is expected


def test_no_progress_no_ping(door):
    turns = iter((1, 1, 2))
    watched = observer(door, lambda: next(turns))
    for expected in (1, 0, 1):
        watched.turn(snapshot())
        assert sum("WATCHDOG=1" in message for message in heard(door)) == expected


def test_the_status_line_names_what_an_operator_wants_to_know():
    assert status_line(snapshot()) == (
        "trading: BTC/USDT paper, equity 10,123.50, position 0.25, generation 3"
    )
    assert not is_ready(snapshot(state="stopping"))


def test_without_a_service_manager_or_with_a_deaf_one_nothing_happens(tmp_path):
    assert not Notifier({}).wanted
    Notifier({}).send(READY=1)
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).send(READY=1)


def test_an_abstract_socket_is_reached():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(b"\0ztb-test-%d" % os.getpid())
        Notifier({"NOTIFY_SOCKET": f"@ztb-test-{os.getpid()}"}).send(READY=1)
        assert listener.recv(100) == b"READY=1"


def pings(door: socket.socket, kind: str, seconds: float) -> list[float]:
    """When a real process under a watchdog of LIMIT_S pinged, in seconds since its first ping."""
    path = door.getsockname()
    environment = os.environ | {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": str(int(LIMIT_S * 1e6))}
    child = subprocess.Popen(
        [sys.executable, CHILD, kind], env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    try:
        times: list[float] = []
        while not times or time.monotonic() - times[0] < seconds:
            door.settimeout(20.0 if not times else max(0.01, times[0] + seconds - time.monotonic()))
            try:
                message = door.recv(4096)
            except TimeoutError:
                break
            if b"WATCHDOG=1" in message:
                times.append(time.monotonic())
    finally:
        child.kill()
        child.wait()
    return [moment - times[0] for moment in times] + [time.monotonic() - times[0]]


def longest_silence(times: list[float]) -> float:
    return max(after - before for before, after in zip(times, times[1:], strict=False))


def test_a_loop_blocked_beyond_the_limit_stops_the_pings(door):
    assert longest_silence(pings(door, "blocked", 4.5)) > LIMIT_S


def test_work_that_stands_still_stops_the_pings_although_the_loop_turns(door):
    assert longest_silence(pings(door, "stuck", 3.5)) > LIMIT_S


def test_a_busy_loop_that_gets_on_is_left_alone(door):
    times = pings(door, "busy", 3.0)
    assert len(times) > 5 and longest_silence(times) < LIMIT_S
