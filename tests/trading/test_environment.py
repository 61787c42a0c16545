"""The environments keep Gymnasium's promises."""

from __future__ import annotations

import copy
import pickle
import struct
import subprocess
import sys
import zlib
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from trading.markets import PERPETUAL, SPOT, bars, trades
from ztb.errors import ConfigError, DataError, InvariantError
from ztb.market.ticks import GAP
from ztb.trading.environment import TradingEnvironment, VectorTradingEnvironment
from ztb.trading.environment_options import EnvironmentOptions, make_simulation
from ztb.trading.sizing import TIMING_AGGRESSIVE

ID = "ztb.trading.environment:ztb/Trading-v0"
TICKS = bars(300)
RANDOM = {
    "random_start": True, "random_account": True, "episode_decisions": 40,
    "fee_factors": (0.5, 2.0), "latency_factors": (0.5, 4.0),
}  # fmt: skip
DRAWDOWN = -4  # its place among the numbers observed
HOLD = np.array([4, TIMING_AGGRESSIVE])


def single(**options: Any) -> TradingEnvironment:
    return TradingEnvironment(**{"ticks": TICKS, "instrument": SPOT, **options})


def vector(n: int, **options: Any) -> VectorTradingEnvironment:
    return VectorTradingEnvironment(**{"ticks": TICKS, "num_envs": n, "instrument": SPOT, **options})


def play(env: Any, seed: int, steps: int) -> list[Any]:
    """Observations and rewards of random actions."""
    env.action_space.seed(seed)
    seen = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        observation, reward, *_ = env.step(env.action_space.sample())
        seen += [observation, reward]
    return seen


def same(one: list[Any], two: list[Any]) -> bool:
    return len(one) == len(two) and all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("options", [{}, RANDOM, {"render_mode": "rgb_array"}])
def test_gymnasiums_checker_finds_nothing(options):
    check_env(gym.make(ID, ticks=TICKS, instrument=SPOT, **options).unwrapped)


def test_make_and_make_vec_find_it_and_the_wrappers_accept_it():
    env = gym.make(ID, ticks=TICKS, instrument=SPOT)
    assert isinstance(env.unwrapped, TradingEnvironment)
    assert env.action_space.nvec.tolist() == [5, 3]
    play(env, 0, 50)
    envs = gym.make_vec(ID, 3, ticks=TICKS, instrument=SPOT)
    assert isinstance(envs, VectorTradingEnvironment)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    play(envs, 0, 50)
    play(gym.wrappers.vector.RecordEpisodeStatistics(envs), 0, 50)


def test_importing_ztb_brings_neither_gymnasium_nor_torch_and_the_environment_brings_no_torch():
    check = "import sys, ztb; assert not {'gymnasium', 'torch', 'numba'} & set(sys.modules)"
    check += "; import ztb.trading.environment; assert 'torch' not in sys.modules"
    path = [p for p in sys.path if p.endswith("daemon")]
    subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {path}; {check}"], check=True)


@pytest.mark.parametrize("options", [{}, RANDOM])
def test_a_seed_fixes_everything_and_another_seed_changes_it(options):
    one, two, other = (
        play(single(**options), 3, 39),
        play(single(**options), 3, 39),
        play(single(**options), 4, 39),
    )
    assert same(one, two)
    assert not same(one, other)
    assert same(play(vector(3, **options), 3, 60), play(vector(3, **options), 3, 60))


def test_the_seed_of_the_constructor_holds_until_a_reset_has_one():
    assert np.array_equal(single(seed=5, **RANDOM).reset()[0], single(**RANDOM).reset(seed=5)[0])
    assert single(seed=5).np_random_seed == 5


