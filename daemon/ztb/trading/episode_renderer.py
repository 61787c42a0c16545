"""Pictures of an episode, drawn into arrays: price, equity against holding, exposure. No font, no dependency."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from ztb.trading.bridge import FACT_EQUITY, FACT_EXPOSURE, FACT_MID
from ztb.trading.simulation import Simulation

WIDTH, HEIGHT = 640, 400
Picture = NDArray[np.uint8]
"""(HEIGHT, WIDTH, 3), red, green, blue."""

_PAPER, _FRAME = (255, 255, 255), (200, 200, 200)
_PRICE, _EQUITY, _HOLD, _LONG, _SHORT = (
    (90, 90, 90),
    (31, 119, 180),
    (190, 190, 190),
    (44, 160, 44),
    (214, 39, 40),
)
_PANELS = ((8, 148), (156, 296), (304, 392))
_MARGIN = 8


class EpisodeRenderer:
    """The course of an episode: mid, equity and exposure at each of its decisions."""

    def __init__(self) -> None:
        self._points: list[tuple[float, float, float]] = []

    def clear(self) -> None:
        self._points.clear()

    def add(self, simulation: Simulation, lane: int) -> None:
        """The present decision of `lane`."""
        facts = simulation.lanes.facts[lane]
        self._points.append((float(facts[FACT_MID]), float(facts[FACT_EQUITY]), float(facts[FACT_EXPOSURE])))

    def draw(self) -> Picture:
        """Price above; equity, and grey what holding from the start would be worth; exposure below, red if short."""
        picture = np.full((HEIGHT, WIDTH, 3), _PAPER, np.uint8)
        for top, bottom in _PANELS:
            picture[[top, bottom], _MARGIN : WIDTH - _MARGIN] = _FRAME
        if not self._points:
            return picture
        mid, equity, exposure = np.array(self._points).T[:, _columns(len(self._points))]
        hold = equity[0] * mid / mid[0]
        _line(picture=picture, panel=_PANELS[0], colour=_PRICE, values=mid, scale=mid)
        _line(
            picture=picture, panel=_PANELS[1], colour=_HOLD, values=hold, scale=np.concatenate([hold, equity])
        )
        _line(
            picture=picture,
            panel=_PANELS[1],
            colour=_EQUITY,
            values=equity,
            scale=np.concatenate([hold, equity]),
        )
        _bars(picture, _PANELS[2], exposure)
        return picture


def _columns(n: int) -> NDArray[np.int64]:
    """Indices of the `n` points that each column of a panel shows."""
    return np.arange(WIDTH - 2 * _MARGIN) * n // (WIDTH - 2 * _MARGIN)


def _height(
    panel: tuple[int, int], values: NDArray[np.float64], low: float, high: float
) -> NDArray[np.int64]:
    """Pixel rows of `values` in a panel that reaches from `low` to `high`."""
    top, bottom = panel
    share = (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
    return (bottom - 1 - np.round(share * (bottom - top - 2))).astype(np.int64)


def _line(
    picture: Picture,
    panel: tuple[int, int],
    colour: tuple[int, int, int],
    values: NDArray[np.float64],
    scale: NDArray[np.float64],
) -> None:
    """A curve, each column joined to the one before; `scale` holds all that the panel must show."""
    rows = _height(panel, values, float(scale.min()), float(scale.max()))
    before = np.concatenate([rows[:1], rows[:-1]])
    for x, (low, high) in enumerate(zip(np.minimum(rows, before), np.maximum(rows, before), strict=True)):
        picture[low : high + 1, _MARGIN + x] = colour


def _bars(picture: Picture, panel: tuple[int, int], exposure: NDArray[np.float64]) -> None:
    """Exposure from its zero line, which lies at the bottom where nothing is short."""
    low, high = min(0.0, float(exposure.min())), max(1.0, float(exposure.max()))
    rows, zero = _height(panel, exposure, low, high), int(_height(panel, np.zeros(1), low, high)[0])
    for x, row in enumerate(rows):
        colour = _LONG if row <= zero else _SHORT
        picture[min(row, zero) : max(row, zero) + 1, _MARGIN + x] = colour


def png(picture: Picture) -> bytes:
    """`picture` as a PNG file (ISO/IEC 15948): 8 bits a colour, unfiltered rows.

    Three chunks of bytes: Pillow would be a dependency of every installation for them.
    """
    height, width, _ = picture.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), picture.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
