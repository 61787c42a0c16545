"""Each room's `__init__` is its face: every name it promises is there, and asking for the room alone costs nothing."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

LAZY = ["trading", "learning", "execution", "ledger", "market"]


@pytest.mark.parametrize("room", [*LAZY, "features", "learning.allocation"])
def test_every_name_of_a_room_is_the_one_of_where_it_lives(room: str) -> None:
    package = importlib.import_module(f"ztb.{room}")
    assert package.__doc__ and package.__all__
    for name in package.__all__:
        found = getattr(package, name)
        home = sys.modules[getattr(found, "__module__", package.__name__)]
        assert name in dir(package)
        if home.__name__.startswith(package.__name__):
            assert getattr(home, name) is found


@pytest.mark.parametrize("room", LAZY)
def test_a_room_imports_nothing_until_a_name_of_it_is_asked_for(room: str) -> None:
    script = f"import sys, ztb.{room}; print(*(name for name in sys.modules if name.startswith('ztb.')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert {"numpy", "numba", "torch"} & set(done.stdout.split()) == set()
    assert set(done.stdout.split()) <= {f"ztb.{room}", "ztb.lazy", "ztb.trading", "ztb.trading.registration"}


def test_a_name_that_no_room_has_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"ztb\.ledger"):
        importlib.import_module("ztb.ledger").Nothing  # noqa: B018
