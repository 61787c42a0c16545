"""Files made to harm, their checksums all right: an error, no crash, no hang, no memory beyond the bound."""

from __future__ import annotations

import json
import os
import random
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
import xxhash
import zstandard
from hypothesis import HealthCheck, given, settings

from utils.checkpoint_states import proof_sample, small_state
from ztb.utils import CheckpointManager
from ztb.utils.checkpoint import CheckpointError, Damaged
from ztb.utils.checkpoint.codec import BLOCK
from ztb.utils.checkpoint.layout import HEADER_BYTES, MAX_MANIFEST_BYTES, Header

BOUND = 4 << 20
FIELDS = {"schema": 1, "writer": "", "name": "exp", "generation": 0, "created_ns": 0, "replaced": 0}


def generation(frames: bytes, manifest: bytes) -> bytes:
    """A file with right checksums around any frames and manifest."""
    offset = HEADER_BYTES + len(frames)
    header = Header(0, offset, len(manifest), offset + len(manifest), xxhash.xxh3_64_intdigest(manifest))
    return header.pack() + frames + manifest


def manifest(state: Any, frames: list[dict[str, Any]]) -> bytes:
    return json.dumps(whole(state, frames)).encode()


def whole(state: Any, frames: list[dict[str, Any]]) -> dict[str, Any]:
    return {**FIELDS, "metrics": {}, "lineage": {}, "frames": frames, "state": state}


def frame(stored: bytes, **changes: Any) -> dict[str, Any]:
    size = len(stored)
    plain = {"kind": "array", "dtype": "|u1", "shape": [size], "raw": size, "stored": size}
    return {**plain, "xxh3": xxhash.xxh3_64_hexdigest(stored), **changes}


class Victim:
    """A manager with small limits whose generation 0 is replaced by hostile bytes."""

    def __init__(self, base: Path) -> None:
        self.manager = CheckpointManager(base, max_state_bytes=BOUND)
        self.path = self.manager.save(small_state(), "exp").path

    def refuses(self, content: bytes) -> str:
        """Why the file is not loaded; what it costs to find that out is bounded."""
        self.path.write_bytes(content)
        tracemalloc.start()
        try:
            with pytest.raises(CheckpointError) as error:
                self.manager.load("exp", 0, as_numpy=True)
            assert tracemalloc.get_traced_memory()[1] < 2 * BOUND + 40 * len(content)
        finally:
            tracemalloc.stop()
        self.manager.verify("exp")
        self.manager.list("exp")
        return str(error.value)

    def survives(self, content: bytes) -> None:
        """Loading gives a state or a CheckpointError, never anything else."""
        self.path.write_bytes(content)
        with suppress(CheckpointError):
            self.manager.load("exp", 0, as_numpy=True)
        self.manager.verify("exp")


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    return Victim(tmp_path)


@pytest.fixture(scope="module")
def one_victim(tmp_path_factory: pytest.TempPathFactory) -> Victim:
    return Victim(tmp_path_factory.mktemp("one"))


