"""A policy as training would leave it, made at once: what a session that is to trade starts with."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ztb.config import Config
from ztb.learning.service.initial_policy import CHECKPOINT_NAME
from ztb.market.instrument import Instrument
from ztb.runtime.build.assembly import assemble
from ztb.trading.policy.network import first_weights
from ztb.utils import CheckpointManager


def made_policy(folder: Path, config: Config, instrument: Instrument, seed: int = 0) -> str:
    """Saves weights for `config` in `folder`; what `--from-generation` is given to serve them."""
    assembly = assemble(config, instrument, None, seed)
    features = assembly.features()
    normaliser = assembly.normaliser(features.size)
    weights = first_weights(assembly.shape(normaliser.width), seed, assembly.strategy.network)
    state = {
        "weights": weights, "updater": None, "normaliser": normaliser.state(),
        "feature_schema": features.schema_hash,
    }  # fmt: skip
    asyncio.run(CheckpointManager(folder, 1).save_async(state, CHECKPOINT_NAME))
    return str(folder)
