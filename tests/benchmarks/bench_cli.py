"""How quickly what is asked in a hurry is answered: processor time against the smallest program of the same library.

python tests/benchmarks/bench_cli.py [--rounds 9]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERBS = (["--help"], ["status", "--run", "/nowhere"], ["halt", "--run", "/nowhere"])
SMALLEST = """
import sys
from pathlib import Path
from typing import Annotated
import typer
app = typer.Typer()
@app.command()
def status(run: Annotated[Path, typer.Option()], loud: bool = False) -> None: ...
@app.command()
def halt(run: Annotated[Path, typer.Option()]) -> None: ...
app(sys.argv[1:])
"""


def cpu_seconds(*program: str) -> float:
    """User and system time of one call."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "daemon")}
    subprocess.run([sys.executable, *program], env=environment, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        smallest = str(Path(folder) / "smallest.py")
        Path(smallest).write_text(SMALLEST)
        for verb in VERBS:
            ours, theirs = [], []
            for _ in range(rounds):  # alternated: what else the machine does weighs on both
                ours.append(cpu_seconds("-m", "ztb", *verb))
                theirs.append(cpu_seconds(smallest, *verb))
            ratio = statistics.median(ours) / statistics.median(theirs)
            print(
                f"{verb[0]:8} {statistics.median(ours):.3f} s, {ratio:.2f} of the smallest typer program (goal 1.3)"
            )


if __name__ == "__main__":
    main()
