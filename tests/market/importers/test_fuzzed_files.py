"""Files that somebody damaged: refused, or the same ticks, or something is said; and no row changes its neighbours.

`ZTB_FUZZ_SECONDS` is how long the proof goes on: an hour, if nothing else is said.
"""

from __future__ import annotations

import faulthandler
import io
import os
import random
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from market.importers.writers import DRESSES, JSON, LAYOUTS, PACKED, TIMES, Bars, csv_bytes, made_bars
from ztb.commands.data import findings
from ztb.errors import DataError
from ztb.market.history import open_history
from ztb.market.recording import RecordingWriter
from ztb.market.ticks import Ticks, join_ticks

_BARS = made_bars(120)
_CHECKED = ("gzip", "bzip2", "xz", "zip", "zip of a Mac")
_MOST_BYTES, _MOST_GROWTH_KIB = 64 << 20, 256 << 10
_LONGEST_S = 300
_SHARE, _SEED = (
    float(os.environ.get(f"ZTB_PROOF_{name}", default)) for name, default in (("SHARE", 1), ("SEED", 0))
)
_SECONDS = float(os.environ.get("ZTB_FUZZ_SECONDS", 3600 * _SHARE))

Damage = Callable[[bytearray, random.Random], int]
"""Damages the content in place; returns how many rows may have changed."""


def _flip(content: bytearray, draw: random.Random) -> int:
    n = draw.randrange(1, 5)
    for _ in range(n):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return 2 * n


def _mutate_digit(content: bytearray, draw: random.Random) -> int:
    digits = [i for i, byte in enumerate(content) if 48 <= byte <= 57]
    content[draw.choice(digits)] = 48 + draw.randrange(10)
    return 1


def _ends(part: bytearray) -> int:
    """How many rows end in a part of a file: of lines, or of JSON in one line."""
    return max(part.count(b"\n"), part.count(b"}"), part.count(b"]"))


def _cut(content: bytearray, draw: random.Random) -> int:
    at = draw.randrange(len(content))
    lost = _ends(content[at:]) + 1
    del content[at:]
    return lost + 1


def _cut_out(content: bytearray, draw: random.Random) -> int:
    at = draw.randrange(len(content))
    lost = _ends(content[at : at + 200]) + 1
    del content[at : at + 200]
    return lost + 1


def _swap_rows(content: bytearray, draw: random.Random) -> int:
    lines = bytes(content).splitlines(keepends=True)
    i, j = draw.randrange(1, len(lines)), draw.randrange(1, len(lines))
    lines[i], lines[j] = lines[j], lines[i]
    content[:] = b"".join(lines)
    return 0


def _repeat_rows(content: bytearray, draw: random.Random) -> int:
    lines = bytes(content).splitlines(keepends=True)
    at = draw.randrange(1, len(lines))
    content[:] = b"".join([*lines[: at + 3], *lines[at:]])
    return 0


def _mix_encodings(content: bytearray, draw: random.Random) -> int:
    lines = bytes(content).splitlines(keepends=True)
    at = draw.randrange(1, len(lines))
    other = draw.choice(["utf-16-le", "utf-16-be", "cp1252", "utf-8-sig"])
    content[:] = b"".join(lines[:at]) + ("é" + b"".join(lines[at:]).decode("latin-1")).encode(
        other, "replace"
    )
    return len(lines) - at + 2


_TEXT_DAMAGE: tuple[Damage, ...] = (
    _flip, _mutate_digit, _cut, _cut_out, _swap_rows, _repeat_rows, _mix_encodings,
)  # fmt: skip


def _parquet(table: pa.Table, **how: bool | str) -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out, **how)  # type: ignore[arg-type]
    return out.getvalue()


def _feather(table: pa.Table, codec: str) -> bytes:
    out = io.BytesIO()
    pyarrow.feather.write_feather(table, out, compression=codec)
    return out.getvalue()


def _stream(table: pa.Table) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    return out.getvalue()


