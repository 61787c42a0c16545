"""Real money needs a person's word, for one account, configuration, code and lineage, and for a while."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest

from runtime.daemons import environment
from ztb.errors import ConfigError
from ztb.execution.risk import RiskLimits
from ztb.runtime.modes.arming import (
    Arming,
    account_of,
    disarm,
    fault_of,
    phrase,
    read_arming,
    require_armed,
    write_arming,
)
from ztb.runtime.modes.live import limited

GIVEN = Arming("account", 1000.0, "config", "code", "weights", expires_ns=100)
START = {
    "account": "account", "config_hash": "config", "code_version": "code", "lineage": {"weights", "child"},
    "now_ns": 99,
}  # fmt: skip


def test_what_was_armed_may_start():
    assert fault_of(GIVEN, **START) == ""


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"account": "b"}, "account"),
        ({"config_hash": "b"}, "configuration"),
        ({"code_version": "b"}, "armed for ztb code"),
        ({"lineage": {"stranger"}}, "generation"),
        ({"now_ns": 100}, "time"),
    ],
)
def test_anything_else_may_not(other, words):
    fault = fault_of(GIVEN, **START | other)
    assert words in fault


def test_the_expiry_limits_the_time_to_the_first_start_alone():
    started = Arming("account", 1000.0, "config", "code", "weights", expires_ns=100, started_ns=50)
    assert fault_of(started, **START | {"now_ns": 10_000}) == ""


def test_it_lies_in_the_runs_folder_for_its_owner_and_disarming_takes_it_away(tmp_path):
    write_arming(tmp_path, GIVEN)
    assert read_arming(tmp_path) == GIVEN and (tmp_path / "arming.json").stat().st_mode & 0o077 == 0
    disarm(tmp_path)
    with pytest.raises(ConfigError, match="not armed"):
        require_armed(fault_of(read_arming(tmp_path), **START), tmp_path)


def test_an_account_is_told_without_its_key_and_the_phrase_names_it_and_the_limit():
    key = "a-key-of-an-account"
    assert account_of(key) == hashlib.sha256(key.encode()).hexdigest()[:12]
    assert phrase("abc", 250.0, True) == "trade 250 on abc"
    assert phrase("abc", 0.5, False) == "trade 0.5 on abc whatever its key may do"


def test_what_cannot_be_read_is_no_permission_and_before_there_are_generations_any_may_start(tmp_path):
    assert read_arming(tmp_path) is None
    (tmp_path / "arming.json").write_text('{"account": "account"')
    assert read_arming(tmp_path) is None
    anybody = Arming("account", 1000.0, "config", "code", None, expires_ns=100)
    assert fault_of(anybody, **START | {"lineage": set()}) == ""
    write_arming(tmp_path / "a" / "new" / "folder", anybody)
    assert read_arming(tmp_path / "a" / "new" / "folder") == anybody and anybody.started_ns == 0
    require_armed("", tmp_path)


def test_the_limit_bounds_order_and_position():
    limits = limited(RiskLimits(), 500.0, 10_000.0)
    assert limits.max_order_notional_quote == 500.0 and limits.max_exposure == pytest.approx(0.05)
    assert limited(RiskLimits(), 1e9, 10_000.0).max_exposure == RiskLimits().max_exposure


@pytest.mark.parametrize(
    ("flags", "named"), [(("--sandbox",), True), ((), False)], ids=["a sandbox", "the venue itself"]
)
def test_the_phrase_names_a_key_whose_rights_the_venue_cannot_tell(tmp_path, flags, named):
    (tmp_path / "binance.json").write_text('{"market": {"venue": "binance", "symbol": "BTC/USDT"}}')
    key = "a-key-of-an-account"
    done = subprocess.run(
        [sys.executable, "-m", "ztb", "arm", "--run", "run", "--limit", "250", "--config", "binance.json", *flags],
        cwd=tmp_path, text=True, input=phrase(account_of(key), 250.0, not named) + "\n", capture_output=True,
        check=False, env=environment(ZTB_SECRET_EXCHANGE_API_KEY=key),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert ("cannot tell what the key may do" in done.stderr) is named
    assert phrase(account_of(key), 250.0, True) != phrase(account_of(key), 250.0, False)


@pytest.mark.parametrize(
    ("typed", "code", "market"), [("yes", 2, "binance"), (None, 0, "binance"), (None, 78, None)]
)
def test_only_the_very_phrase_arms_and_only_a_venue_that_is_named(tmp_path, typed, code, market):
    (tmp_path / "venue.json").write_text(json.dumps({"market": {"venue": market, "symbol": "BTC/USDT"}}))
    key = "a-key-of-an-account"
    done = subprocess.run(
        [sys.executable, "-m", "ztb", "arm", "--run", "run", "--limit", "250", "--config", "venue.json"],
        cwd=tmp_path, text=True,
        input=(typed or phrase(account_of(key), 250.0, True)) + "\n", capture_output=True, check=False,
        env=environment(ZTB_SECRET_EXCHANGE_API_KEY=key),
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert (read_arming(tmp_path / "run") is not None) is (code == 0)
    assert key not in done.stdout + done.stderr
