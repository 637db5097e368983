"""TFLite's integer arithmetic, in integers.

Everything here works on int64 arrays that hold int32 values and never passes through float64: requantizing through
doubles is off by one at, for example, acc = 2^30 + 1, multiplier = 2^31 − 1. Only the multipliers themselves are
derived from real scales, exactly as the reference derives them.

Sources: tensorflow/lite/kernels/internal/common.h (MultiplyByQuantizedMultiplier), quantization_util.cc
(QuantizeMultiplier), kernels/kernel_util.cc (CalculateActivationRangeQuantized).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Int64 = NDArray[np.int64]

INT_RANGE: dict[str, tuple[int, int]] = {
    "int4": (-8, 7), "int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767),
    "int32": (-(2**31), 2**31 - 1),
}  # fmt: skip


class Multiplier(NamedTuple):
    """A positive real as mantissa · 2^(shift − 31), the mantissa in [2^30, 2^31) or zero."""

    mantissa: int
    shift: int


def quantize_multiplier(real: float) -> Multiplier:
    """The fixed-point form of a real multiplier. Rounds half away from zero, flushes below 2^-32 to zero."""
    if real == 0.0:
        return Multiplier(0, 0)
    fraction, shift = math.frexp(real)
    mantissa = round_half_away(fraction * (1 << 31))
    if mantissa == 1 << 31:
        mantissa, shift = mantissa // 2, shift + 1
    if shift < -31:
        return Multiplier(0, 0)
    return Multiplier(mantissa, shift)


def round_half_away(x: float) -> int:
    """std::round: to the nearest integer, halves away from zero."""
    return math.floor(abs(x) + 0.5) * (1 if x >= 0 else -1)


def wrap32(x: ArrayLike) -> Int64:
    """Two's complement int32 of each value, as int64."""
    return (np.asarray(x, np.int64) + 2**31 & 0xFFFFFFFF) - 2**31


def rounding_doubling_high_mul(a: ArrayLike, b: ArrayLike) -> Int64:
    """SaturatingRoundingDoublingHighMul: (2·a·b) >> 32, rounded to nearest.

    The nudge and truncating division of the source equal a floor shift: (a·b + 2^30) >> 31.
    """
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    return np.minimum((product + (1 << 30)) >> 31, 2**31 - 1)


def rounding_shift_right(x: ArrayLike, exponent: ArrayLike) -> Int64:
    """RoundingDivideByPOT: x / 2^exponent, halves away from zero."""
    value, exponent = np.asarray(x, np.int64), np.asarray(exponent, np.int64)
    mask = (np.int64(1) << exponent) - 1
    threshold = (mask >> 1) + (value < 0)
    return (value >> exponent) + ((value & mask) > threshold)


def requantize(acc: ArrayLike, mantissa: ArrayLike, shift: ArrayLike) -> Int64:
    """MultiplyByQuantizedMultiplier: rounded at the high product and again at the shift.

    acc, mantissa and shift broadcast; the result is int32 in int64.
    """
    shift = np.asarray(shift, np.int64)
    shifted = wrap32(np.asarray(acc, np.int64) << np.maximum(shift, 0))
    return rounding_shift_right(rounding_doubling_high_mul(shifted, mantissa), np.maximum(-shift, 0))


def requantize_once(acc: ArrayLike, mantissa: ArrayLike, shift: ArrayLike) -> Int64:
    """The same product rounded once, halves up: what LiteRT's FULLY_CONNECTED does, and of its kernels it alone."""
    total = 31 - np.asarray(shift, np.int64)
    product = np.asarray(acc, np.int64) * np.asarray(mantissa, np.int64)
    return (product + (np.int64(1) << (total - 1))) >> total


def reduced(mantissa: ArrayLike) -> Int64:
    """The upper 16 bits of a mantissa, rounded and saturated: what multiplies a 64-bit accumulator."""
    m = np.asarray(mantissa, np.int64)
    return np.where(m < 0x7FFF0000, (m + (1 << 15)) >> 16, 0x7FFF)


def requantize_wide(acc: ArrayLike, mantissa: ArrayLike, shift: ArrayLike) -> Int64:
    """MultiplyByQuantizedMultiplier of an int64: times the reduced mantissa, rounded once, halves up; wrapped to int32.

    |acc| must be below 2^47 and shift below 15.
    """
    total = 15 - np.asarray(shift, np.int64)
    return wrap32((np.asarray(acc, np.int64) * reduced(mantissa) + (np.int64(1) << (total - 1))) >> total)


def quantize_real(real: float, scale: float, zero_point: int) -> int:
    """Quantize() of kernel_util.cc: the quotient is taken in float32 and rounded half away from zero.

    A quotient beyond int32, of a scale near zero, is held at int32's end; kernel_util.cc refuses to prepare there, and
    what is clamped to a narrower dtype says the same.
    """
    low, high = INT_RANGE["int32"]
    with np.errstate(over="ignore"):
        quotient = float(np.float32(real) / np.float32(scale))
    return zero_point + round_half_away(min(max(quotient, low), high))


ACTIVATION_RANGE: dict[str, tuple[float, float]] = {
    "none": (-math.inf, math.inf), "relu": (0.0, math.inf), "relu6": (0.0, 6.0), "relu_n1_to_1": (-1.0, 1.0),
}  # fmt: skip


def activation_range(activation: str, dtype: str, scale: float, zero_point: int) -> tuple[int, int]:
    """The clamp of a fused activation on a quantized output, both ends included."""
    low, high = ACTIVATION_RANGE[activation]
    qmin, qmax = INT_RANGE[dtype]
    if math.isfinite(low):
        qmin = max(qmin, quantize_real(low, scale, zero_point))
    if math.isfinite(high):
        qmax = min(qmax, quantize_real(high, scale, zero_point))
    return qmin, qmax
