"""kill -9 at any moment of saving, cleaning and sweeping loses nothing that was acknowledged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from utils.checkpoint_states import child_environment, proof_sample

PROGRAM = Path(__file__).with_name("checkpoint_killing.py")


def kill(base: Path, seeds: list[int]) -> dict[str, Any]:
    command = [sys.executable, str(PROGRAM), str(base), *map(str, seeds)]
    done = subprocess.run(command, capture_output=True, text=True, env=child_environment(), check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_forty_kills(tmp_path: Path) -> None:
    report = kill(tmp_path, list(range(40)))
    assert report["wrong"] == {}
    assert report["left temporary files"] > 0, "no save was interrupted: the test has lost its teeth"


@pytest.mark.proof
def test_a_thousand_kills(tmp_path: Path) -> None:
    seeds = proof_sample(1000)
    assert kill(tmp_path, seeds)["wrong"] == {}
