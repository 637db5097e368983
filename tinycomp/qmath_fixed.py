"""gemmlowp's fixed-point functions, in integers: exp, logistic, tanh, and what TFLite builds on them: reciprocals,
logarithms, inverse square roots.

A value in Qm.n is an int32 r that stands for r / 2^n, with m integer bits, a sign bit and n = 31 − m fractional bits.
Everything works on int64 arrays that hold int32 values. The functions evaluate the same polynomials and Newton steps,
rounded at the same places, as gemmlowp, since the references' bits depend on them; the constants are the Q0.31 or
Q2.29 values of the reals in the comments.

Source: gemmlowp, fixedpoint/fixedpoint.h. GetReciprocal, GetInvSqrtQuantizedMultiplierExp, the logarithm,
PreprocessSoftmaxScaling and CalculateInputRadius are in tensorflow/lite/kernels/internal/common.h and
quantization_util.cc.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tinycomp.qmath import (
    Int64,
    Multiplier,
    quantize_multiplier,
    requantize,
    round_half_away,
    rounding_doubling_high_mul,
    rounding_shift_right,
    wrap32,
)

INT32_MAX = 2**31 - 1
SOFTMAX_DIFF_BITS = 5  # exp's argument is Q5.26
SOFTMAX_SUM_BITS = 12  # the sum of exps is Q12.19
INPUT_BITS = 4  # logistic's and tanh's argument is Q4.27

_EXP_STEPS = (  # exp(−2^k) in Q0.31
    (-2, 1672461947), (-1, 1302514674), (0, 790015084), (1, 290630308), (2, 39332535), (3, 720401), (4, 242),
)  # fmt: skip


def saturating_shift_left(x: ArrayLike, exponent: int) -> Int64:
    """SaturatingRoundingMultiplyByPOT for a positive exponent: x · 2^exponent, saturated to int32."""
    value = np.asarray(x, np.int64)
    limit = (1 << (31 - exponent)) - 1
    shifted = wrap32(value << exponent)
    return np.where(value > limit, INT32_MAX, np.where(value < -limit, -INT32_MAX - 1, shifted))


def rounding_half_sum(a: ArrayLike, b: ArrayLike) -> Int64:
    """RoundingHalfSum: (a + b) / 2, halves away from zero."""
    total = np.asarray(a, np.int64) + np.asarray(b, np.int64)
    return np.where(total >= 0, (total + 1) >> 1, -((1 - total) >> 1))


def _exp_near_zero(a: Int64) -> Int64:
    """exp(a) for a in [−1/4, 0), both Q0.31: a Taylor polynomial of degree 4 around −1/8."""
    centre, third = 1895147668, 715827883  # exp(−1/8), 1/3
    x = a + (1 << 28)
    x2 = rounding_doubling_high_mul(x, x)
    x3, x4 = rounding_doubling_high_mul(x2, x), rounding_doubling_high_mul(x2, x2)
    cubic = rounding_doubling_high_mul(rounding_shift_right(x4, 2) + x3, third)  # x^3/3 + x^4/12
    return centre + rounding_doubling_high_mul(x + rounding_shift_right(cubic + x2, 1), centre)


def exp_on_negative_values(a: ArrayLike, integer_bits: int) -> Int64:
    """exp(a) in Q0.31 for a ≤ 0 with at most 5 integer bits. exp(0) is the largest int32."""
    value, fraction = np.asarray(a, np.int64), 31 - integer_bits
    quarter = 1 << (fraction - 2)
    near = (value & (quarter - 1)) - quarter  # in [−1/4, 0); what is left is a multiple of 1/4
    result, left = _exp_near_zero(saturating_shift_left(near, integer_bits)), wrap32(near - value)
    for exponent, factor in _EXP_STEPS:
        if integer_bits > exponent:
            there = (left & (1 << (fraction + exponent))) != 0
            result = np.where(there, rounding_doubling_high_mul(result, factor), result)
    return np.where(value == 0, INT32_MAX, result)


def _newton_reciprocal(a: Int64) -> Int64:
    """2 / (1 + a) in Q2.29 for a in [0, 1), Q0.31: three Newton-Raphson steps from 48/17 − 32/17 · (1 + a)/2."""
    half = rounding_half_sum(a, INT32_MAX)
    x = 1515870810 + rounding_doubling_high_mul(half, -1010580540)
    for _ in range(3):
        error = (1 << 29) - rounding_doubling_high_mul(half, x)
        x = wrap32(x + saturating_shift_left(rounding_doubling_high_mul(x, error), 2))
    return x


def one_over_one_plus_x(a: ArrayLike) -> Int64:
    """1 / (1 + a), both Q0.31, for a in [0, 1)."""
    return saturating_shift_left(_newton_reciprocal(np.asarray(a, np.int64)), 1)


def logistic(a: ArrayLike, integer_bits: int) -> Int64:
    """1 / (1 + exp(−a)) in Q0.31."""
    value = np.asarray(a, np.int64)
    upper = one_over_one_plus_x(exp_on_negative_values(-np.abs(value), integer_bits))
    return np.where(value == 0, 1 << 30, np.where(value > 0, upper, INT32_MAX - upper))


def tanh(a: ArrayLike, integer_bits: int) -> Int64:
    """tanh(a) in Q0.31: (1 − e) / (1 + e) with e = exp(−2·|a|). a has at most 4 integer bits."""
    value = np.asarray(a, np.int64)
    decay = exp_on_negative_values(-np.abs(value), integer_bits + 1)  # one integer bit more doubles the argument
    upper = saturating_shift_left(_newton_reciprocal(decay) - (1 << 29), 2)
    return np.where(value == 0, 0, np.where(value > 0, upper, -upper))


def leading_zeros(x: ArrayLike) -> Int64:
    """Of values in [0, 2^32) as 32 bits."""
    return 32 - np.frexp(np.asarray(x, np.float64))[1].astype(np.int64)  # a double holds an int32


class Reciprocal(NamedTuple):
    """1 / x as mantissa (Q0.31) · 2^−bits."""

    mantissa: Int64
    bits: Int64


def reciprocal(x: ArrayLike, integer_bits: int) -> Reciprocal:
    """GetReciprocal of x > 0 with that many integer bits: x is scaled into [1, 2) first."""
    value = np.asarray(x, np.int64)
    headroom = leading_zeros(value)
    return Reciprocal(one_over_one_plus_x((value << headroom) - (1 << 31)), integer_bits - headroom)


def input_radius(integer_bits: int, shift: int) -> int:
    """CalculateInputRadius: the largest |input| that, shifted left so far, keeps to the integer bits."""
    return (((1 << integer_bits) - 1) << (31 - integer_bits)) >> shift


def input_multiplier(scale: float, integer_bits: int = INPUT_BITS) -> Multiplier:
    """The factor from an input's integers to the argument of logistic and tanh."""
    fraction, shift = math.frexp(scale * (1 << (31 - integer_bits)))
    return Multiplier(round_half_away(fraction * (1 << 31)), shift)


