"""What is no table is refused by what it is, with a remedy, and never shown to the terminal as it is."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from market.importers.writers import LAYOUTS, csv_bytes, made_bars
from market.importers.writers import Dress as _Dress
from ztb.errors import DataError
from ztb.market.history import History, open_history
from ztb.market.importers.headerless import PATTERNS
from ztb.market.importers.layouts import LAYOUTS as LAYOUT_TABLE
from ztb.market.importers.layouts_page import PAGE, layouts_page
from ztb.market.ticks import Ticks

Read = Callable[[History], Ticks]


def _archive(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in names:
            file.writestr(name, b"1,2,3\n")
    return out.getvalue()


def _patched(method: int | None, encrypted: bool) -> bytes:
    """A zip that says it is encrypted or compressed by another method."""
    content = bytearray(_archive("a.csv"))
    for signature, flags, at in ((b"PK\x03\x04", 6, 8), (b"PK\x01\x02", 8, 10)):
        start = content.index(signature)
        content[start + flags] |= 1 if encrypted else 0
        if method is not None:
            content[start + at] = method
    return bytes(content)


_REFUSED = {
    "an Excel workbook": (
        _archive("[Content_Types].xml", "xl/workbook.xml"),
        "an Excel workbook.*save it as CSV",
    ),
    "an old workbook": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512),
        "an Excel workbook.*save it as CSV",
    ),
    "an encrypted zip": (_patched(None, True), "an encrypted zip: unpack it with its password"),
    "deflate64": (_patched(9, False), "compressed by method 9, which is not read: unpack it"),
    "several files": (_archive("a.csv", "b.csv"), "holds 2 files: unpack it and name the folder"),
    "numpy's archive": (_archive("a.npy"), "a numpy archive"),
    "SQLite": (b"SQLite format 3\x00" + bytes(100), "an SQLite database.*export"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file.*parquet"),
    "numpy": (b"\x93NUMPY\x01\x00" + bytes(100), "a numpy array"),
    "pickle": (b"\x80\x04\x95" + bytes(100), "a Python pickle"),
    "7-Zip": (b"7z\xbc\xaf\x27\x1c" + bytes(100), "a 7-Zip archive.*unpack it"),
    "a page": (b"<!DOCTYPE html><html>404</html>", "a page of HTML"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
    "bytes": (bytes(range(256)) * 8, "no text and no format that is known"),
    "parquet in gzip": (gzip.compress(b"PAR1" + bytes(100)), "a binary table in a compressed file"),
    "a tar in gzip": (
        gzip.compress(bytes(257) + b"ustar" + bytes(100)),
        "a tar archive in a compressed file",
    ),
    "escapes": (b"\x1b[31mred\x07,\x1b[0m\n\x1b]0;title\x07,b\n", "no known layout|no table"),
}


@pytest.mark.parametrize("kind", _REFUSED)
def test_what_is_not_read_is_refused_by_what_it_is(tmp_path: Path, kind: str) -> None:
    content, reason = _REFUSED[kind]
    path = tmp_path / "BTCUSDT-1m.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"BTCUSDT-1m\.csv: .*({reason})") as caught:
        open_history([path])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["op\x17n", "\x1b[31mred", "a\nb", "\u202eleft"])
@pytest.mark.parametrize("form", ["feather", "parquet", "json", "csv"])
def test_names_of_columns_write_nothing_but_letters_to_a_terminal(
    tmp_path: Path, form: str, name: str
) -> None:
    path = tmp_path / "BTCUSDT.data"
    columns = {name: [1.5] * 30, "date": [f"2024-01-{day:02}" for day in range(1, 31)], "low": [1.0] * 30}
    if form == "feather":
        pyarrow.feather.write_feather(pa.table(columns), path)
    elif form == "parquet":
        pyarrow.parquet.write_table(pa.table(columns), path)
    elif form == "json":
        path.write_text(json.dumps(columns))
    else:
        path.write_text(
            f'"{name}",date,low\n' + "".join(f"1.5,{day},1\n" for day in columns["date"]), encoding="utf-8"
        )
    with pytest.raises(DataError, match=r"BTCUSDT\.data: ") as caught:
        open_history([path])
    assert str(caught.value).isprintable()


def test_rows_are_counted_from_the_first_row_of_data_whatever_comes_before(
    tmp_path: Path, read: Read
) -> None:
    header, rows = LAYOUTS["lower case"](made_bars(), [str(ns // 10**6) for ns in made_bars().opens_ns])
    rows[40][1] = "x"
    for dress in (
        _Dress(),
        _Dress(before="# a\n\n// b\n"),
        _Dress(encoding="utf-16"),
        _Dress(newline="\r\n"),
    ):
        path = tmp_path / "x.csv"
        path.write_bytes(csv_bytes((header, rows), dress))
        with pytest.raises(DataError, match=r"row 41: 'x' in column 'open'"):
            read(open_history([path]))


def test_a_time_that_is_none_names_its_own_row(tmp_path: Path, read: Read) -> None:
    times = [f"2024-01-01 00:{i:02}:00+00" for i in range(60)]
    times[40] = "later"
    path = tmp_path / "x.csv"
    path.write_bytes(csv_bytes(LAYOUTS["lower case"](made_bars(), times), _Dress()))
    with pytest.raises(DataError, match=r"row 41: 'later' is no number or time"):
        read(open_history([path]))


def test_comments_among_the_rows_are_no_damage_and_other_lines_are(tmp_path: Path, read: Read) -> None:
    header, rows = LAYOUTS["lower case"](made_bars(), [str(ns // 10**6) for ns in made_bars().opens_ns])
    lines = csv_bytes((header, rows), _Dress()).decode().splitlines()
    lines[30:30] = ["# resumed", "", "not a row"]
    path = tmp_path / "x.csv"
    path.write_text("\n".join([*lines, "", ",,,,,", ""]))
    history = open_history([path])
    assert len(read(history)) == 60
    assert history.report.dropped == {"malformed row": 1, "empty row": 1}


def test_the_page_of_layouts_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == layouts_page(), (
        "run `python -m ztb.market.importers.layouts_page`"
    )


def test_the_page_says_of_each_layout_what_is_assumed() -> None:
    rows = [line.split(" | ") for line in layouts_page().splitlines() if line.count(" | ") == 4]
    told = {row[0].strip("| "): row[4].strip("| ") for row in rows if row[0] not in ("| layout", "| venue")}
    assert {layout.name for layout in LAYOUT_TABLE} | {pattern.name for pattern in PATTERNS} <= set(told)
    assert [name for name, assumed in told.items() if not assumed] == []


def test_reading_ends_with_the_process(tmp_path: Path) -> None:
    """Refused, read in part and read to the end: nothing goes on reading when the interpreter has gone."""
    path = tmp_path / "BTCUSDT-1m.csv.gz"
    table = LAYOUTS["lower case"](made_bars(3000), [str(ns // 10**6) for ns in made_bars(3000).opens_ns])
    path.write_bytes(gzip.compress(csv_bytes(table, _Dress())))
    program = (
        "import sys, threading; from pathlib import Path; from ztb.market.history import open_history;"
        "blocks = open_history([Path(sys.argv[1])]).blocks(16); next(blocks);"
        "assert threading.active_count() == 1; print('read', end='')"
    )
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "read", "")
