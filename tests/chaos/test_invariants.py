"""The looks of a story at each sending see what is wrong."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chaos.invariants import backed


def journal(folder: Path, aims: dict[str, float], weights: list[tuple[int, str, float]]) -> Any:
    """A daemon whose order `a` was decided at decision 7."""
    with closing(sqlite3.connect(folder / "journal.sqlite")) as disk, disk:
        disk.execute("CREATE TABLE orders (client_id, decision)")
        disk.execute("CREATE TABLE decisions (decision, aims)")
        disk.execute("CREATE TABLE allocations (seq INTEGER PRIMARY KEY, decision, expert, weight)")
        disk.execute("INSERT INTO orders VALUES ('a', 7)")
        disk.execute("INSERT INTO decisions VALUES (7, ?)", (json.dumps(aims).encode() if aims else b"",))
        disk.executemany("INSERT INTO allocations (decision, expert, weight) VALUES (?, ?, ?)", weights)
    return cast(Any, SimpleNamespace(session=SimpleNamespace(directory=SimpleNamespace(path=folder))))


@pytest.mark.parametrize(
    ("aims", "weights", "said"),
    [
        ({}, [], True),
        ({"a": 0.5}, [(3, "a", 0.1)], True),
        ({"a": 0.5}, [(3, "a", 0.1), (6, "a", 0.0)], False),
        ({"a": 0.5}, [(3, "a", 0.0), (8, "a", 0.1)], False),
        ({"a": 0.0, "b": 0.5}, [(3, "a", 0.1), (3, "b", 0.0)], False),
        ({"a": 0.0, "b": 0.5}, [(3, "a", 0.1), (5, "b", 0.2)], True),
        ({"a": 0.5}, [], False),
    ],
)
def test_a_buy_is_backed_by_who_wanted_it_and_had_weight_then(
    aims: dict[str, float], weights: list[tuple[int, str, float]], said: bool, tmp_path: Path
) -> None:
    assert backed(journal(tmp_path, aims, weights), "a") == said
