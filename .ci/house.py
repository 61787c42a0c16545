"""The house stays one to live in: what its rules say of files, folders, functions, names and calls, counted."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "daemon"
MOST_LINES = 400
MOST_SMALL, SMALL_LINES = 30, 40
MOST_FOR_ONE_NEIGHBOUR = 40
FUNCTION_P90 = 20
MOST_BY_POSITION = 4
REASONS = {
    "ztb.cli": "the command line, which `python -m ztb` imports once it can say what goes wrong",
    "ztb.commands.arm": "one verb; imported when it is called, so that the others stay light",
    "ztb.commands.control": "verbs that ask a daemon, and import next to nothing",
    "ztb.commands.data": "verbs on data; imported when one is called",
    "ztb.commands.generations_diff": "one verb, which compares networks; the others of generations need no numbers",
    "ztb.commands.housekeeping": "verbs on old runs; imported when one is called",
    "ztb.commands.init_questions": "what is asked at a terminal; it looks at venue and page, which files alone do not need",
    "ztb.commands.run": "the verb of the daemon, and all that it stands on; imported when it is called",
    "ztb.commands.study": "verbs on studies; imported when one is called",
    "ztb.execution.resting": "what becomes of an order that rests: the queue, beside what becomes of one that takes",
    "ztb.learning.forecast": "a regression, of use and tested without any training",
    "ztb.learning.gate.trial": "the test of one candidate; the gate is of all of them",
    "ztb.market.importers.convert": "from a table's columns to ticks, whatever source reads it",
    "ztb.market.importers.json_tables": "one format, as csv_tables is another",
    "ztb.market.importers.tables": "record batches of any format; sources say what they mean",
    "ztb.market.importers.tape": "one kind of source, with a layout of its own",
    "ztb.market.live.streams": "what each kind of stream means; the source only runs them",
    "ztb.market.live.decoded_stream": "the one place that goes below ccxt",
    "ztb.runs.tables": "tables as users see them; a run is where they come from",
    "ztb.runtime.daemon.control_socket": "the socket and its protocol, without a word of what is asked",
    "ztb.runtime.daemon.status": "everything that is shown of a daemon, in one place",
    "ztb.runtime.modes.venue_account": "the account at a venue while it trades; live is how it comes to that",
    "ztb.runtime.summary": "the figures of summary.json; a session only ends with them",
    "ztb.runtime.verify.recorded_state": "stand-ins for the world, beside the repetition that is played to them",
    "ztb.runtime.verify.relearning": "needs torch, which a repetition without it must not load",
    "ztb.studies.cluster": "needs Ray, which nobody else must have",
    "ztb.studies.space": "the language of parameters, which has nothing to do with who runs them",
    "ztb.telemetry.mqtt.publisher": "what is said over MQTT; its setup is how it comes to a connection",
    "ztb.telemetry.web.feed": "what the page is told; the server is how",
    "ztb.telemetry.web.guard": "all that keeps strangers out, in one file to be read by who doubts it",
    "ztb.testing.exchange.accounts": "balances, and what is locked of them, apart from matching",
    "ztb.testing.exchange.api.trading": "the calls of one's own account; others are of the market",
    "ztb.trading.environment_options": "the options of both environments, and what follows from them",
    "ztb.trading.episode_renderer": "pictures of an episode, drawn dot by dot; the environment only shows them",
    "ztb.trading.lane_place": "a lane's memory as Python reads and restores it; the lane is what happens there",
    "ztb.trading.ppo.adam": "Adam, as the paper has it",
    "ztb.trading.ppo.mlp": "back-propagation by hand, held to autograd",
    "ztb.utils.checkpoint.save_queue": "who waits for whom while a state is saved",
    "ztb.utils.checkpoint.store": "files of a folder, and what retention leaves of them",
    "ztb.utils.linking": "how compiled code is linked; kernels know only that it is",
}
"""Why a file stands alone that only one neighbour needs."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {_name(path): path for path in sorted((ROOT / "ztb").rglob("*.py"))}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PATHS.items()}
TREES = {name: ast.parse(text) for name, text in TEXTS.items()}
FILES = [name for name, path in PATHS.items() if path.stem != "__init__"]


def _imports(tree: ast.AST, at_once: bool = False) -> Iterator[tuple[str, str | None]]:
    """(module, name), name None where the module itself is imported; `at_once`: with the file, not when called."""
    for node in ast.iter_child_nodes(tree) if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.module, alias.name) for alias in node.names)


def _home(module: str, name: str | None) -> str:
    """Where an imported name lives: a room's face only passes it on."""
    inside = f"{module}.{name}"
    if inside in TREES:
        return inside
    if module in TREES and PATHS[module].stem == "__init__":
        for there, passed in _imports(TREES[module]):
            if passed == name and there != module:
                return _home(there, passed)
    return module