_BINARY: dict[str, Callable[[pa.Table], bytes]] = {
    "parquet with checksums": lambda table: _parquet(table, write_page_checksum=True),
    "parquet": lambda table: _parquet(table, compression="none"),
    "feather": lambda table: _feather(table, "uncompressed"),
    "feather, zstd": lambda table: _feather(table, "zstd"),
    "feather, lz4": lambda table: _feather(table, "lz4"),
    "Arrow stream": _stream,
}
"""Only what has checksums can tell that a number is another one."""


def _table() -> pa.Table:
    columns = [pa.array(_BARS.opens_ns, pa.timestamp("ns", tz="UTC"))]
    columns += [pa.array([float(text) for text in _BARS.column(name)]) for name in _NAMES]
    return pa.table(columns, ["date", *_NAMES])


_NAMES = ("open", "high", "low", "close", "volume")


def _recording(folder: Path) -> bytes:
    """Our own, of the same bars; its frames have checksums."""
    source, path = folder / "sound.parquet", folder / "sound.ticks"
    source.write_bytes(_parquet(_table()))
    history = open_history([source])
    path.unlink(missing_ok=True)
    with RecordingWriter(path, history.instrument) as writer:
        for ticks in history.blocks():
            writer.append(ticks, ticks["ts_ns"])
    return path.read_bytes()


@dataclass(frozen=True)
class Case:
    """A sound file, what somebody made of it, and how many rows may have changed; `or_said`: more, if it is said."""

    what: str
    sound: bytes
    damaged: bytes
    may_change: int
    or_said: bool = True


def _text_case(draw: random.Random) -> Case:
    """Text of some layout, perhaps packed by what has checksums."""
    if draw.randrange(4) == 0:
        form = draw.choice(sorted(JSON))
        name, sound = f"{form}.json", JSON[form](_BARS).encode()
    else:
        layout, time, dress = (draw.choice(sorted(kinds)) for kinds in (LAYOUTS, TIMES, DRESSES))
        table = LAYOUTS[layout](_BARS, [TIMES[time](ns) for ns in _BARS.opens_ns])
        name, sound = f"{layout}, {time}, {dress}.csv", csv_bytes(table, DRESSES[dress])
    damage, packed = draw.choice(_TEXT_DAMAGE), draw.choice(("as it is", *_CHECKED))
    if sound.count(b"\n") < 3 and damage in (_swap_rows, _repeat_rows, _mix_encodings):
        damage = _cut_out
    if damage not in (_flip, _cut) or draw.randrange(3):
        packed = "as it is"
    content = bytearray(PACKED[packed](sound))
    may_change, what = damage(content, draw), f"{name}, {packed}, {damage.__name__}"
    if packed != "as it is":
        return Case(what, sound, bytes(content), may_change=0, or_said=False)
    return Case(what, sound, bytes(content), may_change)


def _binary_case(folder: Path) -> Callable[[random.Random], Case]:
    """Tables that no editor opens; in what has no checksum a number may be another one."""
    sound = {name: write(_table()) for name, write in _BINARY.items()} | {"recording": _recording(folder)}

    def case(draw: random.Random) -> Case:
        name, damage = draw.choice(sorted(sound)), draw.choice((_flip, _cut, _cut_out))
        content = bytearray(sound[name])
        damage(content, draw)
        checked = name in ("parquet with checksums", "recording")
        what = f"{name}, {damage.__name__}"
        return Case(what, sound[name], bytes(content), may_change=0 if checked else len(_BARS.rows))

    return case


def _read(path: Path) -> tuple[Ticks, list[str]]:
    history = open_history([path])
    return join_ticks(list(history.blocks())), list(findings(history.report.to_json()))


def _rows(ticks: Ticks) -> Iterator[tuple[float, ...]]:
    for row in ticks:
        yield tuple(float(row[name]) for name in ("ts_ns", "open", "high", "low", "price", "size"))


