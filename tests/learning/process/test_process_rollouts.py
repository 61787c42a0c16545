"""A learner process rolls out over what an inline one would, and one that takes over goes on to the bit."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from learning.process_support import Clock, nothing_left, until
from learning.test_window import FEATURES, views_of, whole
from trading.markets import HOUR_NS, SPOT, bars
from ztb.execution.paper_config import PaperConfig
from ztb.learning.online import OnlineLearner, Transition
from ztb.learning.process.messages import Completed
from ztb.learning.process.settings import Care, LearnerSettings
from ztb.learning.process.supervisor import LearnerProcess
from ztb.learning.process.worker import first_state
from ztb.learning.recent import AccountState, RecentConfig, RecentRollouts
from ztb.learning.settings import OnlineConfig
from ztb.trading.bridge import FACT_EQUITY
from ztb.trading.decision_clock import Every
from ztb.trading.observation import ACCOUNT_SIZE
from ztb.trading.policy.weights import NetworkShape, initial_weights
from ztb.trading.ppo.config import PPOConfig
from ztb.trading.settings import BridgeConfig

EVERY, UPDATES = 16, 8
LADDER = (0.0, 0.5, 1.0)
SHAPE = NetworkShape(len(FEATURES) + ACCOUNT_SIZE, (len(LADDER), 3), (8,))
RECENT = RecentConfig(SPOT, HOUR_NS, len(FEATURES), BridgeConfig(LADDER), PaperConfig(), 1000.0)
ONLINE = OnlineConfig(
    update_every_decisions=EVERY, window_decisions=40, rollout_lanes=6, rollout_horizon_decisions=8
)
SETTINGS = LearnerSettings(
    shape=SHAPE,
    ppo=PPOConfig(minibatch_size=16, epochs=2, anneal_learning_rate=False),
    online=ONLINE,
    updates_per_generation=1,
    seed=5,
    recent=RECENT,
)
WEIGHTS = initial_weights(SHAPE, 1)
KNOWN = whole(bars(300), Every.BAR, HOUR_NS)


def completed(decision: int) -> Completed:
    """The transition that `decision` completes, made up, but for what was seen."""
    rng = np.random.default_rng(decision)
    seen = np.concatenate([KNOWN.shared.features[decision - 1], rng.random(ACCOUNT_SIZE).astype(np.float32)])
    actions = int(rng.integers(3)), int(rng.integers(3))
    one = Transition(
        seen,
        actions,
        -2.1,
        float(rng.normal()),
        float(rng.normal(0, 0.01)),
        0,
        decision % 11 == 0,
        1e4 - decision,
    )
    return Completed(one, float(rng.normal()), 0, decision, int(KNOWN.shared.times_ns[decision]))


def happen(first: int, last: int, tell) -> None:
    """Decisions [first, last) with their ticks, told as the engine does: `tell(decision, ticks, view)`."""
    shared, view = KNOWN.shared, views_of(KNOWN)[0]
    for k in range(first, last):
        if k:
            view.view(np.uint8)[: shared.markets.shape[1]] = shared.markets[k - 1]
        tell(k, shared.ticks[shared.rows[k] : shared.rows[k] + 1], view)


@pytest.fixture(scope="module")
def inline():
    """Figures and states of each update of a learner in this process."""
    from ztb.trading.ppo.update import PPOUpdater

    recent = RecentRollouts(SHAPE, RECENT, ONLINE, SETTINGS.seed)
    learner = OnlineLearner(PPOUpdater(SHAPE, SETTINGS.ppo, WEIGHTS, SETTINGS.seed), ONLINE, 1, recent)
    found = {}

    def tell(k, ticks, view):
        recent.window.add(ticks, view)
        recent.window.decide(KNOWN.shared.features[k], False)
        if k:
            one = completed(k)
            updated = learner.add(one.transition, one.next_value, one.serving)
            if updated is not None:
                found[updated.update] = updated.stats, learner.updater.state()

    happen(0, UPDATES * EVERY + 1, tell)
    assert sorted(found) == list(range(1, UPDATES + 1))
    return found


def test_accounts_that_are_rolled_out_are_worth_the_own_one_and_in_drawdowns_around_its_own():
    """Of 5 % of 700 left 40 lanes know up to 12 %; with no drawdown yet, a little; who is ruined begins anew."""
    recent = RecentRollouts(SHAPE, RECENT, replace(ONLINE, rollout_lanes=40, reward_scale=1.0), 5)

    def tell(k, ticks, view):
        recent.window.add(ticks, view)
        recent.window.decide(KNOWN.shared.features[k], False)

    happen(0, 30, tell)
    recent.advance()

    def accounts(account: AccountState) -> tuple[float, float, float]:
        collector = recent.collector(WEIGHTS, account)
        assert collector is not None
        lanes = collector.environments.simulation.lanes
        worth = lanes.facts[:, FACT_EQUITY]
        assert worth == pytest.approx(worth[0])
        fallen = 1.0 - worth / lanes.account["peak_equity"]
        return float(worth[0]), float(fallen.min()), float(fallen.max())

    for account, worth, most in (
        (AccountState(700.0, 0.05), 700.0, 0.12), (AccountState(1300.0, 0.0), 1300.0, 0.02), (AccountState(0.0, 1.0), 1000.0, 0.9)
    ):  # fmt: skip
        found = accounts(account)
        assert found[0] == pytest.approx(worth)
        assert (
            found[1] < 0.25 * most and 0.75 * most < found[2] <= most + 0.06
        )  # positions may have lost since


class Watched:
    """A learner process with all that was heard of it."""

    def __init__(self) -> None:
        care = Care(backoff_first_s=0.01, nice=0)
        self.process = LearnerProcess(SETTINGS, first_state(None, WEIGHTS), care, Clock())
        self.stats: dict[int, object] = {}
        self.states: dict[int, dict[str, object]] = {}

    def push(self, first: int, last: int) -> None:
        def tell(k, ticks, view):
            self.process.feed.ticks(ticks, view)
            self.process.feed.decided(k, KNOWN.shared.features[k], False)
            if k:
                self.process.push(completed(k))

        happen(first, last, tell)

    def wait(self, updates: int) -> None:
        def done() -> bool:
            list(self.process.watch())
            for report in self.process.reports():
                self.stats[report.update] = report.stats
                state = self.process.candidate(report.candidate)
                if state is not None:
                    self.states[report.update] = state["updater"]
            return len(self.stats) >= updates

        until(done)


@pytest.fixture
def learner():
    with nothing_left():
        watched = Watched()
        yield watched
        watched.process.close()
        del watched


def check(watched: Watched, inline) -> None:
    assert {update: stats for update, (stats, _) in inline.items()} == watched.stats
    assert max(watched.states) == UPDATES
    for update, state in watched.states.items():
        assert state["generator"] == inline[update][1]["generator"]
        for name, array in inline[update][1]["weights"].items():
            assert np.array_equal(state["weights"][name], array)


def test_it_learns_what_an_inline_learner_learns(learner, inline):
    learner.push(0, 4 * EVERY + 1)
    learner.wait(4)
    learner.push(4 * EVERY + 1, UPDATES * EVERY + 1)
    learner.wait(UPDATES)
    check(learner, inline)
    assert learner.process.feed.dropped == 0


def test_killed_again_and_again_it_goes_on_to_the_bit(learner, inline):
    """The window, long rolled over, and the generator of the rollouts among what goes on."""
    for first, last in ((0, 3), (3, 6)):
        learner.push(first * EVERY + (first > 0), last * EVERY - 5)
        learner.wait(last - 1)
        os.kill(learner.process.pid, signal.SIGKILL)
        learner.push(last * EVERY - 5, last * EVERY + 1)
    learner.wait(6)
    learner.push(6 * EVERY + 1, UPDATES * EVERY + 1)
    learner.wait(UPDATES)
    assert learner.process.counts.deaths == 2 and learner.process.feed.dropped == 0
    check(learner, inline)


def test_own_transitions_are_a_part_of_what_is_learnt_from(inline):
    """Without them, and with more of them, other weights come out."""
    from ztb.trading.ppo.update import PPOUpdater

    results = set()
    for share in (0.0, 0.1, 0.2):
        online = replace(ONLINE, own_share=share)
        recent = RecentRollouts(SHAPE, RECENT, online, SETTINGS.seed)
        learner = OnlineLearner(PPOUpdater(SHAPE, SETTINGS.ppo, WEIGHTS, SETTINGS.seed), online, 1, recent)

        def tell(k, ticks, view, learner=learner, recent=recent):
            recent.window.add(ticks, view)
            recent.window.decide(KNOWN.shared.features[k], False)
            if k:
                learner.add(completed(k).transition, 0.0, 0)

        happen(0, EVERY + 1, tell)
        results.add(learner.updater.weights()["trunk.0.weight"].tobytes())
    assert len(results) == 3
