"""The daemon on history: the same run as a replay, steered and stopped while it goes on."""

from __future__ import annotations

import asyncio
import errno
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.daemons import environment, make_daemon, running, start, until, wait_for
from ztb.cli import run as cli
from ztb.commands.control import ask, status
from ztb.config import load_config
from ztb.control import Flatten, Freeze, Halt, LogLevel, Reload, Resume, Status, Unfreeze
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import DecisionRow, NoteRow, RefusalRow
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.daemon.kill_switch import KillSwitch, Latch
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data, run_to_end
from ztb.utils import files

WARM = 70  # bars until the features are


def rows(folder: Path, record, where=""):
    reader = JournalReader(folder / "journal.sqlite")
    found = list(reader.rows(record, where))
    reader.close()
    return found


async def test_the_daemon_on_history_is_the_replay_bit_for_bit(write_bars, tmp_path):
    data = write_bars(300)
    daemon, source = make_daemon(data, tmp_path / "daemon", "ema_cross")
    source.all()
    summary = await daemon.run()
    request = ReplayRequest(load_config(None, {"strategy.name": "ema_cross"}, {}).config, (data,), seed=0)
    (tmp_path / "replay").mkdir()
    replay = await run_to_end(Replay.over(request, open_data(request), RunDirectory(tmp_path / "replay")))
    assert summary["journal_sha256"] == replay["journal_sha256"]
    assert summary["fills"] == replay["fills"] > 0 and summary["status"] == "complete"


@pytest.mark.parametrize("learner", ["inline", "process"])
async def test_what_the_learner_waits_for_and_leaves_out_is_in_the_snapshot_and_in_status(
    learner, write_bars, tmp_path, capsys
):
    bars = write_bars(300)
    lines = bars.read_text().splitlines(keepends=True)
    bars.write_text("".join(lines[: WARM + 20] + lines[WARM + 25 :]))  # a gap: a decision is tainted
    settings = {"online__learner": learner, "online__update_every_decisions": 64}
    daemon, source = make_daemon(bars, tmp_path, "ppo_online", **settings)
    async with running(daemon, source) as run:
        await run.step(WARM + 90)
        await until(
            lambda: (
                (now := daemon.snapshot().learner) is not None
                and now.updates == 1
                and now.waiting < 64
                and now.state in ("learning", "resting")
                and daemon.snapshot().last_save_ms is not None
            )
        )
        told = daemon.snapshot()
        assert told.learner is not None and told.learner.alive
        assert told.learner.waiting == told.decisions - 1 - 64 and told.learner.tainted == 1
        assert told.learner.dropped == told.learner.empty == 0
        assert told.last_save_ms is not None and told.last_save_ms > 0.0 and not told.recording
        assert await asyncio.to_thread(status, tmp_path, False) == 0
    state = "learning" if learner == "inline" else "resting"
    shown = f"{state}, {learner}, 1 updates, {told.learner.waiting} transitions waiting, 0 dropped, 1 left out for gaps"
    assert f"learner     {shown}" in capsys.readouterr().out.splitlines()


async def test_a_halt_is_latched_refuses_every_order_and_is_lifted_by_resume(write_bars, tmp_path):
    daemon, source = make_daemon(write_bars(300), tmp_path, "random_walk")
    async with running(daemon, source) as run:
        await run.step(WARM)
        answer = await run.ask(Halt("a test"))
        assert answer.ok and KillSwitch(tmp_path).latch.reason == "a test"
        before = daemon.session.books.orders
        await run.step(40)
        assert daemon.session.books.orders == before and daemon.session.books.refusals > 5
        assert (
            daemon.snapshot().state == "halted"
            and "halted: a test; by test, since" in daemon.snapshot().because
        )
        assert (await run.ask(Resume())).ok and KillSwitch(tmp_path).latch is None
        await run.step(40)
        assert daemon.session.books.orders > before
    assert {row.reason for row in rows(tmp_path, RefusalRow)} >= {"halted"}
    kinds = [row.kind for row in rows(tmp_path, NoteRow)]
    assert kinds.index("halted") < kinds.index("resumed")


