"""What is vendored is what VENDOR.md says, byte for byte."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import ztb.telemetry

VENDOR = Path(ztb.telemetry.__file__).parent / "vendor"


def test_every_vendored_file_has_the_digest_in_the_table():
    table = (VENDOR / "VENDOR.md").read_text()
    listed = dict(re.findall(r"^\| `([\w.]+)` \|.*`([0-9a-f]{64})` \|$", table, re.MULTILINE))
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.iterdir()
        if path.name != "VENDOR.md"
    }
    assert found == listed
    assert {"uPlot.iife.min.js", "uPlot.min.css", "LICENSE.uPlot"} <= set(found)