def softmax_multiplier(scale: float, beta: float) -> Multiplier:
    """PreprocessSoftmaxScaling: the factor from differences of inputs to exp's argument, capped at 2^31 − 1."""
    return quantize_multiplier(min(beta * scale * (1 << (31 - SOFTMAX_DIFF_BITS)), INT32_MAX))


def softmax_exps(scale: float, beta: float) -> Int64:
    """exp(−d · scale · beta) in Q0.31 for d = 0, 1, …, at most 255; what is left out counts as zero."""
    m = softmax_multiplier(scale, beta)
    count = min(input_radius(SOFTMAX_DIFF_BITS, m.shift), 255) + 1
    exps = exp_on_negative_values(requantize(-np.arange(count), m.mantissa, m.shift), SOFTMAX_DIFF_BITS)
    return exps[: int(np.flatnonzero(exps)[-1]) + 1]


def softmax(diffs: ArrayLike, exps: Int64, output_bits: int) -> Int64:
    """Softmax along the last axis as unsigned integers, real · 2^output_bits, not yet clamped.

    diffs: how far each input lies below its row's largest, ≥ 0. exps: from `softmax_exps`.
    """
    table = np.concatenate([exps, np.zeros(256 - exps.size, np.int64)])
    terms = table[np.asarray(diffs, np.int64)]
    total = rounding_shift_right(terms, SOFTMAX_SUM_BITS).sum(axis=-1, keepdims=True)
    inverse = reciprocal(total, SOFTMAX_SUM_BITS)
    return rounding_shift_right(rounding_doubling_high_mul(inverse.mantissa, terms), inverse.bits + 31 - output_bits)


