"""The doctor finds what is wrong, says what to do, and changes nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ztb.cli import run
from ztb.config import Config, load_config
from ztb.runtime.doctor import CHECKS, Finding, Patient, Severity, diagnose, machine, setup
from ztb.runtime.doctor.machine import ClockState, read_clock
from ztb.utils import CheckpointManager
from ztb.utils.installation import shipped_folder


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o750)
    system = tmp_path / "system"
    (system / "etc/systemd/system").mkdir(parents=True)
    return Patient(Config(), folder, {"XDG_CACHE_HOME": str(tmp_path)}, system)


def told(finding: Finding, verdict: Severity, *words: str) -> None:
    """The verdict is as said, and found or remedy hold each of the words."""
    assert finding.verdict is verdict, finding
    assert all(word in finding.found + finding.remedy for word in words), finding
    assert finding.remedy or verdict in (Severity.GOOD, Severity.SKIPPED)


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        (ClockState(True, 3.0), Severity.GOOD),
        (ClockState(True, 900.0), Severity.BAD),
        (ClockState(False, 3.0), Severity.WARNING),
        (None, Severity.WARNING),
    ],
)
def test_a_clock_that_nothing_keeps_is_told(patient, state, verdict):
    told(machine.clock(patient, lambda: state), verdict)


def test_the_systems_own_clock_answers():
    state = read_clock()
    assert state is None or state.error_ms >= 0.0


def test_a_folder_that_others_can_read_is_told(patient):
    told(machine.folder(patient), Severity.GOOD)
    patient.folder.chmod(0o755)
    told(machine.folder(patient), Severity.WARNING, "chmod 0750")


def test_a_folder_that_cannot_be_written_is_told(patient, monkeypatch):
    def refused(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refused)
    told(machine.folder(patient), Severity.BAD, "Read-only file system", str(patient.folder))


@pytest.mark.parametrize(("free", "verdict"), [(20e9, "good"), (2e9, "warning"), (1e8, "bad")])
def test_a_disk_that_fills_is_told(patient, monkeypatch, free, verdict):
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    told(machine.disk(patient), Severity(verdict), "GB free")


@pytest.mark.parametrize(
    ("total", "available", "verdict"), [(16e9, 8e9, "good"), (16e9, 3e9, "warning"), (2e9, 2e9, "bad")]
)
def test_a_limit_beyond_the_memory_there_is_is_told(patient, monkeypatch, total, available, verdict):
    memory = SimpleNamespace(total=total, available=available)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: memory)
    told(machine.memory(patient), Severity(verdict), "limit 4 GB")


def test_a_kernel_cache_that_cannot_be_written_is_told(patient, monkeypatch):
    told(machine.kernel_cache(patient), Severity.GOOD)
    monkeypatch.setattr(os, "access", lambda *_: False)
    told(machine.kernel_cache(patient), Severity.WARNING, "XDG_CACHE_HOME")


def test_a_missing_package_and_the_old_mqtt_client_are_told(patient, monkeypatch):
    told(setup.packages(patient), Severity.GOOD)
    real = setup.metadata.version
    monkeypatch.setattr(setup.metadata, "version", lambda name: "0.1" if name == "torch" else real(name))
    told(setup.packages(patient), Severity.BAD, "torch==")
    monkeypatch.setattr(setup.metadata, "version", lambda name: "1" if name == "asyncio-mqtt" else real(name))
    told(setup.packages(patient), Severity.BAD, "pip uninstall asyncio-mqtt")


def test_damaged_generations_are_told(patient):
    told(setup.checkpoints(patient), Severity.SKIPPED)
    with CheckpointManager(patient.folder / "checkpoints") as manager:
        saved = [manager.save({"w": np.zeros(8)}, "policy") for _ in range(2)]
    told(setup.checkpoints(patient), Severity.GOOD, "policy")
    damage(saved[1].path)
    told(setup.checkpoints(patient), Severity.WARNING, "1 damaged", str(saved[1].path))
    damage(saved[0].path)
    told(setup.checkpoints(patient), Severity.BAD, "--from-generation")


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_unit_of_another_version_is_told(patient):
    place = patient.system / "etc/systemd/system/ztb@.service"
    told(setup.unit(patient), Severity.SKIPPED, "ztb init --system")
    place.write_bytes((shipped_folder("systemd") / "ztb@.service").read_bytes())
    told(setup.unit(patient), Severity.GOOD)
    place.write_text("[Unit]\n")
    told(setup.unit(patient), Severity.WARNING, "daemon-reload")


def test_no_check_changes_anything(patient):
    before = sorted(patient.folder.parent.rglob("*"))
    assert len(diagnose(patient)) == len(CHECKS)
    assert sorted(patient.folder.parent.rglob("*")) == before


def test_the_command_ends_with_3_if_anything_is_bad(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=1e8))
    assert run(["doctor", "--json", "--out", str(tmp_path)]) == 3
    answer = json.loads(capsys.readouterr().out)
    (disk,) = [finding for finding in answer["findings"] if finding["check"] == "disk"]
    assert not answer["ok"] and disk["verdict"] == "bad" and "free space" in disk["remedy"]


def test_the_command_refuses_a_broken_configuration(capsys, tmp_path):
    path = tmp_path / "trade-config.json"
    path.write_text("{")
    assert run(["doctor", "--config", str(path)]) == 78
    assert "trade-config.json" in capsys.readouterr().err
    assert load_config(None).config == Config()
