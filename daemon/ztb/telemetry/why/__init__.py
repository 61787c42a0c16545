"""The explanation of a decision: all that led to it and came of it, and its recomputation from disk."""

from ztb.telemetry.why.explanation import Explanation, explain
from ztb.telemetry.why.recomputation import Recomputation

__all__ = ["Explanation", "Recomputation", "explain"]