def hostile_frames() -> list[tuple[str, bytes, dict[str, Any]]]:
    """(reason, stored bytes, changes to the frame's description)"""
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(BLOCK))
    lying = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(100))

    def block(packed: bytes) -> bytes:
        return len(packed).to_bytes(4, "little") + packed

    return [
        ("more than max_state_bytes", b"x", {"raw": 1 << 40, "shape": [1 << 40]}),
        ("with 1 bytes", b"x", {"shape": [1 << 40]}),
        ("a frame of shape", b"", {"shape": [1 << 60, 0], "raw": 0}),
        ("a frame of shape", b"", {"shape": [-1, 0], "raw": 0}),
        ("a frame of shape", b"", {"shape": [0] * 65, "raw": 0}),
        ("a frame of shape", b"", {"shape": [(1 << 47), (1 << 47), 0], "raw": 0}),
        ("numpy dtype '|O'", bytes(8), {"dtype": {"base": "|O", "shape": [1]}, "shape": [1], "raw": 8}),
        ("numpy dtype", bytes(8), {"dtype": "O8"}),
        ("numpy dtype", b"x", {"dtype": "V99999999999"}),
        ("numpy dtype", b"x", {"dtype": None}),
        ("numpy dtype", b"x", {"dtype": {"names": ["a"]}}),
        ("a tensor of dtype 'os.system'", b"x", {"kind": "tensor", "dtype": "os.system"}),
        ("a tensor of dtype ['float32']", b"x", {"kind": "tensor", "dtype": ["float32"]}),
        ("1 bytes stored for 2", b"x", {"raw": 2, "shape": [2]}),
        ("bytes stored for 1", bytes(5000), {"raw": 1, "shape": [1], "codec": "zstd"}),
        ("does not hold 10 bytes", block(bomb), {"raw": 10, "shape": [10], "codec": "zstd"}),
        ("does not hold 100 bytes", block(lying), {"raw": 100, "shape": [100], "codec": "zstd"}),
        (
            "a frame that ends inside a block",
            block(bomb)[:-1],
            {"raw": BLOCK, "shape": [BLOCK], "codec": "zstd"},
        ),
        ("a frame that ends inside a block", b"\xff" * 9, {"raw": 9, "shape": [9], "codec": "zstd"}),
        (
            "a frame with bytes left over",
            block(bomb) + b"x",
            {"raw": BLOCK, "shape": [BLOCK], "codec": "zstd"},
        ),
        ("a zstd frame", block(b"junkjunk"), {"raw": 12, "shape": [12], "codec": "zstd"}),
        ("exponents of a frame of dtype", b"x" * 8, {"codec": "exponent"}),
        ("checksum does not match", b"x", {"xxh3": "0" * 16}),
        ("Invalid enum value", b"x", {"kind": "pickle"}),
        ("unknown field", b"x", {"reduce": "os.system"}),
    ]


@pytest.mark.parametrize(("reason", "stored", "changes"), hostile_frames())
def test_hostile_frames(victim: Victim, reason: str, stored: bytes, changes: dict[str, Any]) -> None:
    described = frame(stored, **changes)
    assert reason in victim.refuses(generation(stored, manifest({"frame": 0}, [described])))


def nested(levels: int) -> Any:
    node: Any = []
    for _ in range(levels):
        node = [node]
    return node


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("frame 0, which is absent or used twice", {"frame": 0}),
        ("frame -1, which is absent", {"frame": -1}),
        ("the state is not one", {"frame": [1]}),
        ("a state with a 'reduce'", {"reduce": ["os.system", "true"]}),
        ("a state with a ''", {}),
        ("a state with a 'dict'", {"dict": [], "tuple": []}),
        ("the state is not one", {"dict": 7}),
        ("the state is not one", {"dict": [[1]]}),
        ("neither str nor int", {"dict": [[1.5, 0]]}),
        ("neither str nor int", {"dict": [[{"tuple": []}, 0]]}),
        ("the same key twice", {"dict": [["a", 0], ["a", 1]]}),
        ("the state is not one", {"int": "zz"}),
        ("the state is not one", {"int": 7}),
        ("the state is not one", {"float": "00"}),
        ("the state is not one", {"str": "ff"}),
        ("the state is not one", {"ordered": []}),
        ("a tensor of layout", {"sparse": ["os.system", [], [], True, False]}),
        ("the state is not one", {"sparse": [["a"], [], [], True, False]}),
        ("nested more than 64 deep", nested(80)),
    ],
)
def test_hostile_trees(victim: Victim, reason: str, state: Any) -> None:
    assert reason in victim.refuses(generation(b"", manifest(state, [])))


def test_hostile_nesting(victim: Victim) -> None:
    deep = b"[" * 200_000 + b"]" * 200_000
    victim.refuses(generation(b"", manifest("HERE", []).replace(b'"HERE"', deep)))


