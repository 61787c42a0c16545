"""Strategies, the bridge from their actions to orders, simulated accounts, environments and PPO."""

from __future__ import annotations

from ztb.lazy import attach

TYPE_CHECKING = False  # see ztb/__init__.py
if TYPE_CHECKING:
    from ztb.trading.bridge import TradingBridge
    from ztb.trading.decision_clock import DecisionClock
    from ztb.trading.environment import TradingEnvironment, VectorTradingEnvironment
    from ztb.trading.policy.weights import NetworkShape, Weights
    from ztb.trading.ppo.config import PPOConfig
    from ztb.trading.ppo_trainer import PPOTrainer
    from ztb.trading.recording import Recording, record
    from ztb.trading.rewards import RewardKind
    from ztb.trading.settings import BridgeConfig, DecisionConfig
    from ztb.trading.simulation import Simulation
    from ztb.trading.strategy import Action, Moment, Strategy, StrategyContext

__all__ = [
    "Action",
    "BridgeConfig",
    "DecisionClock",
    "DecisionConfig",
    "Moment",
    "NetworkShape",
    "PPOConfig",
    "PPOTrainer",
    "Recording",
    "RewardKind",
    "Simulation",
    "Strategy",
    "StrategyContext",
    "TradingBridge",
    "TradingEnvironment",
    "VectorTradingEnvironment",
    "Weights",
    "record",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "Action": "strategy",
        "BridgeConfig": "settings",
        "DecisionClock": "decision_clock",
        "DecisionConfig": "settings",
        "Moment": "strategy",
        "NetworkShape": "policy.weights",
        "PPOConfig": "ppo.config",
        "PPOTrainer": "ppo_trainer",
        "Recording": "recording",
        "RewardKind": "rewards",
        "Simulation": "simulation",
        "Strategy": "strategy",
        "StrategyContext": "strategy",
        "TradingBridge": "bridge",
        "TradingEnvironment": "environment",
        "VectorTradingEnvironment": "environment",
        "Weights": "policy.weights",
        "record": "recording",
    },
)
