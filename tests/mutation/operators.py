"""The changes: every place of a source that can be another, and the source with one of them made."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
_COUNTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr,
}  # fmt: skip
_LARGE = 1000  # one more or less of a number beyond is no other number
_WORDS = {"__repr__", "__str__"}
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Owner:
    """The outermost function around a place, as its code names itself."""

    name: str
    line: int


@dataclass(frozen=True)
class Mutant:
    """The `number`-th change of a source: at `line`, whose words are `text`, what was before and is after; the `nth`
    of those that say so of their line, from 1.

    Without an owner the place is run when the file is imported: a constant, a field's default.
    """

    number: int
    line: int
    text: str
    what: str
    owner: Owner | None
    nth: int


@dataclass(frozen=True)
class _Place:
    line: int
    what: str
    owner: Owner | None
    change: Callable[[], object]


def mutants(source: str) -> list[Mutant]:
    """Every change of `source`, in the order of its places; words, annotations and messages are no places."""
    lines = source.splitlines()
    said: Counter[tuple[int, str]] = Counter()
    found: list[Mutant] = []
    for number, place in enumerate(_places(ast.parse(source))):
        said[place.line, place.what] += 1
        found.append(
            Mutant(
                number=number,
                line=place.line,
                text=lines[place.line - 1].strip(),
                what=place.what,
                owner=place.owner,
                nth=said[place.line, place.what],
            )
        )
    return found


def changed(source: str, mutant: Mutant) -> ast.Module:
    """The tree of `source` with that change made."""
    tree = ast.parse(source)
    place = next(place for number, place in enumerate(_places(tree)) if number == mutant.number)
    place.change()
    return ast.fix_missing_locations(tree)


def function_code(code: CodeType, owner: Owner) -> CodeType:
    """The code of a function in the code of its file."""
    waiting = [code]
    while waiting:
        one = waiting.pop()
        if (one.co_qualname, one.co_firstlineno) == (owner.name, owner.line):
            return one
        waiting += [inner for inner in one.co_consts if isinstance(inner, CodeType)]
    raise LookupError(f"no code of {owner.name} at line {owner.line}")


def _places(node: ast.AST, path: str = "", owner: Owner | None = None) -> Iterator[_Place]:
    """The places below `node`, whose parts are looked at in the order of the source."""
    for field, value in ast.iter_fields(node):
        if _is_words(node, field):
            continue
        inner, around = path, owner
        if isinstance(node, _Function | ast.ClassDef) and field == "body":
            inner = f"{path}.{node.name}" if path else node.name
            if owner is None and isinstance(node, _Function):
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                around = Owner(inner, first)
        if isinstance(value, list):
            if value and isinstance(value[0], ast.stmt):
                yield from _of_statements(value, around)
            for i, child in enumerate(value):
                yield from _of_child(node, child, around, lambda new, v=value, i=i: v.__setitem__(i, new))
                if isinstance(child, ast.AST):
                    yield from _places(child, inner, around)
        elif isinstance(value, ast.AST):
            yield from _of_child(node, value, around, lambda new, f=field: setattr(node, f, new))
            yield from _places(value, inner, around)


def _is_words(node: ast.AST, field: str) -> bool:
    """Whether a part says something to people or to a type checker, and does nothing."""
    match node:
        case ast.JoinedStr() | ast.Raise() | ast.Import() | ast.ImportFrom() | ast.Assert():
            return True
        case ast.Expr(value=ast.Constant()) | ast.keyword(arg="strict"):
            return True
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name in _WORDS:
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
        case ast.ClassDef() if field == "keywords":
            return True
        case _:
            return field in ("annotation", "returns", "decorator_list", "bases")


def _of_child(
    parent: ast.AST, child: object, owner: Owner | None, put: Callable[[ast.AST], object]
) -> Iterator[_Place]:
    """An expression or an operator's node in its parent, replaced."""
    if not isinstance(child, ast.expr) or _is_words(child, ""):
        return
    for new in _instead(child, owner):
        yield _told(child, new, owner, put)
    tested = isinstance(parent, ast.If | ast.While | ast.IfExp) and child is parent.test
    if tested and not isinstance(child, ast.Compare | ast.BoolOp | ast.Constant) and not _is_not(child):
        yield _told(child, ast.UnaryOp(ast.Not(), child), owner, put)
    if isinstance(parent, ast.Return) and not isinstance(child, ast.Constant):
        yield _told(child, ast.Constant(None), owner, put)


