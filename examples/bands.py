"""How loud a signal is in each band of frequencies, as app/bands.c computes it on the board: equal integers.

Goertzel's algorithm: a resonator for each band, run over blocks of 64 samples, whose powers add up to a frame's.
G. Goertzel, An Algorithm for the Evaluation of Finite Trigonometric Series, 1958.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 8_000  # samples a second
FRAME = 256
BLOCK = 64
BANDS = 24
# Hz, closer together where the ear is finer: equal steps on the mel scale from 125 to 3,700 Hz.
_MELS = np.linspace(np.log1p(125 / 700), np.log1p(3_700 / 700), BANDS)
FREQUENCIES = 700 * np.expm1(_MELS)
# 2 cos(w) with 14 bits after the point: the table in app/bands.c.
COEFFICIENTS = np.round(2 * np.cos(2 * np.pi * FREQUENCIES / RATE) * (1 << 14)).astype(np.int64)


def to_samples(signal: NDArray[np.float64], one: int) -> NDArray[np.int16]:
    """A signal as the sensor gives it, where 1 is that many of its steps."""
    return np.clip(np.round(one * signal), -32_768, 32_767).astype(np.int16)


def levels(samples: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Levels uint8 [frames, BANDS] of samples int16 [frames · FRAME]: four times the binary logarithm of the power."""
    blocks = (samples.astype(np.int64) >> 3).reshape(-1, BLOCK)
    before = now = np.zeros((len(blocks), BANDS), np.int64)
    for t in range(BLOCK):
        before, now = now, blocks[:, t, None] + ((COEFFICIENTS * now) >> 14) - before
    power = now * now + before * before - ((COEFFICIENTS * now) >> 14) * before
    return logarithm(power.reshape(-1, FRAME // BLOCK, BANDS).sum(axis=1) >> 4)


def logarithm(power: NDArray[np.int64]) -> NDArray[np.uint8]:
    """4 · log2 of numbers below 2**62, rounded down on a straight line between powers of two; 0 below 2."""
    found = np.zeros(power.shape, np.int64)
    for bit in range(1, 62):
        above = power >> bit
        quarter = (power >> (bit - 2) if bit > 1 else power << 1) & 3
        found = np.where(above > 0, 4 * bit + quarter, found)
    return np.minimum(found, 255).astype(np.uint8)
