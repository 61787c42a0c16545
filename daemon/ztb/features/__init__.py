"""Features of the market, as the policy sees them: kernels, registry, normaliser."""

from __future__ import annotations

from ztb.features.featureset import FeatureSet
from ztb.features.forecast import OnlineForecast
from ztb.features.normaliser import Normaliser, apply_moments, update_moments
from ztb.features.registry import SHIPPED, Feature, reference
from ztb.features.schema import differing
from ztb.features.user import UserFeature

__all__ = [
    "SHIPPED",
    "Feature",
    "FeatureSet",
    "Normaliser",
    "OnlineForecast",
    "UserFeature",
    "apply_moments",
    "differing",
    "reference",
    "update_moments",
]
