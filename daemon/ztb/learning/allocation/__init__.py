"""How the account's capital is shared among experts, by evidence that forgets."""

from ztb.learning.allocation.allocator import Allocator, AllocatorConfig, Expert
from ztb.learning.allocation.evidence import GrowthEvidence
from ztb.learning.allocation.experts import Experts, ExpertsConfig, name_of

__all__ = ["Allocator", "AllocatorConfig", "Expert", "Experts", "ExpertsConfig", "GrowthEvidence", "name_of"]
