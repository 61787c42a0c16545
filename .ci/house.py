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


def for_one_neighbour() -> list[str]:
    """Files that a single file of their own folder imports, and nobody else: no face has them either.

    What is imported only when it is asked for stands alone for that reason, and is not counted.
    """
    only = {name: next(iter(who)) for name, who in importers().items() if name in FILES and len(who) == 1}
    return [
        f"{name} serves {neighbour.rpartition('.')[2]} alone"
        for name, neighbour in only.items()
        if neighbour in FILES
        and PATHS[neighbour].parent == PATHS[name].parent
        and name in {_home(*imported) for imported in _imports(TREES[neighbour], at_once=True)}
    ]


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
    found = [*long_files(), *riddles(), *twins(), *by_position(), *stray_skips()]
    small = [name for name in FILES if len(TEXTS[name].splitlines()) <= SMALL_LINES]
    alone = for_one_neighbour()
    if len(small) > MOST_SMALL:
        found.append(f"{len(small)} files have {SMALL_LINES} lines or less: {', '.join(small)}")
    if len(alone) > MOST_FOR_ONE_NEIGHBOUR:
        found += [f"{len(alone)} files serve one neighbour alone, {MOST_FOR_ONE_NEIGHBOUR} may:", *alone]
    if function_p90() > FUNCTION_P90:
        found.append(f"one function in ten has more than {FUNCTION_P90} lines: {function_p90()}")
    return found


if __name__ == "__main__":
    broken = faults()
    lines = len([line for text in TEXTS.values() for line in text.splitlines()])
    print("\n".join(broken) or f"house: {len(FILES)} files, {lines} lines, as the rules have them")
    sys.exit(bool(broken))
