"""What kernels for Helium (MVE) share: weights as the inner loops read them, and the rescaling of their sums.

**Sums.** VMLADAVA adds sixteen products of bytes to a general register, so channels are summed one by one, four of them
and one or two columns at a time, with weights padded to sixteen by zeros. The registers wrap as the reference's do.

**Rescaling.** VQRDMULH is the reference's first rounding to the bit. Its second, VRSHL, rounds halves up where the
reference rounds them away from zero, so negative numbers are made one less first, which takes a shift to the right of
at least one. Where the fused clamp cuts off everything below the zero point that changes nothing and is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tinycomp import qmath
from tinycomp.ir import Array, Tensor
from tinycomp.kernel import Const, Kernel, Leaf, Param
from tinycomp.ops.requant import Multipliers

MVE = frozenset({"mve"})
HELPERS = ("requantize", "mve_finish", "mve_plain")
LANES = 16  # bytes of a vector
CHANNELS = 4  # of a group, whose sums become one vector
MOST_STRAIGHT = 8  # vectors of a column that an inner loop is written out for; offsets of loads end at 127
MOST_UNROLLED = 6


def takes(multipliers: Multipliers) -> bool:
    """Every channel is rounded twice, the second time by a shift to the right."""
    return bool(((multipliers.mantissa == 0) | (multipliers.shift < 0)).all())


def numbers(bias: Array, multipliers: Multipliers) -> Array:
    """For each group its biases, mantissas and shifts (negative), int32 [groups, 12]; zeros for channels that lack."""
    shift = np.where(multipliers.mantissa == 0, -1, multipliers.shift)
    rows = np.stack([bias.astype(np.int64), multipliers.mantissa, shift])
    rows = np.pad(rows, ((0, 0), (0, -bias.size % CHANNELS)))
    return rows.reshape(3, -1, CHANNELS).transpose(1, 0, 2).reshape(-1, 3 * CHANNELS).astype(np.int32)


def stream(bias: Array, weights: Array, multipliers: Multipliers) -> Array:
    """Weights [O, K] and what follows them, int32 words. Each group: [K / 16][4 channels][16] bytes, its `numbers`."""
    channels, inner = weights.shape
    w = np.zeros((channels + -channels % CHANNELS, inner + -inner % LANES), np.int8)
    w[:channels, :inner] = weights
    blocks = w.reshape(-1, CHANNELS, w.shape[1] // LANES, LANES).transpose(0, 2, 1, 3)
    words = np.ascontiguousarray(blocks).reshape(len(blocks), -1).view(np.int32)
    return np.concatenate([words, numbers(bias, multipliers)], axis=1).ravel()


def unrolled(vectors: int) -> int:
    """How many of a column's whole vectors one pass of the inner loop takes; all of them: it is no loop."""
    if vectors <= MOST_STRAIGHT:
        return vectors
    return next(u for u in range(MOST_UNROLLED, 0, -1) if vectors % u == 0)


def finish(out: Tensor, activation: str, channels: int) -> tuple[dict[str, Param], dict[str, int]]:
    """Params and numbers of what follows the sums. away: negative halves have to be rounded away from zero."""
    low, high = qmath.activation_range(activation, out.dtype, out.scale, out.zero_point)
    params: dict[str, Param] = {"away": low < out.zero_point, "tail": channels % CHANNELS > 0}
    return params, {"out_zero": out.zero_point, "low": low, "high": high}


def columns(weights: Array, bias: Array, multipliers: Multipliers, out: Tensor, activation: str,
            more: Mapping[str, int]) -> Leaf:  # fmt: skip
    """A kernel that multiplies columns of bytes with all weights [O, K]. more: numbers. Constants: see `stream`."""
    channels, inner = weights.shape
    vectors = inner // LANES
    unroll = unrolled(vectors)
    params, numbers_of = finish(out, activation, channels)
    params |= {"unroll": unroll, "loops": unroll < vectors, "rest": inner % LANES}
    numbers_of |= {"out_c": channels, "inner": inner, "passes": vectors // max(1, unroll), **more}
    words = stream(bias, weights, multipliers)
    return Leaf(params, numbers_of, (Const("weights", words),), shared=frozenset(numbers_of))


def on_helium(row: Kernel) -> Kernel:
    """A row of the DSP extension's as one of Helium's: it takes the same nodes and is handed the same leaf."""
    return replace(row, name="mve", requires=MVE, helpers=())
