"""Options: bounds, unknown names, profiles."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from dataclasses import fields

import pytest

from ztb.errors import ConfigError
from ztb.trading.ppo.config import BOUNDS, PROFILES, PPOConfig, PPOOptions


@pytest.mark.parametrize("name", BOUNDS)
def test_every_bounded_option_refuses_what_is_outside_and_takes_the_end(name: str) -> None:
    low = BOUNDS[name][0]
    assert getattr(PPOConfig(**{name: low}), name) == low
    for wrong in (low - 1, float("nan"), "many", True):
        with pytest.raises(ConfigError, match=rf"ppo\.{name}"):
            PPOConfig(**{name: wrong})


@pytest.mark.parametrize("name", ["num_envs", "num_steps", "minibatch_size", "epochs"])
def test_counts_are_whole(name: str) -> None:
    with pytest.raises(ConfigError, match="whole number"):
        PPOConfig(**{name: 8.5})


def test_layers_have_sensible_widths() -> None:
    assert PPOConfig.from_mapping({"hidden": [32, 16]}).hidden == (32, 16)
    for wrong in ((), (0,), (64, 5000)):
        with pytest.raises(ConfigError, match="hidden"):
            PPOConfig(hidden=wrong)


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'learning_rate'"):
        PPOConfig.from_mapping({"learning_rat": 1e-3})
    with pytest.raises(ConfigError, match="known: num_envs"):
        PPOConfig.from_mapping({"zzz": 1})


def test_profiles_are_options_and_can_be_changed() -> None:
    assert {"continuous", "calm", "trending", "volatile"} <= PROFILES.keys()
    for name, options in PROFILES.items():
        profile = PPOConfig.profile(name, num_envs=3)
        assert profile.num_envs == 3
        assert all(getattr(profile, key) == value for key, value in options.items() if key != "num_envs")
    with pytest.raises(ConfigError, match="calm"):
        PPOConfig.profile("sideways")


def test_every_option_has_its_docstring() -> None:
    source = inspect.getsource(PPOConfig) + inspect.getsource(PPOOptions)
    for field in fields(PPOConfig):
        after = source.split(f"    {field.name}: ", 1)[1]
        assert after.splitlines()[1].strip().startswith('"""'), field.name


def test_options_are_read_without_torch() -> None:
    code = "import sys, ztb.trading.ppo.config; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == "False"
