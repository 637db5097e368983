"""Requantization that convolutions and dense layers share: per-channel multipliers, folded biases, their C data."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinycomp import qmath
from tinycomp.ir import Array, Tensor
from tinycomp.kernel import Const


class Multipliers(NamedTuple):
    """One fixed-point multiplier for each output channel, both int64 [channels]."""

    mantissa: qmath.Int64
    shift: qmath.Int64


def channel_multipliers(x: Tensor, weights: Tensor, out: Tensor, channels: int) -> Multipliers:
    """scale_x · scale_w / scale_out in double, for each channel (PopulateConvolutionQuantizationParams)."""
    assert weights.quant is not None  # `infer` has refused quantized nodes without parameters
    scales = weights.quant.scale if weights.quant.per_channel else weights.quant.scale * channels
    found = [qmath.quantize_multiplier(x.scale * s / out.scale) for s in scales]
    return Multipliers(np.array([m.mantissa for m in found]), np.array([m.shift for m in found]))


def requant_consts(multipliers: Multipliers) -> tuple[Const, Const]:
    """The tables that the C reads: int32 mantissas and int8 shifts."""
    return (
        Const("requant", multipliers.mantissa.astype(np.int32)),
        Const("requant", multipliers.shift.astype(np.int8)),
    )


def folded_bias(bias: Array, weights: Array, zero_point: int) -> Array:
    """bias − zero_point · Σ weights per output channel (the first axis), wrapped to int32.

    With it a kernel multiplies stored input bytes and never subtracts the zero point.
    """
    sums = weights.astype(np.int64).reshape(weights.shape[0], -1).sum(axis=1)
    return qmath.wrap32(bias.astype(np.int64) - zero_point * sums).astype(np.int32)


def accumulator_type(bias: Array, weights: Array) -> str:
    """int32_t where no order of additions can overflow it, else uint32_t, whose wrapping is defined in C.

    Trained models fit; channels with all-zero weights and a huge bias, which do occur, may not once the zero point is
    folded in. The result's bits are equal either way.
    """
    sums = np.abs(weights.astype(np.int64)).reshape(weights.shape[0], -1).sum(axis=1)
    worst = np.abs(bias.astype(np.int64)) + 128 * sums
    return "int32_t" if int(worst.max(initial=0)) < 2**31 else "uint32_t"
