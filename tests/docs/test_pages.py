"""The documentation's words are true: each page is followed word for word, in a folder of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.follow import blocks

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "daemon" / "docs" / "pages"
SHORT = ("checkpoints", "data", "operating", "python")
"""Pages that take seconds; the others are proofs."""
NEEDS = {
    "python": ("duckdb", "polars", "pandas"),
    "studies": ("optuna", "pandas"),
    "environments": ("stable_baselines3",),
}


def with_blocks() -> list[str]:
    """Names of pages that say something to do."""
    return sorted(page.stem for page in PAGES.glob("*.md") if any(blocks(page.read_text())))


def environment(folder: Path) -> dict[str, str]:
    """As after the activation of an environment: `ztb` and `python` are programs."""
    programs = folder / ".programs"
    programs.mkdir()
    for name, arguments in (("ztb", "-m ztb"), ("python", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
        program.chmod(0o755)
    found = {name: value for name, value in os.environ.items() if not name.startswith("ZTB_")}
    return found | {"PYTHONPATH": str(ROOT / "daemon"), "PATH": f"{programs}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SHORT else pytest.mark.proof) for name in with_blocks()]
)
def test_a_page_is_followed_word_for_word(name: str, tmp_path: Path):
    for module in NEEDS.get(name, ()):
        pytest.importorskip(module)
    done = subprocess.run(
        [sys.executable, ROOT / "tests/docs/follow.py", PAGES / f"{name}.md"], cwd=tmp_path, check=False,
        env=environment(tmp_path), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_what_a_page_does_not_have_run_says_why_and_where_it_is_tested():
    for page in PAGES.rglob("*.md"):
        for said in re.findall(r"<!-- (.*?) -->", page.read_text()):
            assert said == "stays" or re.fullmatch(r"not run: .*tests/\S+.*", said), f"{page.name}: {said}"
            for named in re.findall(r"tests/[\w/.]+", said):
                assert (ROOT / named).exists(), f"{page.name}: {named}"


def test_a_page_that_is_wrong_fails(tmp_path: Path):
    wrong = {
        "sh": "```sh\nztb data info nowhere.csv\necho never\n```\n",
        "python": "```python\nassert 1 + 1 == 3\n```\n",
        "stays": "<!-- stays -->\n```sh\nztb data info nowhere.csv\n```\n\n```sh\nsleep 0\n```\n",
    }
    env = environment(tmp_path)
    for name, text in wrong.items():
        page = tmp_path / f"{name}.md"
        page.write_text(text)
        done = subprocess.run(
            [sys.executable, ROOT / "tests/docs/follow.py", page], cwd=tmp_path, check=False, env=env, text=True,
            capture_output=True,
        )  # fmt: skip
        assert done.returncode == 1 and "never" not in done.stdout, done.stdout
