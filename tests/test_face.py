"""`import ztb`: light, whole, typed, and enough for Gymnasium to know the environments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ztb

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "ccxt", "numba", "gymnasium", "pyarrow", "numpy", "pydantic", "asyncio", "sqlite3", "typer")


def python(program: str, *arguments: str, folder: Path = ROOT) -> str:
    """What a program prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments, "-c", program], cwd=folder, capture_output=True, text=True,
        check=False, env=os.environ | {"PYTHONPATH": str(ROOT / "daemon")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_it_imports_nothing_that_takes_time():
    program = f"import json, sys, ztb; dir(ztb); print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    assert json.loads(python(program)) == []


def test_loading_a_run_needs_neither_compiler_nor_torch():
    program = (
        f"import json, sys, ztb; ztb.load_run; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    )
    assert not {"torch", "ccxt", "numba", "gymnasium"} & set(json.loads(python(program)))


def test_every_public_name_is_there_documented_and_listed():
    for name in ztb.__all__:
        found = getattr(ztb, name)
        assert name in dir(ztb)
        if name != "__version__":
            assert found.__doc__, name
    members = [name for name in vars(ztb.Run) if not name.startswith("_")]
    assert all(getattr(ztb.Run, name).__doc__ for name in members)
    assert set(members) == {
        "allocation", "decisions", "equity", "fills", "generations", "is_finished", "made_of", "open_trades",
        "orders", "summary", "trades",
    }  # fmt: skip
    with pytest.raises(AttributeError, match="has no attribute 'load_runs'"):
        ztb.load_runs  # type: ignore[attr-defined]  # noqa: B018


MAKE = "env = gymnasium.make('{id}'); print(env.spec.id, env.reset(seed=0)[0].dtype, gymnasium.make_vec('{id}', 3).num_envs)"


@pytest.mark.parametrize(
    "imports",
    [
        "import ztb, gymnasium",
        "import gymnasium, ztb",
        "import gymnasium.spaces, ztb, importlib; importlib.reload(gymnasium)",
    ],
)
def test_gymnasium_knows_the_environment(imports: str):
    assert python(f"{imports}; print(gymnasium.spec('ztb/Trading-v0').id)") == "ztb/Trading-v0"


def test_gymnasium_makes_the_environment_one_or_many_and_imports_ztb_by_the_name_itself():
    assert python(f"import gymnasium; {MAKE.format(id='ztb:ztb/Trading-v0')}") == "ztb/Trading-v0 float32 3"


def test_what_waits_for_gymnasium_is_gone_once_it_was_imported_and_harms_nobody_without_it():
    program = (
        "import sys; before = list(sys.meta_path); import ztb, importlib\n"
        "importlib.reload(ztb); waiting = [f for f in sys.meta_path if f not in before]\n"
        "import json.tool, gymnasium\n"
        "print(len(waiting), sys.meta_path == before, type(gymnasium.__loader__).__name__, "
        "'exec_module' in vars(gymnasium.__loader__), gymnasium.__spec__.loader is gymnasium.__loader__)"
    )
    assert python(program) == "1 True SourceFileLoader False True"
    absent = (
        "import sys; sys.path = [p for p in sys.path if 'site-packages' not in p]; import ztb\n"
        "try:\n import gymnasium\nexcept ModuleNotFoundError as error:\n print(error)"
    )
    assert python(absent, "-S") == "No module named 'gymnasium'"


USERS_FILE = '''"""A user's program."""

from pathlib import Path

import pyarrow as pa

import ztb

run = ztb.load_run(Path("runs") / "replay-001")
again: ztb.Run = ztb.replay(
    ["bars.parquet"], strategy="trend", config={"risk": {"max_exposure": 0.5}}, seed=0, start="2019-01-01"
)
trades: pa.Table = run.trades
profit: float = again.summary["end_equity"] - again.summary["start_equity"]
reveal_type(run.equity)
ztb.load_run(5)
ztb.replay(seed="zero")
run.equitty
'''


def test_a_users_file_is_checked_with_the_packages_own_types(tmp_path: Path):
    pytest.importorskip("mypy")
    (tmp_path / "mine.py").write_text(USERS_FILE)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "mine.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={k: v for k, v in os.environ.items() if k != "MYPYPATH"} | {"MYPYPATH": str(ROOT / "daemon")},
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("mine.py")]
    told = [(int(line.split(":")[1]), line) for line in lines]
    assert [number for number, _ in told if number] == [15, 16, 17, 18], done.stdout + done.stderr
    assert 'Revealed type is "pyarrow' in told[0][1]
    assert '"int"; expected "str | PathLike[str]"' in told[1][1]
    assert '"str"; expected "int"' in told[2][1] and 'no attribute "equitty"' in told[3][1]


def test_the_program_and_the_module_are_one():
    version = python("import sys, ztb.__main__ as m; sys.argv = ['ztb', '--version']; m.main()")
    done = subprocess.run(
        [sys.executable, "-m", "ztb", "--version"], capture_output=True, text=True, check=False, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "daemon")},
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, version)
    assert version.startswith(f"{ztb.__version__}+")
