"""States and messages through shared memory: what comes out is what went in, to the bit."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from learning.process_support import SETTINGS, SHAPE, WEIGHTS
from ztb.errors import InvariantError
from ztb.learning.online import Transition
from ztb.learning.process import channel
from ztb.learning.process.messages import (
    REPORT,
    Completed,
    LearnerReport,
    read_report,
    read_transition,
    transition_dtype,
    write_report,
    write_transition,
)
from ztb.learning.process.packing import pack, unpack
from ztb.trading.ppo.rollout import UpdateStats

NUMBERS = st.integers(-(1 << 200), 1 << 200) | st.floats(allow_nan=False) | st.booleans() | st.none()
ARRAYS = arrays.arrays(
    st.sampled_from(["<f4", "<f8", "<i8", "u1"]), arrays.array_shapes(min_dims=0, min_side=0)
)
VALUES = st.recursive(
    NUMBERS | st.text() | ARRAYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def same(one, two) -> bool:
    if isinstance(one, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (two.dtype, two.shape, two.tobytes())
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    return type(one) is type(two) and one == two


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_a_state_comes_back_as_it_was(state):
    assert same(unpack(pack(state)), state)


def test_a_learner_goes_on_from_its_packed_state_bit_for_bit():
    from ztb.trading.ppo.rollout import empty_rollout
    from ztb.trading.ppo.update import PPOUpdater

    def rollout(seed: int):
        made = empty_rollout(SHAPE, 32, 1)
        rng = np.random.default_rng(seed)
        made.observations[:] = rng.normal(size=made.observations.shape)
        made.rewards[:] = rng.normal(size=made.rewards.shape)
        made.logprobs[:] = -1.8
        return made

    first = PPOUpdater(SHAPE, SETTINGS.ppo, WEIGHTS, 3)
    first.update(rollout(0))
    second = PPOUpdater(SHAPE, SETTINGS.ppo, WEIGHTS, 4)
    second.load_state(unpack(pack(first.state())))
    assert first.update(rollout(1)) == second.update(rollout(1))
    assert same(first.state(), second.state())
    assert len(pack(first.state())) < SETTINGS.state_bytes()


@given(st.integers(0, 400))
def test_a_state_cut_short_is_none(length):
    whole = pack({"weights": np.arange(100.0), "updates": 3})
    if length < len(whole):
        with pytest.raises(InvariantError, match="a learner's state that is none"):
            unpack(whole[:length])


WORDS = st.integers(-(1 << 63), (1 << 63) - 1)
REALS = st.floats(allow_nan=False)


@given(
    arrays.arrays(np.float32, 6, elements=st.floats(width=32, allow_nan=False)), st.tuples(WORDS, WORDS),
    st.tuples(REALS, REALS, REALS, REALS, REALS), st.tuples(WORDS, WORDS, WORDS, WORDS), st.booleans(),
)  # fmt: skip
def test_a_transition_comes_through_its_record(observation, actions, reals, words, tainted):
    sent = Completed(
        Transition(observation, actions, *reals[:3], words[0], tainted, reals[4]), reals[3], *words[1:]
    )
    record = np.zeros(1, transition_dtype(SHAPE))
    write_transition(sent, record)
    back = read_transition(record)
    assert back.transition.observation.tobytes() == observation.tobytes()
    assert back.transition.actions == actions and back.transition.tainted is tainted
    for name in ("logprob", "value", "reward", "generation", "equity"):
        assert getattr(back.transition, name) == getattr(sent.transition, name)
    assert (back.next_value, back.serving, back.decision, back.ts_ns) == (reals[3], *words[1:])


@given(st.tuples(*[REALS] * 10), WORDS, WORDS, st.booleans(), st.tuples(WORDS, WORDS, WORDS, REALS, WORDS))
def test_a_report_comes_through_its_record(reals, epochs, minibatches, stopped, facts):
    sent = LearnerReport(*facts, UpdateStats(*reals[:8], epochs, minibatches, stopped, *reals[8:]))
    record = np.zeros(1, REPORT)
    write_report(sent, record)
    assert read_report(record) == sent
    assert read_report(record).stats.stopped_by_kl is stopped


def test_a_figure_that_does_not_exist_stays_none():
    sent = LearnerReport(1, 2, 3, 0.5, 0, UpdateStats(*[0.0] * 5, math.nan, 0.0, 0.0, 1, 2, False))
    record = np.zeros(1, REPORT)
    write_report(sent, record)
    assert math.isnan(read_report(record).stats.explained_variance)


def test_settings_come_through_the_memory_and_every_part_fits_into_it():
    descriptor = channel.create(SETTINGS)
    first, second = channel.SharedChannel(descriptor), channel.SharedChannel(descriptor)
    assert second.settings == SETTINGS
    largest = bytes(SETTINGS.state_bytes())
    for _ in range(2):
        first.candidates.publish(largest)
        first.states.publish(largest)
    assert second.states.read() == second.candidates.read() == (2, largest)
    os.close(descriptor)
