"""A wheel and an editable install both work in a new environment, and both find the strategies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

OPTIONS = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
ROOT = Path(__file__).resolve().parents[1]
SHOW = (
    "import ztb, json\n"
    "from ztb.strategies.loader import available, load_strategy\n"
    "from ztb.market.history import open_history\n"
    "from importlib.resources import files\n"
    "assert (files('ztb') / 'py.typed').is_file()\n"
    "facts = [ztb.__file__, sorted(available()), load_strategy('hold').path.as_posix(), open_history(None).digest]\n"
    "print(json.dumps(facts))\n"
)


def do(*arguments: object, **keywords: object) -> str:
    done = subprocess.run(
        [str(a) for a in arguments], capture_output=True, text=True, check=False, **keywords
    )  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git tracks, so that nothing left over in the checkout can help."""
    copy = tmp_path_factory.mktemp("checkout") / "ztb"
    for name in do("git", "ls-files", "-z", cwd=ROOT).split("\0"):
        if name and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    return copy


def environment(tmp_path: Path, *install: object) -> Path:
    """A new environment with ztb installed; what ztb depends on is lent by the one that runs the tests."""
    do(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    do(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--ignore-installed",
        *OPTIONS,
        *install,
        env=lent(),
    )
    return tmp_path / "env" / "bin"


def lent() -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return clean | {"PYTHONPATH": sysconfig.get_path("purelib")}


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_an_install_works_and_finds_the_strategies(kind, checkout, tmp_path, write_bars):
    install: tuple[object, ...] = ("--editable", checkout)
    if kind == "wheel":
        do(sys.executable, "-m", "pip", "wheel", *OPTIONS, "--wheel-dir", tmp_path, checkout)
        install = (next(tmp_path.glob("ztb-*.whl")),)
    programs = environment(tmp_path, *install)
    place = checkout if kind == "editable" else tmp_path / "env"
    shown = do(programs / "python", "-P", "-c", SHOW, env=lent(), cwd=tmp_path)
    assert shown.count(str(place)) == 2, shown
    assert '["ema_cross", "flat", "hold", "ppo_online", "random_walk", "reversion", "trend"]' in shown
    if kind == "editable":
        return
    out = tmp_path / "run"
    do(
        programs / "ztb",
        "replay",
        "--data",
        write_bars(120),
        "--strategy",
        "hold",
        "--out",
        out,
        env=lent(),
        cwd=tmp_path,
    )
    assert (out / "report.html").stat().st_size > 10_000
