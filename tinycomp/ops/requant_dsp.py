"""Requantization on cores with the DSP extension: two instructions where a ReLU allows, four otherwise, and exact.

The reference rounds acc · m / 2^31 to an integer, halves up, and that by 2^r once more, halves away from zero (see
`qmath.requantize`; r is minus the shift). For acc ≥ 0 the two roundings are one floor,

    floor((acc · m + 2^30 + 2^(30 + r)) / 2^(31 + r)),

and for acc < 0 neither form gives more than 0. Where the fused clamp cuts everything below the zero point anyway, the
one floor is therefore exact everywhere. SMMLA and SSAT with its shift compute it:

    t = high word of (acc << left) · mantissa, plus offset        one SMMLA
    q = t >> right, saturated to int8                             one SSAT

with `right` common to all channels; what a channel's own shift lacks is in its `left`, which weights that are stored in
16 bits may carry. Everything that is added, the zero point too, is in `offset`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinycomp import qmath
from tinycomp.ir import Array
from tinycomp.ops.requant import Multipliers

INT32_LIMIT = 2**31


class OneFloor(NamedTuple):
    """q = saturate8((high32((acc << left) · mantissa) + offset) >> right).

    left, mantissa, offset: int64 [channels]. right: 1 to 22, the same for all.
    """

    left: qmath.Int64
    mantissa: qmath.Int64
    offset: qmath.Int64
    right: int


class TwoRoundings(NamedTuple):
    """t = rounded high32((acc << 1) · mantissa) + offset; q = saturate8((t − (acc < 0)) >> right).

    Rounded: 2^31 is added to the product first, as SMMLAR does. All int64 [channels]; right is 1 or more.
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
    that the caller can store.
    """
    r = -multipliers.shift
    twice = (r >= 1) & (not once)
    if bool(twice.any()) and low < out_zero:
        return None
    # right = r + left − 1, and an addend of 2^(left − 2) needs left ≥ 2 where there are two roundings
    right = max(1, int((r + np.where(twice, 1, 0)).max(initial=1)))
    left = right + 1 - r
    fits = (bounds << np.minimum(left, 40)) < INT32_LIMIT
    offset = np.where(twice, np.int64(1) << np.maximum(left - 2, 0), 0) + (1 << right >> 1) + (out_zero << right)
    highest = np.abs(offset) + (bounds << np.minimum(left, 40) >> 1)  # a mantissa is below 2^31: half of acc << left
    if right > 22 or not bool((fits & (left <= most_left) & (highest < INT32_LIMIT)).all()):
        return None
    return OneFloor(left, multipliers.mantissa, offset, right)


def two_roundings(multipliers: Multipliers, bounds: qmath.Int64, out_zero: int) -> TwoRoundings | None:
    """The constants of the four-instruction form, for any clamp; None where a shift is to the left or acc is too wide."""
    right = -multipliers.shift
    offset = (np.int64(1) << np.maximum(right, 1) >> 1) + (out_zero << np.maximum(right, 0))
    fits = (bounds < INT32_LIMIT // 2) & (np.abs(offset) + bounds < INT32_LIMIT)
    if not bool((fits & (right >= 1) & (right <= 31)).all()):
        return None
    return TwoRoundings(multipliers.mantissa, offset, right)