def test_a_frame_used_by_nothing(victim: Victim) -> None:
    assert "1 frames belong to nothing" in victim.refuses(generation(b"x", manifest(None, [frame(b"x")])))


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("fill the space", {"frames": [frame(b"x")]}),
        ("negative length", {"frames": [{**frame(b""), "stored": -1}, {**frame(b""), "stored": 1}]}),
        ("the manifest is of generation 5", {"generation": 5}),
        ("unknown field", {"pickle": "x"}),
        ("Expected `int`", {"created_ns": "now"}),
        ("Expected `object`", {"lineage": []}),
    ],
)
def test_hostile_manifests(victim: Victim, reason: str, changes: dict[str, Any]) -> None:
    assert reason in victim.refuses(generation(b"", json.dumps({**whole(None, []), **changes}).encode()))


def test_a_manifest_that_is_too_large_is_not_read(victim: Victim) -> None:
    header = Header(0, HEADER_BYTES, MAX_MANIFEST_BYTES + 1, HEADER_BYTES + MAX_MANIFEST_BYTES + 1, 0)
    victim.path.write_bytes(header.pack())
    os.truncate(victim.path, header.file_bytes)
    with pytest.raises(Damaged, match="a manifest of 67108865 bytes"):
        victim.manager.load("exp", 0)


def mutated(original: bytes, seed: int) -> bytes:
    """The original with some bytes of manifest and frames changed and every checksum made right again."""
    draw = random.Random(seed)
    header = Header(*np.frombuffer(original[16:48], "<u8").tolist(), 0)
    body = bytearray(original[HEADER_BYTES:])
    start = header.manifest_offset - HEADER_BYTES
    for _ in range(draw.randrange(1, 6)):
        at = draw.choice([draw.randrange(len(body)), draw.randrange(start, len(body))])
        piece = draw.choice(
            [draw.randbytes(1), b"0", b"9", b'"', b"[", b"{", b"-", b"null", b"1e999", bytes(4)]
        )
        body[at : at + draw.randrange(3)] = piece
    frames, text = bytes(body[:start]), bytes(body[start:])
    return generation(frames, rechecked(frames, text))


def rechecked(frames: bytes, text: bytes) -> bytes:
    """The manifest with the frames' checksums made right, as far as it still is one."""
    try:
        changed = json.loads(text)
        offset = 0
        for described in changed["frames"]:
            described["xxh3"] = xxhash.xxh3_64_hexdigest(frames[offset : offset + described["stored"]])
            offset += described["stored"]
        return json.dumps(changed).encode()
    except (ValueError, KeyError, TypeError):
        return text


@pytest.mark.parametrize("compression", ["none", "exponent"])
def test_mutations(tmp_path: Path, compression: Any) -> None:
    mutate(tmp_path, compression, list(range(300)))


@pytest.mark.proof
@pytest.mark.parametrize("compression", ["none", "zstd", "exponent"])
def test_many_mutations(tmp_path: Path, compression: Any) -> None:
    mutate(tmp_path, compression, proof_sample(20_000))


def mutate(base: Path, compression: Any, seeds: list[int]) -> None:
    source = CheckpointManager(base / "source", compression=compression).save(small_state(1), "exp").path
    original = source.read_bytes()
    victim = Victim(base / "victim")
    for seed in seeds:
        victim.survives(mutated(original, seed))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["dict", "tuple", "ordered", "frame", "sparse", "int", "float", "str"]),
            inner,
            max_size=2,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(state=json_values, dtype=json_values, shape=st.lists(st.integers(-2, 1 << 50), max_size=3), stored=st.binary(max_size=40), codec=st.sampled_from(["raw", "zstd", "exponent"]), kind=st.sampled_from(["array", "scalar", "tensor", "bytes", "parameter"]), raw=st.integers(-1, 1 << 50))  # fmt: skip
def test_any_tree_and_frame(one_victim: Victim, state: Any, dtype: Any, shape: list[int], stored: bytes, codec: str, kind: str, raw: int) -> None:  # fmt: skip
    described = frame(stored, dtype=dtype, shape=shape, codec=codec, kind=kind, raw=raw)
    one_victim.survives(generation(stored, msgspec.json.encode(whole(state, [described]))))