async def test_a_full_disk_keeps_nobody_from_halting_and_the_answer_says_what_is_missing(
    write_bars, tmp_path, monkeypatch
):
    def fails(*_given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    daemon, source = make_daemon(write_bars(300), tmp_path, "random_walk")
    async with running(daemon, source) as run:
        await run.step(WARM)
        before = daemon.session.books.orders
        with monkeypatch.context() as full:
            full.setattr(files, "write_durably", fails)
            answer = await run.ask(Halt("a test"))
        assert not answer.ok and "halted now" in answer.message and "make room on the disk" in answer.message
        await run.step(40)
        assert daemon.session.books.orders == before and daemon.session.books.refusals > 5
        assert (await run.ask(Halt("again"))).ok and KillSwitch(tmp_path).latch.reason == "again"


async def test_the_file_halt_acts_before_the_next_order(write_bars, tmp_path):
    daemon, source = make_daemon(write_bars(300), tmp_path, "random_walk")
    async with running(daemon, source) as run:
        await run.step(WARM)
        before = daemon.session.books.orders
        (tmp_path / "halt").touch()
        source.let(40)  # in one go: no turn of the daemon's loop comes between
        await until(lambda: daemon.session.engine.progress.ticks >= WARM + 40)
        assert daemon.session.books.orders == before
        assert daemon.switch.latch.origin == "file"
        await run.ask(Resume())
        assert not (tmp_path / "halt").exists()


async def test_a_restart_on_a_latched_folder_starts_halted(write_bars, tmp_path):
    KillSwitch(tmp_path).set(Latch("halted", 1, "test", "before"))
    daemon, source = make_daemon(write_bars(300), tmp_path, "random_walk")
    async with running(daemon, source) as run:
        await run.step(WARM + 30)
        assert daemon.session.books.orders == 0 and daemon.session.books.refusals > 0
        assert "before" in daemon.snapshot().because


async def test_flatten_closes_the_position_and_then_halts(write_bars, tmp_path):
    daemon, source = make_daemon(write_bars(300), tmp_path, "hold")
    async with running(daemon, source) as run:
        await run.step(WARM + 5)
        assert daemon.session.books.account.lots > 0
        await run.ask(Flatten())
        assert daemon.snapshot().state == "flattening"
        await run.step(5)
        await asyncio.sleep(0.3)
        assert daemon.session.books.account.lots == 0 and daemon.snapshot().state == "halted"
        await run.step(20)
        assert daemon.session.books.account.lots == 0


async def test_the_socket_answers_its_owner_and_refuses_what_is_no_command(write_bars, tmp_path):
    daemon, source = make_daemon(write_bars(300), tmp_path, "hold")
    async with running(daemon, source) as run:
        await run.step(3)
        assert (tmp_path / "control.sock").stat().st_mode & 0o777 == 0o600
        answer = await asyncio.to_thread(ask, tmp_path, Status())
        assert answer.ok and answer.detail["ticks"] == 3 and answer.detail["symbol"] == "BASE/QUOTE"
        wrong = await asyncio.to_thread(ask, tmp_path, LogLevel("loud"))
        assert not wrong.ok and wrong.exit_code == 2
        frozen = await run.ask(Freeze())
        assert not frozen.ok and "does not learn" in frozen.message
    assert not (tmp_path / "control.sock").exists()


async def test_freezing_stops_the_learning_and_unfreezing_starts_it_again(write_bars, tmp_path):
    daemon, source = make_daemon(
        write_bars(400),
        tmp_path,
        "ppo_online",
        online__update_every_decisions=16,
        ppo__num_envs=4,
        ppo__num_steps=4,
    )
    async with running(daemon, source) as run:
        await run.ask(Freeze())
        await run.step(WARM + 60)
        assert daemon.session.engine.learning.updates == 0 and daemon.snapshot().learner.frozen
        await run.ask(Unfreeze())
        await run.step(60)
        assert daemon.session.engine.learning.updates >= 2


async def test_reloading_takes_over_limits_and_names_what_waits_for_a_restart(write_bars, tmp_path):
    wanted = load_config(
        None, {"risk.max_orders_per_day": 7, "strategy.name": "hold", "execution.band_fraction": 0.5}, {}
    ).config
    daemon, source = make_daemon(write_bars(300), tmp_path, "hold", load=lambda: wanted)
    async with running(daemon, source) as run:
        answer = await run.ask(Reload())
        assert "risk.max_orders_per_day" in answer.message.split(";")[0]
        assert "execution.band_fraction" in answer.message.split(";")[1]
        assert daemon.session.engine.live.gate.limits.max_orders_per_day == 7


class Broken:
    """An observer that fails at everything."""

    name = "broken"

    def __init__(self) -> None:
        self.started = 0

    def record(self, record) -> None:
        raise RuntimeError("record")

    def alert(self, alert) -> None:
        raise RuntimeError("alert")

    async def run(self, snapshot, controls) -> None:
        self.started += 1
        raise RuntimeError("run")


async def test_an_observer_that_fails_never_stops_the_trading(write_bars, tmp_path):
    broken = Broken()
    daemon, source = make_daemon(write_bars(300), tmp_path, "hold", observers=[broken])
    async with running(daemon, source) as run:
        await run.step(WARM + 5)
        assert broken.started >= 1 and daemon.session.books.orders > 0
        assert any(alert.key == "observer-broken" for alert in daemon.snapshot().alerts)


def test_each_start_of_a_replay_is_a_run_of_its_own_and_a_second_daemon_in_one_place_is_refused(
    write_bars, tmp_path, capsys
):
    place = tmp_path / "replay"
    arguments = [
        "run",
        "--mode",
        "replay",
        "--data",
        str(write_bars(120)),
        "--strategy",
        "hold",
        "--out",
        str(place),
    ]
    assert [cli([*arguments, "--json"]) for _ in range(2)] == [0, 0]
    runs = [Path(json.loads(line)["run"]) for line in capsys.readouterr().out.splitlines()]
    assert runs == [place, place / "run-002"]
    assert rows(runs[0], DecisionRow) == rows(runs[1], DecisionRow) != []
    with RunDirectory(place / "run-003").make().held():
        assert cli(["run", "--mode", "paper", "--out", str(place / "run-003")]) == 2
    assert "a daemon runs there already" in capsys.readouterr().err


def test_a_terminated_daemon_ends_cleanly(write_bars, tmp_path):
    process = start(
        "run", "--mode", "replay", "--data", write_bars(3000), "--speed", "36000", "--strategy", "hold",
        "--out", "run", "--json", cwd=tmp_path,
    )  # fmt: skip
    wait_for((tmp_path / "run" / "control.sock").exists, process)
    wait_for(lambda: ask(tmp_path / "run", Status()).detail.get("ticks", 0) > 0, process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert json.loads(out)["status"] == "stopped"
    assert rows(tmp_path / "run", NoteRow)[-1].kind == "end"
    assert (tmp_path / "run" / "summary.json").exists()


@pytest.mark.parametrize(
    "verb", [["status"], ["halt"], ["flatten"], ["resume"], ["disarm"], ["run", "--help"]]
)
def test_verbs_that_steer_answer_at_once_and_import_none_of_the_heavy_ones(verb, tmp_path):
    script = (
        "import sys, time; from ztb.cli import run; code = run(sys.argv[1:]);"
        "heavy = [m for m in ('torch', 'ccxt', 'numba', 'numpy', 'pyarrow') if m in sys.modules];"
        "print(heavy, file=sys.stderr); sys.exit(code or (1 if heavy else 0))"
    )
    arguments = verb if "--help" in verb else [*verb, "--run", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], env=environment(), cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == (0 if "--help" in verb else 75), done.stderr
    assert done.stderr.splitlines()[-1] == "[]"
