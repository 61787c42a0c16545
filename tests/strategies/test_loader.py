"""Strategies are files: shipped ones are found, a user's too, and every mistake is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import ztb.strategies
from ztb.errors import ConfigError
from ztb.strategies.loader import available, load_strategy
from ztb.trading.strategy import Action, StrategyContext

CONTEXT = StrategyContext("BTC/USD", (0.0, 0.5, 1.0), 0)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ZTB_STRATEGY_PATH", str(tmp_path))
    monkeypatch.setattr(ztb.strategies, "__path__", [*ztb.strategies.__path__, str(tmp_path)])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("ztb.strategies."):
            del sys.modules[name]


def test_the_shipped_strategies_are_there():
    assert set(available()) == {
        "ppo_online", "hold", "flat", "trend", "reversion", "ema_cross", "random_walk",
    }  # fmt: skip
    assert load_strategy("ppo_online").learns and not load_strategy("hold").learns


def test_a_file_in_a_users_folder_is_a_strategy(folder):
    (folder / "mine.py").write_text(
        "from ztb.trading.strategy import Action\n"
        "class Strategy:\n"
        "    features = ('spread',)\n"
        "    def __init__(self, context): self.top = len(context.ladder) - 1\n"
        "    def decide(self, moment): return Action(self.top)\n"
    )
    found = load_strategy("mine")
    assert found.features == ("spread",)
    assert found.make(CONTEXT).decide(None) == Action(2)  # type: ignore[arg-type]


def test_a_users_file_never_shadows_a_shipped_one(folder):
    (folder / "hold.py").write_text("")
    with pytest.raises(ConfigError, match=r"hold\.py: a strategy 'hold' exists already .* rename yours"):
        load_strategy("hold")


def test_a_file_that_is_in_the_way_of_one_strategy_takes_no_other_down(folder):
    (folder / "hold.py").write_text("raise RuntimeError")
    (folder / "broken.py").write_text("def (")
    assert load_strategy("trend").name == "trend" and "broken" in available()
    shipped = load_strategy("hold", shipped=True)  # the yardstick of every run
    assert shipped.path.parent != folder
    with pytest.raises(ConfigError, match=r"broken\.py: cannot be imported: SyntaxError"):
        load_strategy("broken")


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'ema_cross'"):
        load_strategy("emacross")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import nowhere_to_be_found", "cannot be imported: ModuleNotFoundError"),
        ("def broken(:", "cannot be imported: SyntaxError"),
        ("x = 1", "defines no class Strategy"),
        ("class Strategy: pass", "defines no class Strategy with a method decide"),
    ],
)
def test_broken_files_are_named(folder, source, message):
    (folder / "broken.py").write_text(source)
    with pytest.raises(ConfigError, match=rf"broken\.py: {message}"):
        load_strategy("broken")


def test_a_missing_folder_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("ZTB_STRATEGY_PATH", str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match="gone is no folder"):
        available()
