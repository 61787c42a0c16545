"""Private constants of a file, changed where they stand: nobody but the file's own functions reads them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from mutation.operators import Mutant, changed


class Constants:
    """The statements of a file that give names to its functions alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._source = path.read_text()
        self._tree = ast.parse(self._source)
        self._at_import = [name for statement in self._tree.body for name in _read_at_import(statement)]

    def readers(self, mutant: Mutant) -> set[int]:
        """Lines of the functions that read what the mutant changes; none where more than they would have to know."""
        place = self._place(mutant)
        names = set() if place is None else _given(self._tree.body[place])
        functions = [
            each for each in ast.walk(self._tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        return {
            line
            for function in functions
            if names & {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
            for line in range(function.body[0].lineno, (function.end_lineno or 0) + 1)
        }

    def change(self, mutant: Mutant) -> None:
        """Give the names what the changed statement says."""
        place = self._place(mutant)
        assert place is not None
        statement = changed(self._source, mutant).body[place]
        module = next(each for each in list(sys.modules.values()) if _file_of(each) == str(self._path))
        named = dict(vars(module))
        exec(compile(ast.Module([statement], []), str(self._path), "exec"), named)
        for name in _given(statement):
            setattr(module, name, named[name])

    def _place(self, mutant: Mutant) -> int | None:
        if mutant.owner is not None:
            return None
        place = next(i for i, each in enumerate(self._tree.body) if mutant.line <= (each.end_lineno or 0))
        names = _given(self._tree.body[place])
        private = bool(names) and all(name.startswith("_") for name in names)
        return place if private and not names & set(self._at_import) else None


def _file_of(module: object) -> str:
    return str(getattr(module, "__file__", ""))


def _given(statement: ast.stmt) -> set[str]:
    """Names that a plain assignment gives."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def _read_at_import(node: ast.AST) -> Iterator[str]:
    """Names that are read when the file is imported: everywhere but in the bodies of functions."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield node.id
    for field, value in ast.iter_fields(node):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and field == "body":
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _read_at_import(child)
