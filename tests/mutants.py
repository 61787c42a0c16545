"""Changes a file on purpose, one place at a time, runs the tests that matter for it, and lists what they let live.

`python tests/mutants.py daemon/ztb/execution/protection.py --tests tests/runtime/venue/test_protection.py --most 20 --seed 0`
The changed package lies in a folder of its own: the checkout is not touched.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_SOURCES = Path("daemon")
_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_COUNTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """`source` differs from the file in one place, `line`, in the way that `what` says."""

    line: int
    what: str
    source: str


def mutants(source: str) -> list[Mutant]:
    """Every change of `source`, in the order of its lines."""
    tree = ast.parse(source)
    places = sum(1 for _ in _changes(tree))
    found: list[Mutant] = []
    for number in range(places):
        changed = copy.deepcopy(tree)
        line, what = next(told for n, told in enumerate(_changes(changed, number)) if n == number)
        found.append(Mutant(line, what, ast.unparse(changed)))
    return sorted(found, key=lambda mutant: (mutant.line, mutant.what))


def _changes(tree: ast.AST, chosen: int | None = None) -> Iterator[tuple[int, str]]:
    """Each place that can be changed; the `chosen` one is, before it is told."""
    number = 0
    for node in ast.walk(tree):
        for what, change in _ways(node):
            if number == chosen:
                change()
            yield getattr(node, "lineno", 0), what
            number += 1


def _ways(node: ast.AST) -> Iterator[tuple[str, Callable[[], object]]]:
    """How a node can be changed: in words, and as a call that does it."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in _COMPARED:
            yield "a comparison is another", lambda: node.ops.__setitem__(0, _COMPARED[type(op)]())
        case ast.BinOp(op=op) if type(op) in _COUNTED:
            yield "an operator is its opposite", lambda: setattr(node, "op", _COUNTED[type(op)]())
        case ast.BoolOp(op=op):
            other = ast.Or if isinstance(op, ast.And) else ast.And
            yield "and is or", lambda: setattr(node, "op", other())
        case ast.UnaryOp(op=ast.Not()):
            yield (
                "a not is gone",
                lambda: setattr(node, "op", ast.UAdd()) or setattr(node, "operand", _truth(node.operand)),
            )
        case ast.Constant(value=bool(value)):
            yield "a truth is the other", lambda: setattr(node, "value", not value)
        case ast.Constant(value=int(value) | float(value)):
            yield "a number is one more", lambda: setattr(node, "value", value + 1)
        case (
            ast.FunctionDef()
            | ast.AsyncFunctionDef()
            | ast.If()
            | ast.For()
            | ast.While()
            | ast.With()
            | ast.AsyncWith()
        ):
            yield from _of_body(node.body)
        case _:
            pass


def _of_body(body: list[ast.stmt]) -> Iterator[tuple[str, Callable[[], object]]]:
    """Statements of a block: one that only acts is left out, two that act change places."""
    for i, statement in enumerate(body):
        if _acts(statement):
            words = ast.unparse(statement).splitlines()[0]
            yield f"left out: {words}", lambda i=i: body.__setitem__(i, ast.Pass())
            later = next((j for j in range(i + 1, len(body)) if _acts(body[j])), None)
            if later is not None:
                yield f"later: {words}", lambda i=i, j=later: body.insert(j, body.pop(i))


def _acts(statement: ast.stmt) -> bool:
    documents = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Expr | ast.Assign | ast.AugAssign) and not documents


def _truth(operand: ast.expr) -> ast.expr:
    return ast.Call(ast.Name("bool", ast.Load()), [operand], [])


def lives(mutant: Mutant, path: Path, tests: list[str], limit_s: float) -> bool:
    """Whether `tests` pass with the mutant in the place of the file at `path`."""
    with tempfile.TemporaryDirectory() as folder:
        changed = Path(folder) / "daemon"
        shutil.copytree(_SOURCES, changed, ignore=shutil.ignore_patterns("__pycache__"))
        (changed / path.relative_to(_SOURCES)).write_text(mutant.source)
        command = [
            sys.executable, "-m", "pytest", "-x", "-q", "--override-ini",
            "addopts=-q --strict-markers --import-mode=importlib -m 'not proof'", *tests,
        ]  # fmt: skip
        environment = os.environ | {"PYTHONPATH": str(changed)}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, timeout=limit_s, check=False)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0


def main() -> None:
    """Print the survivors, one a line, and how many of how many were found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--tests", nargs="+", required=True)
    parser.add_argument("--most", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit-s", type=float, default=600.0)
    asked = parser.parse_args()
    every = mutants(asked.file.read_text())
    chosen = np.random.default_rng(asked.seed).permutation(len(every))[: asked.most]
    drawn = [every[i] for i in chosen]
    survivors = 0
    for mutant in sorted(drawn, key=lambda one: one.line):
        if lives(mutant, asked.file, asked.tests, asked.limit_s):
            survivors += 1
            print(f"{asked.file}:{mutant.line}: {mutant.what}", flush=True)
    print(f"{len(drawn) - survivors} of {len(drawn)} were found, of {len(every)} that there are")


if __name__ == "__main__":
    main()
