"""A storm: fault upon fault, drawn from a seed."""

from __future__ import annotations

import asyncio

import numpy as np

from chaos.faults import FAULTS
from chaos.stage import Stage

_SOONEST_S, _LATEST_S = 0.5, 8.0


async def storm(it: Stage, rng: np.random.Generator, seconds: float) -> None:
    """Faults for so long, one every few seconds."""
    end_s = it.loop.time() + seconds
    while it.loop.time() < end_s:
        FAULTS[str(rng.choice(list(FAULTS)))](it, rng)
        await asyncio.sleep(float(rng.uniform(_SOONEST_S, _LATEST_S)))
