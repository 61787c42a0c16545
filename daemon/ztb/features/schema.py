"""The schema hash: a fingerprint of what a policy is told, which goes into every checkpoint.

Four digests of ten hexadecimal digits: names and formulas of the columns; the code of the kernels, without
comments, docstrings and layout; the period; the normaliser. So two hashes tell which of them differ.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterable
from functools import cache
from types import ModuleType

from ztb.features import (
    averages,
    bucket,
    calendar,
    emit,
    flow,
    forecast,
    normaliser,
    state,
    touch,
    trend,
    update,
    volatility,
)
from ztb.market import book, view

_DIGITS = 10
_PARTS = ("names or formulas of the features", "code of the feature kernels", "period", "normaliser")
_KERNELS = (
    averages,
    bucket,
    calendar,
    emit,
    flow,
    forecast,
    normaliser,
    state,
    touch,
    trend,
    update,
    volatility,
    book,
    view,
)
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def code_of(source: str) -> str:
    """`source` without what does not change its meaning: comments, layout, strings that stand alone."""
    tree = ast.parse(textwrap.dedent(source))
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED):
            node.body = [line for line in node.body if not _is_text(line)] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(line: ast.stmt) -> bool:
    return (
        isinstance(line, ast.Expr)
        and isinstance(line.value, ast.Constant)
        and isinstance(line.value.value, str)
    )


@cache
def kernel_code(modules: tuple[ModuleType, ...] = _KERNELS) -> str:
    """Code of every kernel that a shipped feature stands on."""
    return "\n".join(code_of(inspect.getsource(module)) for module in modules)


def schema_hash(formulas: Iterable[str], user_code: Iterable[str], period_ns: int) -> str:
    """40 hexadecimal digits for columns described by `formulas`, in order."""
    parts = (
        "\n".join(formulas),
        "\n".join((kernel_code(), *user_code)),
        str(period_ns),
        normaliser.NORMALISER_KIND,
    )
    return "".join(_digest(part) for part in parts)


def source_of(function: Callable[..., object]) -> str:
    """Code of one function, compiled or plain."""
    return code_of(inspect.getsource(inspect.unwrap(function)))


def differing(expected: str, found: str) -> str:
    """The parts in which two schemas differ, in words, such as "the formulas, the code"."""
    spans = [slice(i * _DIGITS, (i + 1) * _DIGITS) for i in range(len(_PARTS))]
    parts = [part for part, span in zip(_PARTS, spans, strict=True) if expected[span] != found[span]]
    return f"the {', the '.join(parts)}"
