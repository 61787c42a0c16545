"""The walk-forward in a process beside finds the same as here, and is done here where that process fails."""

from __future__ import annotations

import multiprocessing
import os
import sys
from types import SimpleNamespace

import pytest
from numba.core.dispatcher import Dispatcher

from learning import made_markets as made
from trading.markets import HOUR_NS, SPOT
from ztb.config import load_config
from ztb.learning.allocation.evidence import GrowthEvidence
from ztb.runtime.build import pretraining as module
from ztb.runtime.build.assembly import Assembly, assemble

SMALL = {
    "features.names": made.FEATURES, "ppo.hidden": [16], "ppo.num_envs": 32, "ppo.num_steps": 32,
    "ppo.minibatch_size": 256, "ppo.gamma": 0.5, "ppo.learning_rate": 3e-3, "ppo.anneal_learning_rate": False,
    "online.reward_scale": 1.0 / made.SIGMA,
}  # fmt: skip
TICKS = made.bars_of(made.closes([(0.6, 2400)], 1))


def assembly_of(**options: object) -> Assembly:
    return assemble(load_config(None, {**SMALL, **options}, {}).config, SPOT, HOUR_NS, 0)


def test_a_process_beside_finds_the_same_evidence_and_says_how_far_it_is():
    assembly, heard = assembly_of(), list[float]()
    with module.WalkForwardBeside(assembly, TICKS, 3) as beside:
        found = beside.evidence(heard.append)
    assert isinstance(found, GrowthEvidence)
    assert found == module._walked_forward(assembly, TICKS, 3, lambda _done: None)
    assert found.blocks > 0
    assert heard == [0.5, 1.0]


def specialisations() -> set[tuple[str, str]]:
    """Every kernel with each of the types that it is compiled for in this process."""
    kernels = {
        id(one): one
        for name, loaded in list(sys.modules.items())
        if name.startswith("ztb.")
        for one in vars(loaded).values()
        if isinstance(one, Dispatcher)
    }
    return {(one.py_func.__qualname__, str(types)) for one in kernels.values() for types in one.signatures}


def test_a_process_beside_asks_for_no_code_that_the_walk_here_does_not_ask_for():
    assembly = assembly_of()
    module._walked_forward(assembly, TICKS, 3, lambda _done: None)
    known = specialisations()
    assert known
    module._walked_forward(assembly, module._received(TICKS.tobytes()), 3, lambda _done: None)
    assert specialisations() == known


def test_where_the_process_beside_dies_the_walk_is_done_here(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with module.WalkForwardBeside(assembly_of(), TICKS, 3) as beside:
        assert beside.evidence(lambda _done: None) is None


@pytest.mark.parametrize(
    ("folds", "envs", "cores", "parent", "beside"),
    [
        (2, 128, 2, None, True),
        (0, 128, 2, None, False),
        (2, 8, 2, None, False),
        (2, 128, 1, None, False),
        (2, 128, 2, "a pool's", False),
    ],
)
def test_a_process_beside_is_begun_where_it_is_worth_one(folds, envs, cores, parent, beside, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores), raising=False)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: parent)
    settings = module.training_settings(assembly_of(**{"ppo.num_envs": envs, "ppo.num_steps": 64}))
    assert module._has_room_for(folds, settings) is beside


@pytest.mark.parametrize(
    ("kept", "settled", "when"), [(True, 0, [0]), (True, 2, [2]), (True, 9, []), (False, 0, [])]
)
def test_it_begins_once_nobody_compiles_what_it_would_compile_again(kept, settled, when, monkeypatch):
    told, begun = list[float](), list[int]()

    class Beside:
        def __init__(self, *_: object) -> None:
            begun.append(len(told))

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def evidence(self, _on_progress: object) -> str:
            return "found beside"

    def pretrain(on_progress, **_: object):
        for done in (0.2, 0.5, 1.0):
            told.append(done)
            on_progress(done)
        return SimpleNamespace(weights={}, updater_state=None)

    monkeypatch.setattr(module, "WalkForwardBeside", Beside)
    monkeypatch.setattr(module, "_has_room_for", lambda *_: True)
    monkeypatch.setattr(module, "anything_compiled", lambda: kept)
    monkeypatch.setattr(module, "ticks_before", lambda *_: TICKS)
    monkeypatch.setattr(module, "_facts", lambda _: {})
    monkeypatch.setattr(module, "_walked_forward", lambda *_: "found here")
    monkeypatch.setattr("ztb.learning.pretrain.pretrain", pretrain)
    origin = module.pretrained_origin(
        assembly_of(), None, 0, 3, lambda _done: None, compiled=lambda: len(told) >= settled
    )
    assert begun == when and origin.evidence == ("found beside" if when else "found here")