def logarithm(x: ArrayLike) -> Int64:
    """log(x) in Q5.26 for x ≥ 1 in Q12.19.

    x is brought near sqrt(sqrt(1/2)) by a power of two, or of two and the root of a half, where a rational function
    stands for the logarithm.
    """
    root, quarter_root = 1518500250, 1805811301  # sqrt(1/2), sqrt(sqrt(1/2)), Q0.31
    value, quarter = np.asarray(x, np.int64), np.int64(1 << 23)  # 1/4 in Q6.25
    below = rounding_doubling_high_mul(value, root)
    headroom, headroom_below = leading_zeros(value), leading_zeros(below) - 1
    scaled = rounding_doubling_high_mul(value << (headroom - 1), root)
    near = np.minimum(saturating_shift_left(scaled, 1), np.minimum(value << headroom_below, INT32_MAX))
    power = np.maximum(((SOFTMAX_SUM_BITS - headroom) << 25) + quarter,
                       ((SOFTMAX_SUM_BITS - headroom_below) << 25) - quarter)  # fmt: skip
    fraction = _log_near(near, quarter_root)
    return saturating_shift_left(rounding_doubling_high_mul(power, 1488522236) + fraction, 1)  # log(2)


def _log_near(r: Int64, centre: int) -> Int64:
    """log of r, Q0.31, less that of the centre, in Q6.25."""
    mul = rounding_doubling_high_mul
    p, q = rounding_half_sum(r, centre), 2 * (r - centre)
    square = mul(q, q)
    above = mul(q, r) + mul(mul(q, square), 117049297)  # 11/240 · sqrt(sqrt(2))
    # 2 / sqrt(sqrt(2)) − sqrt(sqrt(2)), 1/20 and 1/4 of sqrt(sqrt(2))
    below = mul(p, 1057819769 + q + mul(square, 127690142)) + mul(q, 638450708)
    return mul(rounding_shift_right(above, 6), one_over_one_plus_x(below))


class InverseRoot(NamedTuple):
    """1 / sqrt(x) as mantissa · 2^(shift − 31)."""

    mantissa: Int64
    shift: Int64


def inverse_root(x: ArrayLike) -> InverseRoot:
    """GetInvSqrtQuantizedMultiplierExp of an int32 ≥ 0: five Newton steps from 1. 0 counts as 1."""
    value = np.maximum(np.asarray(x, np.int64), 1)
    divided = np.maximum(0, (32 - leading_zeros(value) - 28) // 2)  # by 4, until it is below 2^29
    inside = value >> 2 * divided
    pairs = (leading_zeros(inside) - 1) // 2 - 1
    right = 11 + divided - pairs
    a = (inside << 2 * pairs) >> 1  # [1/4, 1) in Q3.28
    half, y = (a + 1) >> 1, np.full_like(a, 1 << 28)
    mul = rounding_doubling_high_mul
    for _ in range(5):
        cube = saturating_shift_left(mul(mul(y, y), y), 6)
        y = saturating_shift_left(mul(3 << 27, y) - mul(half, cube), 3)
    mantissa = mul(y, 1518500250) << np.maximum(-right, 0)  # sqrt(1/2)
    one = value == 1
    return InverseRoot(np.where(one, INT32_MAX, mantissa), np.where(one, 0, np.minimum(-right, 0)))
