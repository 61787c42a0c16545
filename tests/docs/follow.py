"""Follows a page of the documentation word for word: `python follow.py PAGE`, in the folder that is worked in.

A block with a title is a file; `sh` is run by bash, which ends at the first failure; `python` is run, all of a page in
one namespace. A comment right before a block says what is different: `<!-- stays -->`, it is started and goes on, to
be ended by an interrupt when the page has; `<!-- not run: why -->`. Other languages are shown, not run.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"(?:^<!-- (?P<said>[^\n]*) -->\n)?^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_ENDED_WELL = (0, 130)


@dataclass(frozen=True)
class Block:
    """A fenced block and the line of the page at which it begins."""

    line: int
    said: str
    language: str
    title: str | None
    text: str


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page, in order."""
    for found in _BLOCK.finditer(page):
        line = page.count("\n", 0, found.start("text"))
        yield Block(line, found["said"] or "", found["language"], found["title"], found["text"])


def follow(page: str, staying: list[subprocess.Popen[str]]) -> None:
    """Do what a page says; what stays is added to `staying`."""
    names: dict[str, object] = {"__name__": "__main__"}
    environment = dict(os.environ)
    for block in blocks(page):
        if block.said.startswith("not run"):
            continue
        print(f"== line {block.line}: {block.title or block.language}", flush=True)
        if block.title is not None:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(block.text)
        elif block.said == "stays":
            staying.append(_start(block.text, environment))
        elif block.language == "sh":
            environment = _run(block.text, environment)
        elif block.language == "python":
            exec(compile("\n" * block.line + block.text, "page.md", "exec"), names)


def _run(text: str, environment: dict[str, str]) -> dict[str, str]:
    """Run a block; the environment that it leaves behind, as a terminal keeps it."""
    script = f"set -eu\n{text}\nenv -0 > .environment\n"
    subprocess.run(["bash", "-c", script], env=environment, check=True)
    left = Path(".environment").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in left if "=" in pair)


def _start(text: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    """Start a block of one command that goes on."""
    return subprocess.Popen(
        ["bash", "-c", f"exec {text}"], env=environment, text=True, start_new_session=True
    )


def end(staying: list[subprocess.Popen[str]]) -> bool:
    """Interrupt what stays, the last first; whether all of it ended well."""
    codes: list[int] = []
    for process in reversed(staying):
        process.send_signal(signal.SIGINT)
        try:
            codes.append(process.wait(60.0))
        except subprocess.TimeoutExpired:
            process.kill()
            codes.append(process.wait())
    print(f"== ended with {codes}", flush=True)
    return all(code in _ENDED_WELL for code in codes)


if __name__ == "__main__":
    started: list[subprocess.Popen[str]] = []
    well = True
    try:
        follow(Path(sys.argv[1]).read_text(encoding="utf-8"), started)
    except BaseException:
        traceback.print_exc()
        well = False
    sys.exit(0 if end(started) and well else 1)
