"""The learner's process is given what it needs and no more."""

from __future__ import annotations

import os

import psutil

from ztb.learning.process import memory
from ztb.learning.process.supervisor import Child


def environment_of(pid: int) -> dict[str, str]:
    """What a process was given; the system shows nothing of it for a moment after its start."""
    while not (environment := psutil.Process(pid).environ()):
        pass
    return environment


def test_the_learner_is_told_no_secret(monkeypatch):
    monkeypatch.setenv("ZTB_SECRET_EXCHANGE_SECRET", "planted-secret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/ztb")
    descriptor, wake = memory.create(4096), os.eventfd(0)
    child = Child(descriptor, wake, 1)
    try:
        environment = environment_of(child.pid)
        assert environment["OMP_NUM_THREADS"] == "1"
        assert not [name for name in environment if "SECRET" in name or "CREDENTIALS" in name]
    finally:
        child.kill()
        child.release()
        os.close(descriptor)
        os.close(wake)
