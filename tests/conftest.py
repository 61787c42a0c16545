"""What every test stands on: no network but loopback, and small made-up markets."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog
from hypothesis import settings

from chaos.recipe import Recipe

# The first call of a kernel compiles it: no deadline means anything here.
settings.register_profile("ztb", deadline=None)
settings.load_profile("ztb")

REPOSITORY = Path(__file__).resolve().parent.parent
HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Looking up or connecting to a host other than loopback fails the test that tries it, asyncio's ways included."""

    def check(host: object) -> None:
        if host not in (None, "", "0.0.0.0", "127.0.0.1", "::1", "localhost", b"127.0.0.1", b"localhost"):
            raise AssertionError(f"a test tried to reach {host!r}")

    def guard(name: str) -> None:
        plain = getattr(socket.socket, name)

        def guarded(self: socket.socket, address: object) -> object:
            check(address[0] if isinstance(address, tuple) else None)
            return plain(self, address)

        monkeypatch.setattr(socket.socket, name, guarded)

    look_up = socket.getaddrinfo

    def guarded_look_up(host: object, *arguments: object, **options: object) -> object:
        check(host)
        return look_up(host, *arguments, **options)  # type: ignore[arg-type]

    guard("connect")
    guard("connect_ex")
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)
    yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the caller's leaks into a test."""
    for name in list(os.environ):
        if name.startswith("ZTB_") and not name.startswith("ZTB_PROOF") and name != "ZTB_SHARED_DATA":
            monkeypatch.delenv(name)


@pytest.fixture
def shared() -> Path:
    """The folder of real recordings; tests that use it are skipped where it is absent."""
    folder = Path(os.environ.get("ZTB_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the recordings are not here ({folder}): set ZTB_SHARED_DATA")
    return folder


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command run in a test may log to a stream that is closed after it."""
    root = logging.getLogger()
    handlers, level, disabled = root.handlers[:], root.level, root.manager.disable
    yield
    logging.disable(disabled)
    root.setLevel(level)
    root.handlers[:] = handlers
    structlog.reset_defaults()


@pytest.fixture
def write_bars(tmp_path: Path) -> Callable[..., Path]:
    """Writes a CSV of hourly bars of a random walk: `write_bars(n, seed=0, change=None)`."""

    def write(n: int, seed: int = 0, name: str = "bars.csv", shift_after: int | None = None) -> Path:
        rng = np.random.default_rng(seed)
        closes = np.round(5000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, n + 1))), 2)
        if shift_after is not None:
            closes[shift_after + 1 :] = np.round(closes[shift_after + 1 :] * 1.1, 2)
        wiggle = np.round(rng.uniform(0.01, 20.0, n), 2)
        volumes = np.round(rng.uniform(10.0, 200.0, n), 4)
        lines = ["timestamp,open,high,low,close,volume"]
        for i in range(n):
            first, last = closes[i], closes[i + 1]
            high, low = max(first, last) + wiggle[i], min(first, last) - wiggle[i]
            moment = 1_500_000_000_000 // HOUR_MS * HOUR_MS + i * HOUR_MS
            lines.append(f"{moment},{first:.2f},{high:.2f},{low:.2f},{last:.2f},{volumes[i]:.4f}")
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seed", help="run tests that draw from a seed with this one alone, or with what it was shrunk to"
    )
    parser.addoption(
        "--shrink", action="store_true", help="look for fewer faults and choices by which a seed fails too"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`@pytest.mark.seeds(1, 2, proof=range(3, 9))` gives `recipe`, a run for each seed, or the one that was asked for."""
    marker = metafunc.definition.get_closest_marker("seeds")
    if marker is None:
        return
    asked = metafunc.config.getoption("--seed")
    if asked is not None:
        metafunc.parametrize("recipe", [Recipe.read(asked)], ids=str)
        return
    proofs = [pytest.param(Recipe(seed), marks=pytest.mark.proof) for seed in marker.kwargs.get("proof", ())]
    metafunc.parametrize("recipe", [*map(Recipe, marker.args), *proofs], ids=_seed)


def _seed(recipe: Recipe) -> str:
    return str(recipe.seed)


@pytest.fixture
def shrink(request: pytest.FixtureRequest) -> bool:
    """Whether a seed that fails is to be shrunk."""
    return bool(request.config.getoption("--shrink"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of each proof with several cases, keep the share that ZTB_PROOF_SHARE asks for, at least one.

    Which ones rotates with ZTB_PROOF_SEED, and so does which one is first, so that days of continuous integration see
    them all, also where ZTB_PROOF_S ends the sample early.
    """
    share = float(os.environ.get("ZTB_PROOF_SHARE", "1"))
    seed = int(os.environ.get("ZTB_PROOF_SEED", "0"))
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("proof"):
            cases.setdefault(item.nodeid.split("[")[0], []).append(item)
    dropped: set[pytest.Item] = set()
    for group in cases.values():
        kept = max(1, round(share * len(group)))
        chosen = {(seed * kept + k) % len(group) for k in range(kept)}
        dropped |= {item for i, item in enumerate(group) if i not in chosen}
    if dropped:
        config.hook.pytest_deselected(items=sorted(dropped, key=lambda item: item.nodeid))
        items[:] = [item for item in items if item not in dropped]
    if cases and "ZTB_PROOF_S" in os.environ:
        first = seed * _TURN % len(items)
        items[:] = items[first:] + items[:first]


_TURN = 7  # proofs; a machine in a hurry gets through more than so many
_BEGAN_S = time.monotonic()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """No proof begins when the seconds of ZTB_PROOF_S are over."""
    seconds = os.environ.get("ZTB_PROOF_S")
    if (
        item.get_closest_marker("proof")
        and seconds is not None
        and time.monotonic() > _BEGAN_S + float(seconds)
    ):
        pytest.skip(f"the {seconds} s of this sample are over; its turn comes on another day")
