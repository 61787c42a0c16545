"""The unit is one that systemd takes without a word, that gives away little, and under which the daemon still works."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from units.restricted import settings, system_calls
from ztb.cli import run
from ztb.config import Config
from ztb.utils import kernel  # noqa: F401 (it chooses where compiled kernels are kept)

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "systemd" / "ztb@.service"
RESTRICTED = Path(__file__).with_name("restricted.py")
WORST_EXPOSURE = 1.5
_SIZES = {"M": 2**20, "G": 2**30}

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")


def confined(writable: Path, *command: object) -> subprocess.CompletedProcess[str]:
    """Run `command` under the unit's restrictions, with `writable` as the only folder to write into."""
    namespaces = ("unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
    words = [*namespaces, sys.executable, RESTRICTED, UNIT, writable, *command]
    return subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, timeout=300
    )


def may_confine() -> bool:
    if shutil.which("unshare") is None or shutil.which("systemd-analyze") is None:
        return False
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False
    )
    return tried.returncode == 0


needs_namespaces = pytest.mark.skipif(
    not may_confine(), reason="namespaces or systemd-analyze are not to be had"
)


def bytes_of(text: str) -> int:
    found = re.fullmatch(r"(\d+)([MG])", text)
    assert found is not None, text
    return int(found[1]) * _SIZES[found[2]]


@needs_systemd
@pytest.mark.parametrize("instance", ["paper", "live", "replay"])
def test_systemd_has_nothing_to_say_against_the_unit(tmp_path, instance):
    text = UNIT.read_text().replace("/opt/ztb/bin/ztb", shutil.which("true") or "/bin/true")
    unit = tmp_path / f"ztb@{instance}.service"
    unit.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_the_exposure_is_low():
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", UNIT], capture_output=True, text=True, check=False
    )
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None and float(found[1]) <= WORST_EXPOSURE, done.stdout


def test_what_would_break_the_daemon_is_not_in_the_unit():
    assert not settings(UNIT, "MemoryDenyWriteExecute")
    assert not settings(UNIT, "IPAddressDeny")
    assert not settings(UNIT, "ProcSubset")


def test_no_restart_where_a_restart_cannot_help_and_restarts_elsewhere():
    assert {"2", "3", "78"} <= set(settings(UNIT, "RestartPreventExitStatus")[0].split())
    assert settings(UNIT, "Restart") == ["on-failure"]
    assert settings(UNIT, "Type") == ["notify"] and int(settings(UNIT, "WatchdogSec")[0]) > 0


def test_the_daemon_leaves_before_the_kernel_would_end_it():
    own = dict(item.split("=") for item in settings(UNIT, "Environment"))
    limit = float(own["ZTB_MAX_MEMORY_GB"]) * 1e9
    assert limit == Config().limits.max_memory_gb * 1e9
    assert (
        limit
        < bytes_of(settings(UNIT, "MemoryHigh")[0])
        < bytes_of(settings(UNIT, "MemoryMax")[0])
        < 1.2 * limit
    )


def test_the_unit_calls_the_daemon_with_flags_that_it_has(capsys):
    (start,) = settings(UNIT, "ExecStart")
    _, verb, *arguments = start.split()
    assert run([verb, "--help"]) == 0
    said = capsys.readouterr().out
    assert all(flag in said for flag in arguments if flag.startswith("--"))


def test_the_daemon_has_more_time_to_stop_than_it_promises_to_need():
    assert int(settings(UNIT, "TimeoutStopSec")[0]) > 10


@needs_systemd
def test_system_calls_that_change_the_machine_are_not_allowed():
    allowed = system_calls(UNIT)
    assert {"memfd_create", "eventfd2", "fsync", "execve", "setpriority"} <= allowed
    assert not {"mount", "ptrace", "reboot", "init_module", "bpf", "chroot", "swapon"} & allowed


PROBE = """
import errno, os, socket
def refused(act):
    try:
        act()
    except OSError as error:
        return error.errno in (errno.EPERM, errno.EACCES, errno.EROFS, errno.EAFNOSUPPORT)
    return False
tries = {
    "write elsewhere": lambda: open("/etc/ztb-probe", "w"),
    "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "other namespaces": lambda: os.unshare(0x10000000) if hasattr(os, "unshare") else os.chroot("/"),
    "change owner": lambda: os.setuid(1),
}
print([name for name, act in tries.items() if not refused(act)])
"""


@needs_namespaces
def test_the_restrictions_of_the_tests_are_real(tmp_path):
    done = confined(tmp_path, sys.executable, "-c", PROBE)
    assert done.stdout == "[]\n", done.stdout + done.stderr


@needs_namespaces
def test_the_daemon_learns_in_its_process_and_keeps_everything_under_the_restrictions(
    tmp_path, write_bars, monkeypatch
):
    state = tmp_path / "state"
    state.mkdir()
    data = write_bars(900)
    # What is compiled already comes along; under the unit it is in the cache folder, which is writable there too.
    cache = state / "cache"
    if Path(os.environ["NUMBA_CACHE_DIR"]).is_dir():
        shutil.copytree(os.environ["NUMBA_CACHE_DIR"], cache)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(cache))
    monkeypatch.setenv("ZTB_ONLINE__UPDATE_EVERY_DECISIONS", "64")
    monkeypatch.setenv("ZTB_ALLOCATION__BY", "none")  # nothing here has earned a share of the account
    program = [sys.executable, "-m", "ztb", "run", "--mode", "replay", "--learner", "process", "--json"]
    done = confined(state, *program, "--data", data, "--out", state / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["status"] == "complete" and summary["fills"] > 0 and summary["updates"] > 0
    assert (state / "run" / "report.html").is_file() and list((state / "run" / "checkpoints").rglob("*.ckpt"))
    assert "ordinary priority" not in done.stderr
