"""A damaged generation is never loaded, not in part: the one before it is, and the damage is said."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from utils.checkpoint_states import proof_sample, same, small_state
from ztb.utils import CheckpointManager
from ztb.utils.checkpoint import Damaged, NoGeneration

PAGE = 4096


class Pair:
    """Two generations of a policy in training; the newer one is to be damaged."""

    def __init__(self, base: Path, compression: Any) -> None:
        self.manager = CheckpointManager(base, compression=compression)
        self.older, self.newer = policy_state(1), policy_state(2)
        self.manager.save(self.older, "exp")
        self.path = self.manager.save(self.newer, "exp").path
        self.original = self.path.read_bytes()

    def falls_back(self) -> bool:
        """Whether loading gives the older state whole and names the newer file."""
        restored = self.manager.restore("exp")
        return (
            restored.generation.number == 0
            and [fault.path for fault in restored.skipped] == [self.path]
            and same(restored.state, self.older)
        )

    @contextmanager
    def damaged(self, data: bytes, offset: int) -> Iterator[None]:
        """The newer file with `data` in place of what is at `offset`."""
        with self.path.open("r+b") as file:
            file.seek(offset)
            file.write(data)
        yield
        with self.path.open("r+b") as file:
            file.seek(offset)
            file.write(self.original[offset : offset + len(data)])


def policy_state(seed: int) -> dict[str, Any]:
    """A small actor-critic with its optimizer's moments and every kind of plain value: some 100 KB."""
    generator = np.random.default_rng(seed)
    shapes = {"trunk": (64, 48), "trunk2": (64, 64), "actor": (5, 64), "critic": (1, 64)}
    weights = {name: generator.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
    moments = {name: (np.float32(0.1) * w, w * w) for name, w in weights.items()}
    return {"weights": weights, "moments": moments, **small_state(seed)}


@pytest.fixture(params=["none", "exponent"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    return Pair(tmp_path, request.param)


def flips_that_load(pair: Pair, seeds: list[int]) -> list[tuple[int, int]]:
    """(byte, bit) of every flipped bit after which something else than the older state came."""
    wrong: list[tuple[int, int]] = []
    for seed in seeds:
        draw = random.Random(seed)
        offset, bit = draw.randrange(len(pair.original)), draw.randrange(8)
        with pair.damaged(bytes([pair.original[offset] ^ (1 << bit)]), offset):
            if not pair.falls_back():
                wrong.append((offset, bit))
    return wrong


def test_flipped_bits(pair: Pair) -> None:
    assert flips_that_load(pair, list(range(250))) == []
    assert same(pair.manager.load("exp"), pair.newer)


@pytest.mark.proof
def test_ten_thousand_flipped_bits(pair: Pair) -> None:
    seeds = proof_sample(10_000)
    assert flips_that_load(pair, seeds) == []


def test_every_bit_of_header_and_manifest(tmp_path: Path) -> None:
    pair = Pair(tmp_path, "none")
    manifest = range(len(pair.original) - 400, len(pair.original))
    for offset in [*range(64), *manifest]:
        with pair.damaged(bytes([pair.original[offset] ^ (1 << offset % 8)]), offset):
            assert pair.falls_back(), offset


def test_truncation_at_every_kilobyte(pair: Pair) -> None:
    for length in range(0, len(pair.original), 1024):
        pair.path.write_bytes(pair.original[:length])
        assert pair.falls_back(), length
    pair.path.write_bytes(pair.original + b"\0")
    assert pair.falls_back(), "a byte too many"
    (fault,) = pair.manager.restore("exp").skipped
    assert fault.reason == f"{len(pair.original) + 1} bytes long, {len(pair.original)} were written"


def test_zeroed_pages(pair: Pair) -> None:
    for offset in range(0, len(pair.original), PAGE):
        size = min(PAGE, len(pair.original) - offset)
        with pair.damaged(bytes(size), offset):
            assert pair.falls_back(), offset


def test_a_zeroed_or_empty_or_foreign_file(pair: Pair) -> None:
    for content in (b"", bytes(len(pair.original)), b"PK\x03\x04" * 99, pair.original[::-1]):
        pair.path.write_bytes(content)
        assert pair.falls_back()


def test_a_generation_under_another_number_is_refused(pair: Pair) -> None:
    pair.path.rename(pair.path.with_name("gen-00000005.ckpt"))
    with pytest.raises(Damaged, match="holds generation 1"):
        pair.manager.load("exp", 5)


def test_what_is_not_a_file_is_refused(pair: Pair) -> None:
    import os

    pair.path.unlink()
    os.mkfifo(pair.path)
    assert pair.falls_back()
    pair.path.unlink()
    pair.path.symlink_to(pair.path.with_name("gen-00000000.ckpt"))
    assert pair.falls_back()
    pair.path.unlink()
    pair.path.mkdir()
    assert pair.falls_back()


def test_the_fallback_is_said(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    with (
        pair.damaged(b"\xff", len(pair.original) // 3),
        caplog.at_level(logging.WARNING, "ztb.utils.checkpoint"),
    ):
        assert same(pair.manager.load("exp"), pair.older)
        (record,) = caplog.records
        assert "gen-00000001.ckpt: damaged: a frame's checksum does not match" in record.getMessage()
        assert "loaded" in record.getMessage() and "gen-00000000.ckpt instead" in record.getMessage()
        assert pair.manager.latest("exp").number == 0
        faults = [generation.fault for generation in pair.manager.verify("exp")]
        assert faults == [None, "a frame's checksum does not match"]
        with pytest.raises(Damaged, match=r"gen-00000001\.ckpt: damaged: a frame's checksum"):
            pair.manager.load("exp", 1)


def test_nothing_good_is_an_error_that_names_everything(pair: Pair) -> None:
    pair.path.write_bytes(b"")
    pair.path.with_name("gen-00000000.ckpt").write_bytes(b"x")
    with pytest.raises(NoGeneration, match=r"none of 2 generations verifies: .*gen-00000001.*gen-00000000"):
        pair.manager.load("exp")
    with pytest.raises(NoGeneration, match="there is no generation yet"):
        pair.manager.load("another")
    with pytest.raises(NoGeneration, match=r"gen-00000009\.ckpt: there is no such generation"):
        pair.manager.load("exp", 9)
