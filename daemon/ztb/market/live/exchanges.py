"""ccxt, of whose hundred exchanges those alone are loaded that somebody names: all take 70 MB and a second.

Whoever needs ccxt imports this module first. `ccxt`, `ccxt.async_support` and `ccxt.pro` import every exchange when
they are imported themselves; here they find an empty place instead, which is filled when it is looked at.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGES = ("ccxt", "ccxt.async_support", "ccxt.pro")


class _Exchanges(ModuleType):
    """A package whose exchanges are imported when they are looked at: classes, as ccxt has them, not their modules."""

    def __getattr__(self, name: str) -> Any:
        if name not in self.__dict__.get("exchanges", ()):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        importlib.import_module(f"{self.__name__}.{name}")
        return self.__dict__[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType):
            made = getattr(value, name, None)
            value = made if isinstance(made, type) else value
        super().__setattr__(name, value)


class _Placeholders(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds, for a module of one exchange, an empty one."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        if package not in _PACKAGES or not any(Path(folder, f"{name}.py").is_file() for folder in path or ()):
            return None
        self.found.append(fullname)
        return importlib.machinery.ModuleSpec(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        setattr(module, module.__name__.rpartition(".")[2], None)


def _import_packages() -> None:
    """Import the packages without their exchanges."""
    placeholders = _Placeholders()
    sys.meta_path.insert(0, placeholders)
    try:
        for name in _PACKAGES:
            importlib.import_module(name)
    finally:
        sys.meta_path.remove(placeholders)
        for fullname in placeholders.found:
            package, _, name = fullname.rpartition(".")
            del sys.modules[fullname]
            sys.modules[package].__dict__.pop(name, None)
    for name in _PACKAGES:
        sys.modules[name].__class__ = _Exchanges


if "ccxt" not in sys.modules:
    _import_packages()

import ccxt.pro as _pro  # noqa: E402 (its packages are made above)
from ccxt.base import errors as ccxt_errors  # noqa: E402

ccxt_pro: Any = _pro
__all__ = ["ccxt_errors", "ccxt_pro"]
