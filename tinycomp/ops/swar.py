"""What dense kernels on cores with nothing but Thumb-1 share: two columns in a word, and a requantization in 32 bits.

The inner loops are in templates/parts/swar.j2.

**Columns.** A word is a + 65536 · b for bytes a and b of two neighbouring columns. Times a weight it is two products,
and two such words fit where their weights' magnitudes add up to 255 at most; then the halves must be added to sums of
their own. Elements are padded to a multiple of `STEP`, with weights of zero; columns may hold anything there.

**Weights.** For each output channel one bias, [elements / 4] words of four weights, the lowest byte first, five numbers
of the rescaling. No channel is padded, so that flash holds little more than the weights.

**Rescaling.** A product of 32-bit numbers is made of four 16-bit ones. With the accumulator's halves ah and al, and the
mantissa's mh and ml,

    high = (((al · ml >> 16) + al · mh + ah · ml + middle) >> 16) + ah · mh = (acc · m + 65536 · middle) >> 32

where 2^30 in `middle` keeps its sum positive, so that it needs no more than 32 bits; `offset` takes it back. Then
q = (high + offset) >> shift, saturated to [0, 255], less 128. `floor` and `twice` are the forms of `requant_dsp`, the
latter with 2 · acc for acc and its sign subtracted.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from tinycomp import qmath
from tinycomp.ir import Array, Graph, Node
from tinycomp.kernel import Const, Leaf
from tinycomp.ops import requant
from tinycomp.ops.requant import Multipliers

STEP = 4
POSITIVE = 2**30  # in `middle`
MOST_SHIFT = 22  # above it (255 << shift) and half an accumulator do not add up to an int32


class Rescale(NamedTuple):
    """How sums become int8. numbers: mantissa's low and high 16 bits, shift, offset, middle, int64 [channels, 5]."""

    form: Literal["floor", "twice"]
    numbers: qmath.Int64


def channels(node: Node, graph: Graph) -> tuple[Array, Array]:
    """A node's weights as [channels, elements] and its bias with the input's zero point folded in."""
    x, w, b = graph.ins(node)
    assert w.data is not None  # `infer` has refused others
    assert b.data is not None
    return w.data.reshape(w.shape[0], -1), requant.folded_bias(b.data, w.data, x.zero_point)


def rescale(multipliers: Multipliers, most: qmath.Int64, out_zero: int, low: int, once: bool = False) -> Rescale | None:
    """The cheaper of the two forms that is exact, None where neither is.

    most: see `bounds`. low: the lower end of the fused clamp, which the caller applies where it
    is not that of int8. once: the reference rounds once.
    """
    m = multipliers.mantissa
    r = np.where(m == 0, 1, -multipliers.shift)  # nothing but zeros is shifted where the mantissa is 0
    if not bool(((r >= 1) & (r <= MOST_SHIFT) & (m >= 0)).all()):
        return None
    zero = out_zero + 128
    if once or low >= out_zero:
        half = (np.int64(1) << (30 + r)) + (0 if once else 1 << 30)  # see requant_dsp for why one floor is enough
        offset = (half >> 32) - POSITIVE // 65536 + (zero << (r - 1))
        middle = POSITIVE + (half % 2**32 >> 16)
        form, limit, shift = "floor", 2**29, r - 1
    else:
        offset = (np.int64(1) << (r - 1)) - POSITIVE // 65536 + (zero << r)
        middle = np.full_like(r, POSITIVE + 2**15)
        form, limit, shift = "twice", 2**28, r
    if not bool((most < limit).all()):
        return None
    return Rescale(form, np.stack([m % 65536, m >> 16, shift, offset, middle], axis=1))


def bounds(bias: Array, weights: Array) -> qmath.Int64:
    """The largest |sum| of each channel. bias: zero point folded in. weights: [channels, elements]."""
    w, b = weights.astype(np.int64), bias.astype(np.int64)
    high = b + np.maximum(127 * w, -128 * w).sum(axis=1)
    low = b + np.minimum(127 * w, -128 * w).sum(axis=1)
    return np.maximum(np.abs(high), np.abs(low))


def separable(most: qmath.Int64, weights: Array) -> bool:
    """Two channels a and b can share a sum 256 · B + A, from which B follows. most: see `bounds`."""
    a, b = weights[0::2].astype(np.int64), weights[1::2].astype(np.int64)
    return bool((most[1::2] < 2**23).all() and (256 * b + a[: len(b)] >= -(2**15)).all())


def fits(weights: Array) -> bool:
    """Products of two neighbouring weights [channels, elements] fit into a half word together."""
    size = np.abs(padded(weights).astype(np.int64))
    return bool((size[:, 0::2] + size[:, 1::2] <= 255).all())


def padded(weights: Array) -> Array:
    """Weights [channels, elements] with elements of zero up to a multiple of STEP."""
    return np.pad(weights, ((0, 0), (0, -weights.shape[1] % STEP)))


def stream(bias: Array, weights: Array, numbers: qmath.Int64) -> Array:
    """Weights [channels, elements], biases and rescaling for the inner loops, int32 [channels · words of a channel]."""
    words = np.ascontiguousarray(padded(weights).astype(np.int8)).view("<i4")
    parts = (bias.astype(np.int64)[:, None], words.astype(np.int64), numbers)
    return np.concatenate(parts, axis=1).astype(np.int32).ravel()


def vectors(bias: Array, weights: Array, numbers: qmath.Int64) -> Array:
    """The same for the inner loop of templates/parts/vector.j2, four channels at a time, zeros for those that lack.

    Each group: biases (of the second and fourth channel 256 times and the one before added), [elements] words of the
    four channels' weights a, b, c, d as (256 d + c) · 65536 + 256 b + a, [4][5] numbers. Bits of b and d fall off where
    not `separable`.
    """
    lacking = -bias.size % STEP
    w = np.pad(weights.astype(np.int64), ((0, lacking), (0, 0)))
    start, ends = np.pad(bias.astype(np.int64), (0, lacking)), np.pad(numbers, ((0, lacking), (0, 0)))
    start[1::2] = 256 * start[1::2] + start[0::2]
    halves = w[0::2] + 256 * w[1::2]
    words = halves[1::2] * 65536 + halves[0::2] % 65536
    groups = len(words)
    parts = (qmath.wrap32(start).reshape(groups, -1), words, ends.reshape(groups, -1))
    return np.concatenate(parts, axis=1).astype(np.int32).ravel()


VECTOR_HELPERS = ("vector_floor", "vector_twice", "clamp_bytes")


def vector_leaf(node: Node, graph: Graph, chosen: Rescale, activation: str, count: int) -> Leaf:
    """For the `vector` kernels: `count` vectors in a row, each times all weights."""
    out, (weights, bias) = graph.out(node), channels(node, graph)
    low, high = qmath.activation_range(activation, out.dtype, out.scale, out.zero_point)
    outputs, inner = weights.shape
    numbers = {"vectors": count, "inner": inner, "outputs": outputs, "skip": -inner % STEP, "low": low, "high": high}
    consts = (Const("weights", vectors(bias, weights, chosen.numbers)),)
    params = {"form": chosen.form, "clamps": (low, high) != (-128, 127)}
    return Leaf(params, numbers, consts, shared=frozenset(numbers))