def test_the_ith_of_many_is_one_with_the_ith_seed():
    envs, singles = vector(3, **RANDOM), [single(**RANDOM) for _ in range(3)]
    first = envs.reset(seed=7)[0]
    for i, env in enumerate(singles):
        assert np.array_equal(env.reset(seed=7 + i)[0], first[i])
    rng = np.random.default_rng(0)
    for step in range(40):
        actions = rng.integers(0, (5, 3), (3, 2))
        observations, rewards, terminated, truncated, infos = envs.step(actions)
        for i, env in enumerate(singles):
            observation, reward, over, cut, info = env.step(actions[i])
            last = infos["final_obs"][i] if step == 39 else observations[i]
            known = infos["final_info"] if step == 39 else infos
            assert np.array_equal(observation, last)
            assert (reward, over, cut) == (rewards[i], terminated[i], truncated[i])
            assert {name: known[name][i] for name in info} == info
        assert truncated.all() == (step == 39)
    assert not np.array_equal(observations[0], infos["final_obs"][0])


def test_a_reset_mask_resets_those_alone():
    envs = vector(3, **RANDOM)
    envs.reset(seed=0)
    before = envs.step(np.tile(HOLD, (3, 1)))[0]
    after = envs.reset(seed=[1, 2, 3], options={"reset_mask": np.array([False, True, False])})[0]
    assert np.array_equal(before[[0, 2]], after[[0, 2]]) and not np.array_equal(before[1], after[1])
    assert np.array_equal(after[1], single(**RANDOM).reset(seed=2)[0])


def test_who_buys_in_a_market_that_rises_earns_and_who_holds_nothing_earns_nothing():
    rising = bars(20, drift=0.02, volatility=0.001)
    for rung, low, high in ((4, 0.01, 0.03), (0, -1e-12, 1e-12)):
        env = single(ticks=rising, features=("return_1",))
        env.reset(seed=1)
        rewards = [env.step(np.array([rung, TIMING_AGGRESSIVE]))[1] for _ in range(8)]
        assert all(low < reward < high for reward in rewards[3:]), rewards


def test_the_end_of_the_history_truncates_and_never_terminates():
    env = single()
    env.reset(seed=0)
    ends = []
    for _ in range(env.simulation.recording.decisions - 1):
        _, _, terminated, truncated, info = env.step(HOLD)
        ends.append((terminated, truncated))
    assert set(ends[:-1]) == {(False, False)} and ends[-1] == (False, True)
    assert info["ts_ns"] == TICKS["ts_ns"][-1]
    with pytest.raises(gym.error.ResetNeeded):
        env.step(HOLD)


def test_ruin_terminates_and_does_not_truncate():
    ticks = bars(120)
    crash = slice(100, None)
    for name in ("open", "high", "low", "price"):
        ticks[name][crash] = np.round(ticks[name][crash] * 0.4, 2)
    env = TradingEnvironment(ticks, PERPETUAL, ladder=(0.0, 2.0))
    env.reset(seed=0)
    terminated = truncated = False
    while not (terminated or truncated):
        _, reward, terminated, truncated, info = env.step(np.array([1, 2]))
    assert (terminated, truncated) == (True, False)
    assert info["equity"] <= 0.0 and reward == -1.0 and info["ts_ns"] < ticks["ts_ns"][-1]


@pytest.mark.parametrize("action", [[5, 0], [0, 3], [-1, 0], [0], 2])
def test_an_action_outside_the_space_is_refused(action):
    env = single()
    env.reset(seed=0)
    with pytest.raises(gym.error.InvalidAction):
        env.step(np.array(action))
    envs = vector(2)
    envs.reset(seed=0)
    with pytest.raises(gym.error.InvalidAction):
        envs.step(np.array([action, action]))


