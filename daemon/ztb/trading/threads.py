"""How many cores torch takes."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def single_threaded() -> Generator[None]:
    """One torch thread inside: sums in one order, and no stolen cores. Small networks are slower on two."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
