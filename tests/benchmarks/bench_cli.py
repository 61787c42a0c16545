"""How quickly what is asked in a hurry is answered: processor time, against bare programs of the same library.

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
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "daemon"))
GOAL_RATIO, GOAL_IMPORT_MS = 1.3, 50.0


def bare(command: Any, name: str, lines: list[str]) -> None:
    """Lines of a typer program with the commands of `command`, as many parameters each, and nothing behind them."""
    for verb, one in command.commands.items():
        place = f"{name}_{verb}".replace("-", "_")
        if hasattr(one, "commands"):
            lines.append(
                f"{place} = typer.Typer(help={one.help!r})\n{name}.add_typer({place}, name={verb!r})"
            )
            bare(one, place, lines)
            continue
        options = ", ".join(
            f"p{n}: Annotated[str | None, typer.Option('--p{n}', help={getattr(option, 'help', None)!r})] = None"
            for n, option in enumerate(one.params)
        )
        lines.append(
            f"@{name}.command({verb!r}, help={one.help!r})\ndef {place}_verb({options}) -> None: ..."
        )


def of_the_same_size() -> str:
    """A bare program of the size of ztb."""
    import typer

    from ztb.cli import app

    lines = ["import sys\nfrom typing import Annotated\nimport typer\napp = typer.Typer(help='bare')"]
    bare(typer.main.get_command(app), "app", lines)
    return "\n".join([*lines, "app(sys.argv[1:])"])


def cpu_seconds(*program: str) -> float:
    """User and system time of one call."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "daemon")}
    subprocess.run([sys.executable, *program], env=environment, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def medians(rounds: int, ours: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[float, float]:
    """Of alternated calls: what else the machine does weighs on both."""
    pairs = [(cpu_seconds(*ours), cpu_seconds(*theirs)) for _ in range(rounds)]
    first, second = (statistics.median(pair[k] for pair in pairs) for k in (0, 1))
    return first, second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "bare.py")
        Path(program).write_text(of_the_same_size())
        for verb in (["--help"], ["status", "--run", "/nowhere"], ["halt", "--run", "/nowhere"]):
            # The bare program is asked for its help, which it can always give.
            ours, theirs = medians(rounds, ("-m", "ztb", *verb), (program, *verb[:1], "--help"))
            print(
                f"{verb[0]:8} {ours:.3f} s, {ours / theirs:.2f} of a bare typer program of its size (goal {GOAL_RATIO})"
            )
    ours, theirs = medians(rounds, ("-c", "import ztb"), ("-c", "pass"))
    print(
        f"import ztb {1e3 * (ours - theirs):.1f} ms beyond Python's own {1e3 * theirs:.1f} (goal {GOAL_IMPORT_MS:.0f})"
    )


if __name__ == "__main__":
    main()
