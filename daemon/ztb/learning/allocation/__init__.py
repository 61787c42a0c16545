"""Allocation of the account's capital among experts, by evidence that forgets."""

from ztb.learning.allocation.allocator import Allocator, Expert
from ztb.learning.allocation.evidence import GrowthEvidence
from ztb.learning.allocation.experts import Experts, name_of, pursuit_band, shares_of_prior

__all__ = [
    "Allocator",
    "Expert",
    "Experts",
    "GrowthEvidence",
    "name_of",
    "pursuit_band",
    "shares_of_prior",
]
