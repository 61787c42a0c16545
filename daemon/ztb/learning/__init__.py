"""Learning from what was traded: updates, candidates and their gate, generations, and whether it helps."""

from __future__ import annotations

from ztb.lazy import attach

TYPE_CHECKING = False  # see ztb/__init__.py
if TYPE_CHECKING:
    from ztb.learning.alarms import Alarms
    from ztb.learning.benchmarks import BenchmarkComparison, BenchmarkTracker
    from ztb.learning.gate.candidate import Candidate, Verdict
    from ztb.learning.gate.gate import Gate
    from ztb.learning.generations import GenerationInfo, Lineage, ServedPolicy
    from ztb.learning.online import OnlineLearner, Transition
    from ztb.learning.settings import GateRules, OnlineConfig
    from ztb.learning.training import Training
    from ztb.learning.training_settings import PretrainSettings

__all__ = [
    "Alarms",
    "BenchmarkComparison",
    "BenchmarkTracker",
    "Candidate",
    "Gate",
    "GateRules",
    "GenerationInfo",
    "Lineage",
    "OnlineConfig",
    "OnlineLearner",
    "PretrainSettings",
    "ServedPolicy",
    "Training",
    "Transition",
    "Verdict",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "Alarms": "alarms",
        "BenchmarkTracker": "benchmarks",
        "Candidate": "gate.candidate",
        "BenchmarkComparison": "benchmarks",
        "Gate": "gate.gate",
        "GateRules": "settings",
        "GenerationInfo": "generations",
        "Lineage": "generations",
        "OnlineConfig": "settings",
        "OnlineLearner": "online",
        "PretrainSettings": "training_settings",
        "ServedPolicy": "generations",
        "Training": "training",
        "Transition": "online",
        "Verdict": "gate.candidate",
    },
)
