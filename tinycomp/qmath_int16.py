"""Logistic, tanh and softmax on int16, by tables with interpolation, in integers.

Sources: tensorflow/lite/kernels/internal/reference/integer_ops/logistic.h and tanh.h, reference/softmax.h
(SoftmaxInt16), kernels/internal/common.h (LUTPopulate, LUTLookup); Prepare in micro/kernels/logistic_common.cc, tanh.cc
and softmax_common.cc.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinycomp.qmath import Int64, Multiplier, quantize_multiplier, requantize

SOFTMAX_RANGE = 10.0  # exp(−10) counts as nothing
_STEPS = 512  # of a table, which has an entry more
_TABLE_ONE = 24  # steps of the sigmoid table in a unit of its argument


class Factor(NamedTuple):
    """An input times `multiplier`, shifted right by `shift` with halves up, is in 1/12288 of a unit."""

    multiplier: int
    shift: int


def sigmoid_table() -> Int64:
    """The reference's sigmoid_table_uint16: sigmoid(i / 24) in 1/65536 for i in range(256).

    Each entry is raised by half the error that interpolating to the next makes in the middle; the last is 65535.
    """
    half_steps = 65536 / (1 + np.exp(-np.arange(513) / (2 * _TABLE_ONE)))
    here, middle, after = half_steps[:-1:2], half_steps[1::2], half_steps[2::2]
    table = np.floor(here - ((here + after) / 2 - middle) / 2 + 0.5).astype(np.int64)
    table[-1] = 65535
    return table


def factor(scale: float, exact: tuple[int, ...]) -> Factor:
    """The input's rescaling. exact: the k for which the scale 2^(k − 12) needs no rounding."""
    power = np.float32(math.log2(scale))
    left = 12 + round(float(power))
    if abs(power - np.round(power)) < 1e-3 and left in exact:
        return Factor(3 << left, 0)
    multiplier, shift = scale * 4096.0 * 3.0, 0
    while multiplier <= 32767.0 / 2.0 and shift <= 30:
        multiplier, shift = multiplier * 2, shift + 1
    return Factor(int(multiplier), shift)


def _argument(x: ArrayLike, f: Factor) -> Int64:
    half = 1 << (f.shift - 1) if f.shift else 0
    return (np.asarray(x, np.int64) * f.multiplier + half) >> f.shift


def _interpolated(magnitude: Int64, bits: int, most: int) -> Int64:
    """The sigmoid table at magnitude / 2^bits, times 2^bits; `most` at its end and beyond."""
    table, at = sigmoid_table(), magnitude >> bits
    inside = np.minimum(at, 254)
    low, high = table[inside], table[inside + 1]
    return np.where(at >= 255, most, (low << bits) + (magnitude & ((1 << bits) - 1)) * (high - low))


def logistic(x: ArrayLike, f: Factor) -> Int64:
    """sigmoid in Q0.15."""
    argument = _argument(x, f)
    found = _interpolated(np.abs(argument), 9, 0x7FFF << 10)
    return np.where(argument >= 0, found + (1 << 9), (1 << 25) - found + (1 << 9) - 1) >> 10


def tanh(x: ArrayLike, f: Factor) -> Int64:
    """tanh in Q0.15, as 2 · sigmoid(2x) − 1."""
    argument = _argument(x, f)
    found = _interpolated(np.abs(argument), 8, 0xFFFF << 8)
    return np.where(argument >= 0, found - (1 << 23) + (1 << 7), -found + (1 << 23) + (1 << 7) - 1) >> 8


def _rounded(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """std::round: halves away from zero."""
    return np.trunc(x + np.copysign(np.float32(0.5), x)).astype(np.float32)


def _populated(
    scale: float, zero: int, out: float, function: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> Int64:
    """LUTPopulate for int16, in float32: samples, each moved by half the error of interpolating to the next."""
    one = np.float32
    first, last = one(scale) * one(-32768 - zero), one(scale) * one(32767 - zero)
    step = (last - first) / one(_STEPS)
    inverse = one(65536) / (one(out) * one(32767) - one(out) * one(-32768))
    at = np.arange(_STEPS).astype(np.float32)
    here = _rounded(function(first + at * step) * inverse)
    middle = _rounded(function(first + at * step + step / one(2)) * inverse)
    after = function(first + (at + one(1)) * step) * inverse
    error = _rounded((after + here) / one(2)) - middle
    table = np.append(here - _rounded(error / one(2)), _rounded(function(np.array([last], np.float32)) * inverse))
    return np.clip(table, -32768, 32767).astype(np.int64)


def exp_table() -> Int64:
    """exp(x) for x from −10 to 0, int16 in Q0.15: 513 entries."""
    return _populated(SOFTMAX_RANGE / 65535, 32767, 2.0 / 65535, lambda x: np.exp(x).astype(np.float32))


def reciprocal_table() -> Int64:
    """1 / (1 + x) for x from 0 to 1, int16 in Q0.15: 513 entries."""
    return _populated(1.0 / 65535, -32768, 2.0 / 65535, lambda x: np.float32(1) / (np.float32(1) + x))


def looked_up(values: ArrayLike, table: Int64) -> Int64:
    """LUTLookup for int16: the upper 9 bits choose two entries, the lower 7 interpolate."""
    v = np.asarray(values, np.int64)
    at = 256 + (v >> 7)
    low = table[at]
    return low + (((table[at + 1] - low) * (v & 0x7F) + 64) >> 7)


def softmax_factor(scale: float, beta: float) -> Multiplier:
    """What turns differences of inputs into 65535ths of 10."""
    return quantize_multiplier(scale * beta / (SOFTMAX_RANGE / 65535.0))


def softmax(x: ArrayLike, m: Multiplier) -> Int64:
    """Over the last axis, in Q0.15. m: `softmax_factor`."""
    v = np.asarray(x, np.int64)
    scaled = requantize(v - v.max(axis=-1, keepdims=True), m.mantissa, m.shift)
    exps = looked_up(np.clip(scaled + 32767, -32768, 32767), exp_table())
    total = exps.sum(axis=-1, keepdims=True)
    headroom = 32 - np.floor(np.log2(total)).astype(np.int64) - 1  # leading zeros of 32 bits
    shifted = ((total << (headroom - 1)) + (1 << 13)) >> 14
    reciprocal = looked_up(np.clip(shifted - 3 * (1 << 15), -32768, 32767), reciprocal_table())
    right = 31 - headroom
    return np.clip((exps * reciprocal + (np.int64(1) << (right - 1))) >> right, 0, 32767)
