"""The format is what FORMAT.md says; every version is still read; a newer one is refused by name."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
import zstandard

from utils.checkpoint_states import same
from ztb.utils import CheckpointManager
from ztb.utils.checkpoint import Damaged, NewerVersion
from ztb.utils.checkpoint.layout import VERSION
from ztb.utils.checkpoint.reader import open_generation

FIXTURES = Path(__file__).with_name("fixtures")


def fixture_state() -> dict[Any, Any]:
    """What every file in fixtures/ holds; never changed."""
    return {
        "weights": np.linspace(-1, 1, 600, dtype=np.float32).reshape(20, 30),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
        "fields": np.zeros(
            2, {"names": ["a", "b"], "formats": ["<f8", "<i4"], "offsets": [0, 4], "itemsize": 16}
        ),
        "scalar": np.float64(0.5),
        3: (None, True, -(1 << 70), -0.0, float("-inf"), "tick", "\ud800", b"\x00\x01"),
        "list": [[], {}, ()],
    }


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_every_version_is_read(tmp_path: Path, version: int) -> None:
    (tmp_path / "exp").mkdir()
    for number, compression in enumerate(("none", "zstd", "exponent")):
        content = base64.b64decode((FIXTURES / f"v{version}-{compression}.base64").read_text())
        (tmp_path / "exp" / f"gen-{number:08d}.ckpt").write_bytes(content)
    manager = CheckpointManager(tmp_path)
    for generation in manager.verify("exp"):
        assert generation.fault is None
        assert (generation.created_ns, generation.metrics, generation.lineage) == (
            1,
            {"return": 0.25},
            {"parent": 7},
        )
        assert same(manager.load("exp", generation.number), fixture_state())


def test_a_file_read_by_hand_from_the_page(tmp_path: Path) -> None:
    """A second reader, written from FORMAT.md alone."""
    weights = np.linspace(-1, 1, 600_000, dtype=np.float32)
    raw = CheckpointManager(tmp_path, compression="exponent").save({"w": weights}, "exp").path.read_bytes()
    magic, version, size, number, offset, length, total, checksum, own = struct.unpack(
        "<8sIIQQQQQQ", raw[:64]
    )
    assert (magic, version, size, number, total) == (b"\x89ZTB\r\n\x1a\n", 1, 64, 0, len(raw))
    assert own == xxhash.xxh3_64_intdigest(raw[:56])
    assert checksum == xxhash.xxh3_64_intdigest(raw[offset:])
    manifest = json.loads(raw[offset : offset + length])
    assert manifest["state"] == {"dict": [["w", {"frame": 0}]]}
    (frame,) = manifest["frames"]
    stored = raw[64 : 64 + frame["stored"]]
    assert frame["xxh3"] == xxhash.xxh3_64_hexdigest(stored)
    words: list[int] = []
    while stored:
        (packed,) = struct.unpack("<I", stored[:4])
        high = zstandard.ZstdDecompressor().decompress(stored[4 : 4 + packed])
        low, rest = stored[4 + packed :][: len(high)], stored[4 + packed + len(high) :][: 2 * len(high)]
        stored = stored[4 + packed + 3 * len(high) :]
        rotated = [int.from_bytes(two, "little") for two in zip(low, high, strict=True)]
        upper = [(word >> 1) | ((word & 1) << 15) for word in rotated]
        words += [
            top << 16 | two for top, two in zip(upper, np.frombuffer(rest, "<u2").tolist(), strict=True)
        ]
    np.testing.assert_array_equal(np.array(words, "<u4").view("<f4"), weights)


def rewritten(raw: bytes, version: int) -> bytes:
    fields = raw[:8] + struct.pack("<I", version) + raw[12:56]
    return fields + struct.pack("<Q", xxhash.xxh3_64_intdigest(fields)) + raw[64:]


def test_a_newer_version_is_refused_by_name_and_never_removed(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path, max_generations=1)
    manager.save({"n": 0}, "exp")
    path = manager.save({"n": 1}, "exp", marks=["pinned"]).path
    path.write_bytes(rewritten(path.read_bytes(), 2))
    manager.unpin("exp", 1)
    for read in (manager.load, manager.latest):
        with pytest.raises(
            NewerVersion, match=r"gen-00000001\.ckpt: written in format version 2, .* up to 1: update"
        ):
            read("exp")
    assert manager.save({"n": 2}, "exp").number == 2
    assert manager.load("exp") == {"n": 2}
    assert [(g.number, g.version) for g in manager.list("exp")] == [(1, 2), (2, 1)]
    assert "version 2" in str(manager.verify("exp", 1)[0].fault)


def test_a_version_in_a_damaged_header_is_not_believed(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path)
    path = manager.save({"n": 0}, "exp").path
    raw = path.read_bytes()
    path.write_bytes(raw[:8] + struct.pack("<I", 2) + raw[12:])
    with pytest.raises(Damaged, match="header's checksum"):
        manager.load("exp", 0)


def test_floats_shrink_by_their_exponents(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(0, 0.05, (512, 512)).astype(np.float32)
    sizes = {
        how: CheckpointManager(tmp_path / how, compression=how).save(weights, "exp").bytes
        for how in ("none", "zstd", "exponent")
    }
    assert sizes["exponent"] < 0.84 * sizes["none"]
    assert sizes["exponent"] < 0.93 * sizes["zstd"]


def test_the_codec_is_chosen_for_each_kind_of_array(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    state = {
        "floats": generator.normal(0, 0.05, 4096).astype(np.float32),
        "integers": generator.integers(0, 9, 4096),
        "noise": generator.bytes(32768),
        "few": np.zeros(100),
    }
    path = CheckpointManager(tmp_path, compression="exponent").save(state, "exp").path
    with open_generation(path, 0) as opened:
        assert [frame.codec for frame in opened.manifest.frames] == ["exponent", "zstd", "raw", "raw"]
