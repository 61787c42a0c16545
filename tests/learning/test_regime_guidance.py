"""Profiles change what may change between two updates, and nothing else; halved minibatches stay useful."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from learning.process_support import SHAPE, WEIGHTS
from ztb.config import load_config
from ztb.errors import ConfigError
from ztb.learning.regime import CHANGEABLE, UNGUIDED, ScheduledOptions, guided, profile_options
from ztb.learning.settings import ONLINE_PROFILES, PPO_DEFAULTS
from ztb.trading.policy.weights import weights_sha256
from ztb.trading.ppo.config import PPOConfig
from ztb.trading.ppo.rollout import Rollout, empty_rollout
from ztb.trading.ppo.update import PPOUpdater


def test_what_may_change_is_an_option_and_the_network_is_not_among_it():
    names = {field.name for field in fields(PPOConfig)}
    assert set(CHANGEABLE) <= names
    assert not set(CHANGEABLE) & {"hidden", "shared_trunk", "num_envs", "num_steps", "adam_epsilon"}


def test_the_shipped_profiles_can_all_be_applied():
    for name, changes in ONLINE_PROFILES.items():
        options = profile_options(PPO_DEFAULTS, name, changes)
        assert all(getattr(options, option) == value for option, value in changes.items())


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        ({"calm": {"hidden": [8]}}, "online.profiles.calm: 'hidden' cannot change between updates"),
        ({"calm": {"gamma": 2}}, "online.profiles.calm: ppo.gamma: 2 is not between"),
        ({"sideways": {}}, "no profile 'sideways'; there are calm, trending, volatile"),
    ],
)
def test_a_profile_that_cannot_be_is_named(profiles, message):
    with pytest.raises(ConfigError, match=message):
        load_config(None, {"online.profiles": profiles}, {})


def test_minibatches_are_halved_down_to_a_floor():
    options = (PPOConfig(minibatch_size=100), PPOConfig(minibatch_size=64, gamma=0.9))
    assert guided(options, UNGUIDED) is options[0]
    assert guided(options, ScheduledOptions(1, 1)) == PPOConfig(minibatch_size=32, gamma=0.9)
    assert guided(options, ScheduledOptions(0, 9)).minibatch_size == 8
    assert guided((PPOConfig(minibatch_size=4),), ScheduledOptions(halvings=2)).minibatch_size == 4


def rollout() -> Rollout:
    made, rng = empty_rollout(SHAPE, 32, 2), np.random.default_rng(0)
    made.observations[:] = rng.normal(size=made.observations.shape)
    made.rewards[:] = rng.normal(size=made.rewards.shape)
    made.logprobs[:] = -1.8
    return made


@pytest.mark.parametrize(
    "change",
    [{"learning_rate": 1e-4}, {"entropy_coef": 0.5}, {"minibatch_size": 16}, {"gamma": 0.5}, {"epochs": 1}],
)
def test_an_updater_that_is_reconfigured_learns_as_one_made_so(change):
    before = PPOConfig(minibatch_size=32, epochs=2)
    options = profile_options(before, "calm", change)
    ends = []
    for made, used in ((before, options), (options, options), (before, before)):
        updater = PPOUpdater(SHAPE, made, WEIGHTS, 1)
        updater.reconfigure(used)
        updater.update(rollout())
        ends.append(weights_sha256(updater.weights()))
    assert ends[0] == ends[1] != ends[2]