def fuzz(folder: Path, seed: int, rounds: int, case: Callable[[random.Random], Case]) -> int:
    """`rounds` damaged files; returns how many were refused. AssertionError names what was damaged and how."""
    draw, refused, path = random.Random(seed), 0, folder / "BTCUSDT-1m.data"
    for number in range(rounds):
        made = case(draw)
        what = f"seed {seed}, round {number}: {made.what}"
        path.write_bytes(made.sound)
        whole, said = _read(path)
        path.write_bytes(made.damaged)
        try:
            ticks, found = _read(path)
        except DataError as error:
            assert str(path) in str(error) and str(error).isprintable(), what
            refused += 1
            continue
        except Exception as error:
            raise AssertionError(f"{what}: {error!r}") from error
        assert (ticks["price"] > 0).all() and (np.diff(ticks["ts_ns"]) > 0).all(), what
        changed = len(set(_rows(whole)) - set(_rows(ticks)))
        silent = not made.or_said or found == said
        assert changed <= made.may_change or not silent, f"{what}: {changed} rows changed in silence"
        assert pa.total_allocated_bytes() < _MOST_BYTES, what
    return refused


def test_damage_of_binary_tables_is_refused_or_said(tmp_path: Path) -> None:
    assert fuzz(tmp_path, 1, 60, _binary_case(tmp_path)) > 10


def test_damage_is_refused_or_said_or_stays_where_it_is(tmp_path: Path) -> None:
    assert fuzz(tmp_path, 1, 250, _text_case) > 25


_EXTREMES = (1.7976931348623157e308, 1e300, 1e17, 1e-300, 5e-324, -0.0, -1.0, -1e300, np.inf, -np.inf, np.nan)


@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.parametrize("row", [0, 60, 119, 1500])
def test_a_number_at_the_edge_of_what_is_one_is_refused_or_said(tmp_path: Path, name: str, row: int) -> None:
    """As a flipped bit of an exponent makes it: where increments are inferred, and beyond; never is one a price."""
    sound, path = _table(), tmp_path / "BTCUSDT-1m.data"
    if row >= sound.num_rows:
        step_ms = np.arange(2 * row) * 60_000
        columns = {each: np.resize(sound[each].to_numpy(), 2 * row) for each in _NAMES}
        sound = pa.table(
            {"date": pa.array(_BARS.opens_ns[0] // 1_000_000 + step_ms, pa.timestamp("ms")), **columns}
        )
    for extreme in _EXTREMES:
        column = sound[name].to_numpy().copy()
        column[row] = extreme
        path.write_bytes(_parquet(sound.set_column(sound.column_names.index(name), name, pa.array(column))))
        try:
            ticks, found = _read(path)
        except DataError as error:
            assert str(path) in str(error) and str(error).isprintable(), extreme
            continue
        prices = ticks[["open", "high", "low", "price"]].tolist()
        assert 1.0 < np.min(prices) and np.max(prices) < 1e6 and np.isfinite(ticks["size"]).all(), extreme
        assert found or len(ticks) == sound.num_rows, extreme


@pytest.mark.proof
def test_damage_of_many_files(tmp_path: Path) -> None:
    """A read that hangs ends the proof with the place where it hangs."""
    binary = _binary_case(tmp_path)
    seed, begun, rounds, most_kib = 1000 + 1_000_000 * int(_SEED), time.monotonic(), 0, 0
    while time.monotonic() < begun + _SECONDS or rounds == 0:
        faulthandler.dump_traceback_later(_LONGEST_S, exit=True)
        fuzz(tmp_path, seed, 40, _text_case)
        fuzz(tmp_path, seed, 10, binary)
        faulthandler.cancel_dump_traceback_later()
        seed, rounds = seed + 1, rounds + 50
        used_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        most_kib = most_kib or used_kib
        assert used_kib < most_kib + _MOST_GROWTH_KIB, f"seed {seed}: {used_kib >> 10} MiB"
    print(
        f"{rounds} damaged files in {time.monotonic() - begun:.0f} s, {(used_kib - most_kib) >> 10} MiB more"
    )


def test_the_damages_do_damage() -> None:
    """What each does, on a text that can be looked at."""
    draw = random.Random(3)
    text = b"a,b\n1,2\n3,4\n5,6\n7,8\n9,0\n"
    for damage in _TEXT_DAMAGE:
        outcomes = set()
        for _ in range(30):
            content = bytearray(text)
            damage(content, draw)
            outcomes.add(bytes(content))
        assert len(outcomes - {text}) > 3, damage.__name__


def test_bars_are_exact() -> None:
    assert isinstance(_BARS, Bars) and all(float(low) <= float(high) for _, high, low, _, _ in _BARS.rows)
