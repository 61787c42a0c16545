"""The documentation builds strictly, and the build fails where it should."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs_autorefs")
pytest.importorskip("material")

ROOT = Path(__file__).resolve().parents[2]


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--config-file",
        str(config),
    ]
    return subprocess.run(
        [*command, "--site-dir", str(site)], check=False, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "daemon"), "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip


def test_it_builds_and_can_be_searched(tmp_path: Path):
    done = build(ROOT / "daemon/docs/mkdocs.yml", tmp_path / "site")
    assert done.returncode == 0, done.stdout
    index = (tmp_path / "site/search/search_index.json").read_text()
    for words in (
        "max_daily_loss_fraction",
        "ztb_equity_quote",
        "open_trades",
        "homeNotional",
        "ztb why",
        "StrategyError",
    ):
        assert words in index, words
    pages = [page.read_text() for page in (tmp_path / "site").rglob("*.html")]
    assert not any("fonts.googleapis" in page or '<script src="http' in page for page in pages)


def test_a_broken_link_and_an_undocumented_name_fail(tmp_path: Path):
    copy = tmp_path / "repository"
    shutil.copytree(ROOT / "daemon/docs", copy / "daemon/docs")
    for name in ("daemon/ztb", "tests"):
        (copy / name).symlink_to(ROOT / name)
    pages = copy / "daemon/docs/pages"
    (pages / "data.md").write_text("# Data\n\n[gone](nowhere.md) [gone too](index.md#nowhere)\n")
    with (pages / "reference/python.md").open("a") as page:
        page.write("\n::: ztb.runs.tables.JournalSnapshot.reader\n\n::: ztb.commands.options\n")
    done = build(copy / "daemon/docs/mkdocs.yml", tmp_path / "site")
    assert done.returncode != 0
    for told in (
        "'nowhere.md'",
        "#nowhere",
        "ztb.runs.tables.JournalSnapshot.reader is public and has no docstring",
    ):
        assert told in done.stdout, done.stdout
