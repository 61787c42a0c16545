"""What is compiled beside is waited for, loaded, and the same; whoever dies there is not waited for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ztb.config import load_config
from ztb.runtime.build.beside import Beside
from ztb.utils.kernel import COMPILED

ROOT = Path(__file__).resolve().parents[3]
ANNOUNCES = """
import pathlib, sys, time
sys.stdin.read()
print("+one\\n\\nwhat a strategy prints, µ", flush=True)
pathlib.Path("begun").touch()
while not pathlib.Path("asked").exists(): time.sleep(0.01)
"""


def announcing(folder: Path, then: str) -> Beside:
    """A program that has begun kernel `one`, and does `then` once somebody asks."""
    script = f"import os; os.chdir({str(folder)!r})\n{ANNOUNCES}{then}"
    beside = Beside([sys.executable, "-c", script], "{}")
    while not (folder / "begun").exists():
        time.sleep(0.01)
    return beside


def test_a_kernel_that_is_compiled_beside_is_waited_for(tmp_path):
    beside = announcing(tmp_path, 'pathlib.Path("code").touch(); print("-one", flush=True); sys.stdin.read()')
    with beside.turn("another"):  # nobody has begun it: no waiting
        assert not (tmp_path / "code").exists()
    (tmp_path / "asked").touch()
    with beside.turn("one"):
        assert (tmp_path / "code").exists()


def test_who_dies_in_the_middle_is_not_waited_for(tmp_path):
    beside = announcing(tmp_path, "os._exit(1)")
    (tmp_path / "asked").touch()
    with beside.turn("one"), beside.turn("one"):
        pass


FIRST_RUN = """
import json, sys
from contextlib import contextmanager
from numba.core import event
from ztb.cli import run
from ztb.utils.kernel import take_turns
compiled, now = set(), []
class Hearer(event.Listener):
    def on_start(self, heard): compiled.update(now)
    def on_end(self, heard): pass
event.register("numba:compile", Hearer())
@contextmanager
def turn(kernel):
    now.append(kernel)
    yield
    now.pop()
take_turns(turn)
code = run(["replay", "--to", "2018-01-15", "--json", "--out", sys.argv[1]])
print(json.dumps([code, sorted(compiled)]))
"""


@pytest.mark.proof
@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_the_first_run_is_the_second_and_what_is_compiled_beside_is_not_compiled_again(tmp_path):
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "daemon"),
        "NUMBA_CACHE_DIR": str(tmp_path / "kernels"),
    }

    def replay(name: str) -> tuple[dict[str, object], set[str]]:
        done = subprocess.run(
            [sys.executable, "-c", FIRST_RUN, tmp_path / name], env=environment, stdout=subprocess.PIPE,
            check=True, text=True, cwd=tmp_path,
        )  # fmt: skip
        summary, (code, compiled) = map(json.loads, done.stdout.splitlines()[-2:])
        assert code == 0
        return summary, set(compiled)

    alone = subprocess.run(
        [sys.executable, "-m", "ztb.runtime.build.beside"], input=load_config(None, {}, {}).config.model_dump_json(),
        env=environment | {"NUMBA_CACHE_DIR": str(tmp_path / "beside")}, stdout=subprocess.PIPE, check=True, text=True,
    )  # fmt: skip
    begun = {line[1:] for line in alone.stdout.splitlines() if line[0] == "+"}
    assert begun == {line[1:] for line in alone.stdout.splitlines() if line[0] == "-"}
    (first, compiled), (second, again) = replay("first"), replay("second")
    assert first["journal_sha256"] == second["journal_sha256"] and again == set()
    # Which of the two comes to a kernel first is up to the machine; most of what is beside stays there.
    needed = {"ztb.trading.simulation.step_all", "ztb.learning.gate.shadow.rollout_segment"}
    assert needed <= begun and len(compiled & begun) < len(begun) / 2