def test_a_step_before_a_reset_is_refused():
    with pytest.raises(gym.error.ResetNeeded):
        single().step(HOLD)
    with pytest.raises(gym.error.ResetNeeded):
        vector(2).step(np.tile(HOLD, (2, 1)))
    simulation = vector(1, episode_decisions=1).simulation
    simulation.reset(np.zeros(1, np.int64))
    simulation.step(HOLD.reshape(1, 2))
    with pytest.raises(InvariantError):
        simulation.step(HOLD.reshape(1, 2))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_on_as_the_original_does_and_leave_it_alone(copied):
    env = single(**RANDOM | {"episode_decisions": 100})
    play(env, 1, 20)
    twin = copied(env)
    actions = np.random.default_rng(0).integers(0, (5, 3), (70, 2))
    one = [env.step(action)[:2] for action in actions]
    two = [twin.step(action)[:2] for action in actions]
    assert all(same(list(a), list(b)) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("make", [single, lambda **options: vector(3, **options)])
def test_a_saved_state_goes_on_bit_for_bit_through_the_next_episodes(make):
    env, other = make(**RANDOM), make(**RANDOM)
    play(env, 1, 20)
    play(other, 2, 30)
    other.load_state(env.state())
    rng = np.random.default_rng(0)
    for _ in range(60):
        action = rng.integers(0, (5, 3), env.action_space.shape)
        one, two = env.step(action), other.step(action)
        assert same(list(one[:4]), list(two[:4]))
        if isinstance(env, TradingEnvironment) and one[3]:
            assert np.array_equal(env.reset()[0], other.reset()[0])


def decode_png(data: bytes) -> np.ndarray:
    """A transcription of the PNG standard for 8-bit RGB with unfiltered rows."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, body = 8, b""
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        name, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert zlib.crc32(name + content) == struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0]
        if name == b"IHDR":
            width, height = struct.unpack(">II", content[:8])
        body += content if name == b"IDAT" else b""
        at += 12 + length
    return np.frombuffer(zlib.decompress(body), np.uint8).reshape(height, -1)[:, 1:].reshape(height, width, 3)


def test_pictures_show_the_episode_and_their_file_is_the_array(tmp_path):
    env = single(render_mode="rgb_array")
    play(env, 0, 100)
    env.save_picture(tmp_path / "episode.png")
    picture = env.render()
    assert np.array_equal(decode_png((tmp_path / "episode.png").read_bytes()), picture)
    env.step(HOLD)
    assert not np.array_equal(env.render(), picture)
    frames = vector(2, render_mode="rgb_array")
    play(frames, 0, 10)
    one, two = frames.render()
    assert one.shape == two.shape == picture.shape and not np.array_equal(one, two)
    assert single().render() is None


def test_price_on_a_straight_way_up_is_drawn_from_the_lower_left_to_the_upper_right():
    ticks = bars(200, volatility=0.0, drift=0.001)
    env = TradingEnvironment(ticks, SPOT, render_mode="rgb_array")
    env.reset(seed=0)
    for _ in range(130):
        env.step(np.array([0, 0]))
    dark = (env.render()[:150] == 90).all(axis=2)
    heights = [np.flatnonzero(dark[:, x]).mean() for x in range(8, 632)]
    assert heights[0] > 140 and heights[-1] < 15 and np.all(np.diff(heights) <= 0)


def test_random_starts_reach_the_whole_history_and_leave_room_for_the_episode():
    envs = vector(512, random_start=True, episode_decisions=40)
    envs.reset(seed=0)
    starts = envs.simulation.lanes.lane["decision"]
    decisions = envs.simulation.recording.decisions
    assert starts.min() >= 0 and starts.max() <= decisions - 41
    assert len(np.unique(starts)) > 150 and starts.min() < 5 and starts.max() > decisions - 46
    lengths = envs.simulation.lanes.lane["last"] - starts
    assert set(lengths.tolist()) == {40}
    fixed = vector(4, episode_decisions=40)
    fixed.reset(seed=0)
    assert set(fixed.simulation.lanes.lane["decision"].tolist()) == {0}


def test_random_accounts_are_worth_start_cash_and_spread_over_the_ladder():
    envs = vector(512, random_account=True, random_start=True, episode_decisions=40, start_cash=5000.0)
    observations, infos = envs.reset(seed=0)
    assert infos["equity"] == pytest.approx(np.full(512, 5000.0))
    rungs, counts = np.unique(np.round(infos["exposure"], 3), return_counts=True)
    assert rungs == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0], abs=1e-3) and counts.min() > 60
    held = infos["exposure"] > 0.1
    result, age, target = observations[:, -6], observations[:, -5], observations[:, -2]
    assert target[held] == pytest.approx(infos["exposure"][held], abs=1e-2)
    assert (result[held] > 0.01).any() and (result[held] < -0.01).any() and np.all(result[~held] == 0.0)
    assert age[held].max() > 0.5 and np.all(age[~held] == 0.0)
    lanes = envs.simulation.lanes
    lots = lanes.exchange["position_lots"] * float(SPOT.lot_size)
    assert lots == pytest.approx(lanes.account["position"]) and np.all(infos["fees"] == 0.0)
    assert lanes.exchange["cash"] == pytest.approx(lanes.account["cash"])
    fixed, untouched = vector(4), np.zeros(4)
    observations, infos = fixed.reset(seed=0)
    assert np.array_equal(infos["exposure"], untouched) and np.array_equal(
        observations[:, DRAWDOWN], untouched
    )


def test_accounts_begin_in_drawdowns_up_to_the_one_told():
    envs = vector(
        512, random_account=True, most_drawdown=0.5, random_start=True, episode_decisions=40,
        start_cash=5000.0,
    )  # fmt: skip
    observations, infos = envs.reset(seed=0)
    fallen = 1.0 - 5000.0 / envs.simulation.lanes.account["peak_equity"]
    assert observations[:, DRAWDOWN] == pytest.approx(5.0 * fallen, abs=1e-5)
    assert fallen.min() < 0.01 and 0.45 < fallen.max() <= 0.51
    assert (fallen < 0.25).mean() == pytest.approx(0.5, abs=0.08)
    assert abs(np.corrcoef(fallen, infos["exposure"])[0, 1]) < 0.15
    with pytest.raises(ConfigError, match=r"most_drawdown is 1\.0: give a share from 0 to below 1"):
        vector(1, most_drawdown=1.0)


def test_costs_and_latencies_vary_between_episodes_as_told():
    envs = vector(256, fee_factors=(0.5, 3.0), latency_factors=(2.0, 8.0), episode_decisions=100)
    envs.reset(seed=0)
    lanes = envs.simulation.lanes
    half = np.tile(np.array([2, TIMING_AGGRESSIVE]), (256, 1))
    infos = envs.step(half)[4]
    share = infos["fees"] / lanes.account["traded_notional"] / float(SPOT.taker_fee)
    assert 0.5 <= share.min() < 0.6 and 2.9 < share.max() <= 3.0
    begun = envs.simulation.recording.shared.times_ns[0]
    delay_ms = (lanes.account["opened_ns"] - begun) / 1e6
    # Feed and submit latency: 50 ms on average and 25 ms to either side, before the factor.
    assert 50.0 <= delay_ms.min() < 150.0 and 350.0 < delay_ms.max() <= 600.0
    fixed = vector(8)
    fixed.reset(seed=0)
    assert np.all(fixed.simulation.lanes.exchange["taker_fee"] == float(SPOT.taker_fee))


def test_bought_out_at_any_fee_no_order_is_refused_for_want_of_cash():
    envs = vector(64, fee_factors=(0.0, 5.0))
    envs.reset(seed=0)
    infos = envs.step(np.tile(HOLD, (64, 1)))[4]
    assert np.all(infos["exposure"] > 0.98)


def test_what_spans_a_gap_is_marked():
    ticks = bars(300)
    ticks["flags"][200] = GAP
    env = single(ticks=ticks)
    env.reset(seed=0)
    marks = {info["ts_ns"]: info["tainted"] for info in (env.step(HOLD)[4] for _ in range(150))}
    assert [ts for ts, tainted in marks.items() if tainted] == [ticks["ts_ns"][200]]


def test_ticks_come_from_files_and_from_what_is_shipped(write_bars):
    env = TradingEnvironment(write_bars(200), episode_decisions=10)
    play(env, 0, 10)
    shipped = TradingEnvironment()
    assert shipped.simulation.recording.decisions > 20_000
    assert shipped.simulation.recording.instrument.symbol == "BTC/USD"
    assert TradingEnvironment().simulation.recording is shipped.simulation.recording


def test_trades_are_decided_on_in_time_or_by_count():
    ticks = trades(8000)
    timed = single(ticks=ticks, interval_ms=500)
    assert np.all(np.diff(timed.simulation.recording.shared.times_ns) >= 400_000_000)
    counted = single(ticks=ticks, decide_every="ticks", decision_ticks=7, interval_ms=500)
    assert set(np.diff(counted.simulation.recording.shared.rows).tolist()) == {7}


def test_options_reach_what_they_name():
    bridge = single(
        reward="sortino", reward_rate=0.1, drawdown_weight=0.2, turnover_weight=0.3, band_fraction=0.4,
        ladder=(0, 0.5), cost_reserve_fraction=0.01,
    ).simulation.bridge  # fmt: skip
    assert bridge.reward == "sortino" and bridge.ladder == (0.0, 0.5)
    assert (bridge.reward_rate, bridge.drawdown_weight, bridge.turnover_weight) == (0.1, 0.2, 0.3)
    assert (bridge.band_fraction, bridge.cost_reserve_fraction) == (0.4, 0.01)
    assert single(features=("return_1", "rsi_14")).observation_space.shape == (2 + 1 + 7,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsiode_decisions": 5}, "did you mean 'episode_decisions'"),
        ({"reward": "profit"}, "log_return"),
        ({"ladder": (0.0, -1.0)}, "must rise"),
        ({"ladder": (-1.0, 0.0)}, "cannot be sold short"),
        ({"episode_decisions": 0}, "1 or more"),
        ({"fee_factors": (2.0, 1.0)}, "low to high"),
        ({"start_cash": 0.0}, "above 0"),
        ({"band_fraction": -0.1}, "below 0"),
        ({"decide_every": "second"}, "auto, bar, ticks or time"),
        ({"render_mode": "human"}, "rgb_array"),
        ({"ticks": trades(100), "decide_every": "bar"}, "no bars"),
        ({"instrument": None}, "instrument"),
        ({"ticks": "somewhere.csv"}, "as an array alone"),
    ],
)
def test_mistakes_are_told_with_their_remedy(options, message):
    with pytest.raises(ConfigError, match=message):
        single(**options)


def test_history_that_is_missing_or_too_short_is_told(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.csv"):
        TradingEnvironment(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match="too few"):
        single(ticks=bars(20))


def test_gymnasiums_own_vectors_of_it_agree_with_ours():
    sync = SyncVectorEnv([lambda: single(**RANDOM)] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    ours = vector(2, **RANDOM)
    assert np.array_equal(sync.reset(seed=9)[0], ours.reset(seed=9)[0])
    for _ in range(39):
        actions = np.tile(HOLD, (2, 1))
        one, two = sync.step(actions), ours.step(actions)
        assert same(list(one[:4]), list(two[:4]))
        assert set(one[4]) == set(two[4])


def test_all_lanes_share_one_recording_and_never_change_it():
    simulation = make_simulation(TICKS, SPOT, EnvironmentOptions(random_account=True), 8)
    shared = simulation.recording.shared
    before = [array.tobytes() for array in shared]
    simulation.reset(np.arange(8))
    rng = np.random.default_rng(0)
    for _ in range(100):
        simulation.step(rng.integers(0, (5, 3), (8, 2)))
    assert [array.tobytes() for array in shared] == before