def importers() -> dict[str, set[str]]:
    """Who imports each file; the face of a room is among them, since others come through it."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, tree in TREES.items():
        for module, imported in _imports(tree):
            found[_home(module, imported)].add(name)
    return found


def for_one_neighbour() -> dict[str, str]:
    """Files that a single file of their own folder imports, and nobody else, by that file: no face has them either."""
    only = {name: next(iter(who - {name})) for name, who in importers().items() if len(who - {name}) == 1}
    return {
        name: neighbour
        for name, neighbour in only.items()
        if name in FILES and neighbour in FILES and PATHS[neighbour].parent == PATHS[name].parent
    }


def alone() -> Iterator[str]:
    """Files for one neighbour without a reason to stand alone, and reasons that no file needs any more."""
    found = for_one_neighbour()
    yield from (
        f"{n} serves {found[n]} alone: say why in REASONS" for n in sorted(found.keys() - REASONS.keys())
    )
    yield from (f"REASONS: {n} serves no neighbour alone" for n in sorted(REASONS.keys() - found.keys()))
    if len(found) > MOST_FOR_ONE_NEIGHBOUR:
        yield f"{len(found)} files serve one neighbour alone, {MOST_FOR_ONE_NEIGHBOUR} may"


def _lines_of(node: Function) -> int:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def function_p90() -> int:
    """Lines of a function's body, of nine in ten."""
    lines = sorted(_lines_of(n) for tree in TREES.values() for n in ast.walk(tree) if isinstance(n, Function))
    return lines[len(lines) * 9 // 10]


def riddles() -> Iterator[str]:
    """First lines of docstrings that ask instead of defining."""
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | Function):
                text = ast.get_docstring(node) or ""
                if re.match(r"(What|Who|How|Whether|Which|Where|When|Why)\b", text):
                    yield f"{name}:{getattr(node, 'lineno', 1)}: a docstring defines: {text.splitlines()[0]}"
                if text.startswith("See the module"):
                    yield f"{name}:{getattr(node, 'lineno', 1)}: a docstring defines, and leaves that to nobody"


def twins() -> Iterator[str]:
    """Public classes that share a name."""
    found = Counter(
        node.name for tree in TREES.values() for node in tree.body if isinstance(node, ast.ClassDef)
    )
    yield from (
        f"{number} classes are called {name}"
        for name, number in found.items()
        if number > 1 and name[0] != "_"
    )


def _parameters(tree: ast.Module) -> dict[str, list[str]]:
    """By name, the parameters of a file's functions, and the fields of its classes."""
    found: dict[str, list[str]] = {}
    for node in tree.body:
        if isinstance(node, Function) and not node.args.vararg:
            found[node.name] = [each.arg for each in node.args.args]
        elif isinstance(node, ast.ClassDef):
            own = next((n for n in node.body if isinstance(n, Function) and n.name == "__init__"), None)
            fields = [
                n.target.id
                for n in node.body
                if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
            ]
            found[node.name] = [each.arg for each in own.args.args][1:] if own else fields
    return found


def _unnamed(call: ast.Call, parameters: list[str] | None) -> bool:
    """True if the call passes too many by position; a name that is its parameter's own says which it is."""
    if parameters is None or len(call.args) <= MOST_BY_POSITION:
        return False
    given = [a.id if isinstance(a, ast.Name) else None for a in call.args]
    return given != parameters[: len(given)] and not any(isinstance(a, ast.Starred) for a in call.args)


def by_position() -> Iterator[str]:
    """Calls inside functions that pass five arguments or more without naming them, to functions of ours, or to
    methods of one's own class. Tables of constants, a row a line, stay as they are.
    """
    known = {name: _parameters(tree) for name, tree in TREES.items()}
    for name, tree in TREES.items():
        homes = {imported: _home(module, imported) for module, imported in _imports(tree) if imported}
        for function in (n for n in ast.walk(tree) if isinstance(n, Function)):
            for call in (n for n in ast.walk(function) if isinstance(n, ast.Call)):
                called = call.func.id if isinstance(call.func, ast.Name) else ""
                if _unnamed(call, known.get(homes.get(called, name), {}).get(called)):
                    yield f"{name}:{call.lineno}: {called} is passed {len(call.args)} arguments by position"
        for owner in (n for n in tree.body if isinstance(n, ast.ClassDef)):
            own = [n for n in owner.body if isinstance(n, Function) and not n.decorator_list]
            methods = {f"self.{n.name}": [each.arg for each in n.args.args][1:] for n in own}
            for call in (n for n in ast.walk(owner) if isinstance(n, ast.Call)):
                if _unnamed(call, methods.get(ast.unparse(call.func))):
                    yield f"{name}:{call.lineno}: {ast.unparse(call.func)} is passed {len(call.args)} by position"


def stray_skips() -> Iterator[str]:
    """Places where the formatter is told to look away that are no tables: assignments of a module."""
    for name, text in TEXTS.items():
        for number, line in enumerate(text.splitlines(), 1):
            if "# fmt: skip" not in line:
                continue
            node = next(n for n in TREES[name].body if n.lineno <= number <= (n.end_lineno or 0))
            if not isinstance(node, ast.Assign | ast.AnnAssign):
                yield f"{name}:{number}: only tables are kept from the formatter"


def long_files() -> Iterator[str]:
    yield from (
        f"{n}: {len(t.splitlines())} lines" for n, t in TEXTS.items() if len(t.splitlines()) > MOST_LINES
    )


def faults() -> list[str]:
    """Everything that breaks a rule."""
    found = [*long_files(), *riddles(), *twins(), *by_position(), *stray_skips(), *alone()]
    small = [name for name in FILES if len(TEXTS[name].splitlines()) <= SMALL_LINES]
    if len(small) > MOST_SMALL:
        found.append(f"{len(small)} files have {SMALL_LINES} lines or less: {', '.join(small)}")
    if function_p90() > FUNCTION_P90:
        found.append(f"one function in ten has more than {FUNCTION_P90} lines: {function_p90()}")
    return found


if __name__ == "__main__":
    broken = faults()
    lines = len([line for text in TEXTS.values() for line in text.splitlines()])
    print("\n".join(broken) or f"house: {len(FILES)} files, {lines} lines, as the rules have them")
    sys.exit(bool(broken))