def _told(child: ast.expr, new: ast.expr, owner: Owner | None, put: Callable[[ast.AST], object]) -> _Place:
    what = f"{ast.unparse(child)} -> {ast.unparse(new)}"
    return _Place(child.lineno, what, owner, lambda: put(ast.copy_location(new, child)))


def _is_not(node: ast.AST) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _instead(node: ast.expr, owner: Owner | None) -> Iterator[ast.expr]:
    """What an expression could be instead."""
    match node:
        case ast.Compare(left=left, ops=ops, comparators=right):
            for i, op in enumerate(ops):
                for other in _COMPARED[type(op)]:
                    yield ast.Compare(left, [*ops[:i], other(), *ops[i + 1 :]], right)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _COUNTED:
            yield ast.BinOp(left, _COUNTED[type(op)](), right)
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield ast.Call(ast.Name("bool", ast.Load()), [operand], [])
        case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            yield operand
        case ast.Constant(value=value):
            yield from map(ast.Constant, _other_values(value))
        case _:
            pass


def _other_values(value: object) -> list[object]:
    match value:
        case bool():
            return [not value]
        case int() if abs(value) >= _LARGE:
            return [value * 2, 0]
        case int():
            return [value + 1, value - 1]
        case float():
            return [value * 2.0, 0.0] if value else [1.0]
        case _:
            return []


def _of_statements(body: list[ast.stmt], owner: Owner | None) -> Iterator[_Place]:
    """Statements of a block: one is left out, one is done after the next that acts; a wait, after any that does."""
    for i, statement in enumerate(body):
        words = ast.unparse(statement).splitlines()[0]
        if _acts(statement) or isinstance(statement, ast.Raise | ast.Continue | ast.Break | ast.Delete):
            out = lambda i=i: body.__setitem__(i, ast.copy_location(ast.Pass(), body[i]))  # noqa: E731
            yield _Place(statement.lineno, f"removed: {words}", owner, out)
        for later in _later(body, i):
            after = ast.unparse(body[later]).splitlines()[0]
            move = lambda i=i, j=later: body.insert(j, body.pop(i))  # noqa: E731
            yield _Place(statement.lineno, f"later: {words}, after {after}", owner, move)


def _acts(statement: ast.stmt) -> bool:
    """Whether a statement is there for what it does: a call, or a write to something that stays."""
    match statement:
        case ast.Expr(value=value):
            return not isinstance(value, ast.Constant)
        case ast.AugAssign():
            return True
        case ast.Assign(targets=targets):
            return any(isinstance(target, ast.Attribute | ast.Subscript) for target in targets)
        case _:
            return False


def _calls(statement: ast.stmt) -> bool:
    """Whether a statement, or one inside it, is a call for its effect, or waits for others."""
    if isinstance(statement, _Function | ast.ClassDef):
        return False
    return any(
        isinstance(node, ast.Await)
        or (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant))
        for node in ast.walk(statement)
    )


def _later(body: list[ast.stmt], i: int) -> Iterator[int]:
    """Statements after which this one could be done, where that may matter and none of them needs it."""
    first = body[i]
    if not _acts(first) and not (isinstance(first, ast.Assign) and _calls(first)):
        return
    for j in range(i + 1, len(body)):
        if isinstance(body[j], ast.Return | ast.Raise) or _names(first, ast.Store) & _names(
            body[j], ast.Load
        ):
            return
        if _calls(body[j]) or (_calls(first) and _acts(body[j])):
            yield j
        if (_calls(body[j]) or _acts(body[j])) and not _waits(first):
            return


def _waits(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Await)


def _names(statement: ast.stmt, how: type[ast.expr_context]) -> set[str]:
    return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, how)}
