"""A kernel that Python calls is machine code once, with what it calls inside it; what is called has none of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ztb.utils.kernel import COMPILED, kernel

pytestmark = pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, sys
import numpy as np
from numba.core import event
compiled = []
class Hearer(event.Listener):
    def on_start(self, heard): pass
    def on_end(self, heard): compiled.append(heard.data["dispatcher"].py_func.__name__)
event.register("numba:compile", Hearer())
from ztb.utils.kernel import kernel
@kernel
def deep(values, k):
    if k < 0:
        raise ValueError("below")
    return np.zeros(2)[0] + values[k]
@kernel
def middle(values, k):
    return deep(values, k) + deep(values, 0)
@kernel
def outer(values, k):
    return middle(values, k) * 2.0
values = np.arange(3.0)
answers = [outer(values, 2)]
try:
    outer(values, -1)
except ValueError as error:
    answers.append(str(error))
print(json.dumps([answers, sorted(set(compiled) & {"deep", "middle", "outer"})]))
"""


@kernel
def deep(values, k):
    return np.sqrt(values[k]) + 1.0


@kernel
def outer(values, k):
    return deep(values, k) + deep(values, 0)


def test_what_is_called_has_no_code_until_python_calls_it():
    values = np.array([4.0, 9.0])
    assert outer(values, 1) == 7.0
    assert len(outer.overloads) == 1 and len(deep.overloads) == 0
    assert deep(values, 1) == 4.0 and len(deep.overloads) == 1


def test_a_second_process_loads_the_outermost_alone_and_an_error_from_deep_within_comes_out(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "daemon"),
        "NUMBA_CACHE_DIR": str(tmp_path / "kernels"),
    }
    told = [
        json.loads(subprocess.run([sys.executable, program], env=environment, stdout=subprocess.PIPE, check=True).stdout)
        for _ in range(2)
    ]  # fmt: skip
    assert told[0] == [[4.0, "below"], ["deep", "middle", "outer"]]
    assert told[1] == [[4.0, "below"], []]
    assert {path.name.split("-")[0] for path in (tmp_path / "kernels").rglob("*.nbc")} == {"program.outer"}
