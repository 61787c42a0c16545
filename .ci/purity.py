"""The core has no clock, random numbers, output, sockets or files: read off its syntax trees."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "daemon" / "ztb"
CORE = ("execution", "features", "ledger", "learning", "market", "trading", "utils/rng.py")
BANNED_MODULES = {
    "time", "datetime", "random", "secrets", "uuid", "socket", "asyncio", "threading", "subprocess", "pathlib",
    "io", "sqlite3", "urllib", "http", "requests", "aiohttp",
}  # fmt: skip
BANNED_CALLS = {"print", "open", "input", "exec", "eval"}
# Shells around the core, in its folders: what they are allowed is what they are for.
SHELL = {
    # The trainer shows progress and saves; the environment opens its history.
    "trading/ppo_trainer.py", "trading/ppo/progress.py", "trading/ppo/saving.py",
    "trading/environment.py", "trading/environment_options.py",
    # The learner beside the daemon: tasks, a process, checkpoints.
    "learning/process", "learning/service",
    # The journal's thread and database; a run's folder; looks.
    "ledger/journal.py", "ledger/journal_reader.py", "ledger/export.py", "ledger/run_directory.py", "ledger/looks.py",
    # Files and venues.
    "market/importers", "market/live", "market/history.py", "market/recorder.py", "market/recording.py",
}  # fmt: skip


def faults(path: Path) -> list[str]:
    """What `path` does that the core must not."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BANNED_CALLS:
            found.append(f"{path}:{node.lineno}: calls {node.func.id}")
        found += [
            f"{path}:{node.lineno}: imports {name}" for name in names if name.split(".")[0] in BANNED_MODULES
        ]
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("np.random.") and node.attr in {
            "rand", "randn", "seed", "random", "normal", "choice", "shuffle", "randint", "uniform"
        }:  # fmt: skip
            found.append(f"{path}:{node.lineno}: uses numpy's global generator")
    return found


def core_files() -> list[Path]:
    """Every file of the core."""
    files: list[Path] = []
    for part in CORE:
        place = PACKAGE / part
        files += sorted(place.rglob("*.py")) if place.is_dir() else [place]
    shell = [PACKAGE / part for part in SHELL]
    missing = [str(place) for place in shell if not place.exists()]
    if missing:
        sys.exit(f"purity: no such shell: {', '.join(missing)}")
    return [path for path in files if not any(path.is_relative_to(place) for place in shell)]


if __name__ == "__main__":
    everything = [fault for path in core_files() for fault in faults(path)]
    print("\n".join(everything) or f"purity: {len(core_files())} files of the core are pure")
    sys.exit(bool(everything))
