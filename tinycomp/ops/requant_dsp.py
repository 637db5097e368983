"""Requantization on cores with the DSP extension: two instructions where a ReLU allows, four otherwise, and exact.

The reference rounds acc · m / 2^31 to an integer, halves up, and that by 2^r once more, halves away from zero (see
`qmath.requantize`; r is minus the shift). For acc ≥ 0 the two roundings are one floor,

    floor((acc · m + 2^30 + 2^(30 + r)) / 2^(31 + r)),

and for acc < 0 neither form gives more than 0. Where the fused clamp cuts everything below the zero point anyway, the
one floor is therefore exact everywhere. SMMLA and SSAT with its shift compute it:

    t = high word of (acc << left) · mantissa, plus offset        one SMMLA
    q = t >> right, saturated to int8                             one SSAT

`right` may be common to all channels: what a channel's own shift lacks is then in its `left`, which weights that are
stored in 16 bits can carry. Everything that is added, the zero point too, is in `offset`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinycomp import qmath
from tinycomp.ir import Array
from tinycomp.ops.requant import Multipliers

LIMIT = 2**31
PREFERRED = 10  # a right shift that most layers can have, so that they can share code
HIGHEST = 22  # above it 128 << right and half an accumulator do not add up to an int32


class OneFloor(NamedTuple):
    """q = saturate8((high32((acc << left) · mantissa) + offset) >> right), all int64 [channels]."""

    left: qmath.Int64
    mantissa: qmath.Int64
    offset: qmath.Int64
    right: qmath.Int64

    @property
    def common(self) -> int | None:
        """The right shift of every channel, 1 or more, None where they differ."""
        return int(self.right[0]) if bool((self.right == self.right[0]).all()) else None


class TwoRoundings(NamedTuple):
    """h = high32((acc << 1) · mantissa + 2^31); q = saturate8((h − (h < 0) + offset) >> right), all int64 [channels].

    SMMULR computes h. SMMLAR may add the offset at once, if the sign is then taken from acc.
    """

    mantissa: qmath.Int64
    offset: qmath.Int64
    right: qmath.Int64


def accumulator_bounds(bias: Array, weights: Array) -> qmath.Int64:
    """The largest |accumulator| of each output channel (the first axis), in whichever order it is summed."""
    sums = np.abs(weights.astype(np.int64)).reshape(weights.shape[0], -1).sum(axis=1)
    return np.abs(bias.astype(np.int64)) + 128 * sums


def one_floor(multipliers: Multipliers, bounds: qmath.Int64, out_zero: int, low: int, *, once: bool = False,
              most_left: qmath.Int64 | int = 31) -> OneFloor | None:  # fmt: skip
    """The constants of the two-instruction form, None where it is not proven exact.

    bounds: see accumulator_bounds. low: the fused clamp's lower end; the output's range is int8. once: the reference
    rounds only once (LiteRT's dense layers), which needs no clamp. most_left: the largest left shift of each channel
    that the caller can store, at most 31. One right shift for all channels if there can be one, else the least of each.
    """
    r = -multipliers.shift
    twice = (r >= 1) & (not once)
    if bool(twice.any()) and low < out_zero:
        return None
    least = np.maximum(r + np.where(twice, 1, 0), 1)
    shared = np.full_like(least, least.max(initial=1))
    for right in (np.maximum(shared, PREFERRED), shared, least):
        # right = r + left − 1; the first rounding's half is 2^(left − 2), so there left is at least 2
        left = np.clip(right + 1 - r, 0, 31)
        offset = np.where(twice, np.int64(1) << np.maximum(left - 2, 0), 0) + (1 << right >> 1) + (out_zero << right)
        highest = np.abs(offset) + (bounds << left >> 1)  # a mantissa is below 2^31: half of acc << left
        fits = (bounds << left < LIMIT) & (right + 1 - r <= most_left) & (highest < LIMIT) & (right <= HIGHEST)
        if bool(fits.all()):
            return OneFloor(left, multipliers.mantissa, offset, right)
    return None


def two_roundings(multipliers: Multipliers, bounds: qmath.Int64, out_zero: int) -> TwoRoundings | None:
    """The constants of the form for any clamp; None where some shift is to the left or an accumulator is too wide."""
    right = -multipliers.shift
    offset = (np.int64(1) << np.maximum(right, 1) >> 1) + (out_zero << np.maximum(right, 0))
    fits = (bounds < LIMIT // 2) & (np.abs(offset) + bounds < LIMIT) & (right >= 1) & (right <= HIGHEST)
    return TwoRoundings(multipliers.mantissa, offset, right) if bool(fits.all()) else None
