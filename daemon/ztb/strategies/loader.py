"""Finds and loads strategies: a file each, through the ordinary import system."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import ztb.strategies as mount
from ztb.errors import ConfigError, ZtbError
from ztb.trading.policy.network import MakeNetwork
from ztb.trading.strategy import OwnReward, Strategy, StrategyContext, checked_reward

_OWN = {"__init__", "loader"}


@dataclass(frozen=True, slots=True)
class StrategyFile:
    """A strategy as found on disk; `make` builds one."""

    name: str
    path: Path
    make: Callable[[StrategyContext], Strategy]
    learns: bool
    features: tuple[Any, ...] | None
    network: MakeNetwork | None
    reward: OwnReward | None


def available() -> dict[str, Path]:
    """Strategy names and their files. ConfigError: a folder of the path is none."""
    return {name: paths[0] for name, paths in _files().items()}


def _files() -> dict[str, list[Path]]:
    """By name, every file that bears it; the shipped one first."""
    found: dict[str, list[Path]] = {}
    folders = [mount.SHIPPED, *mount.user_folders()]
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(
                f"ZTB_STRATEGY_PATH: {folder} is no folder; create it or remove it from the path"
            )
        for path in sorted(folder.glob("*.py")):
            name = path.stem
            if name in _OWN or name.startswith("_"):
                continue
            found.setdefault(name, []).append(path)
    return found


def add_file(path: Path) -> str:
    """Make the strategy in the file `path` known, with its neighbours, in this process and those it starts; its name.

    ConfigError: there is no such file, or it is none of Python's. A file that was loaded before is read again.
    """
    whole = path.expanduser().resolve()
    if not whole.is_file() or whole.suffix != ".py":
        raise ConfigError(
            f"{path}: no file of a strategy is there; give the path of one, such as mine/momentum.py"
        )
    if whole.parent not in [mount.SHIPPED, *mount.user_folders()]:
        added = [os.environ.get("ZTB_STRATEGY_PATH", ""), str(whole.parent)]
        os.environ["ZTB_STRATEGY_PATH"] = ":".join(filter(None, added))
        mount.__path__.append(str(whole.parent))
    importlib.invalidate_caches()
    sys.modules.pop(f"{mount.__name__}.{whole.stem}", None)
    return whole.stem


def load_strategy(name: str, shipped: bool = False) -> StrategyFile:
    """The strategy of that name. ConfigError: there is none, its file is broken, or a user's file bears its name too.

    `shipped`: the one that ztb ships, whatever users have; a file is in the way of no other strategy than its own.
    """
    files = _files()
    if name not in files:
        near = get_close_matches(name, files, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"no strategy {name!r}{hint or ';'} known: {', '.join(sorted(files))}")
    path, *others = files[name]
    if others and not shipped:
        raise ConfigError(f"{others[0]}: a strategy {name!r} exists already ({path}); rename yours")
    made = _strategy_class(name, path)
    reward = getattr(made, "reward", None)
    return StrategyFile(
        name=name,
        path=path,
        make=made,
        learns=bool(getattr(made, "learns", False)),
        features=getattr(made, "features", None),
        network=getattr(made, "network", None),
        reward=None if reward is None else checked_reward(reward),
    )


def _strategy_class(name: str, path: Path) -> Any:
    try:
        module = importlib.import_module(f"ztb.strategies.{name}")
    except ZtbError:
        raise
    except Exception as error:
        raise ConfigError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    made = getattr(module, "Strategy", None)
    if made is None or not callable(getattr(made, "decide", None)):
        raise ConfigError(f"{path}: defines no class Strategy with a method decide(self, moment)")
    return made
