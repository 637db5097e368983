"""CONV_2D on cores without vector instructions: several columns times four output channels at a time, in registers.

**Rescaling.** With 4 · acc for acc, the constants of `requant_dsp`'s one floor are whole high words, for every shift r:

    floor((acc · m + 2^30 + 2^(30 + r)) / 2^(31 + r)) = (high32(4 · acc · m) + 1 + 2^r) >> (r + 1)

and the first of two roundings is (high32(4 · acc · m) + 1) >> 1.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from tinycomp import qmath
from tinycomp.ir import Array, Graph, Node
from tinycomp.kernel import Const, Leaf
from tinycomp.ops import requant, swar, window
from tinycomp.ops.conv2d_dsp import Walk

LIMIT = 2**29  # of an accumulator
MOST_SHIFT = 22
HELPERS = ("high_word", "clamp_int8", "blocks_copy")
WIDE_HELPERS = ("high_word", "clamp_int8", "blocks_widen")


class Block(NamedTuple):
    """Columns and channels whose sums are kept in registers. wide: see `lower`."""

    pixels: int
    channels: int
    wide: bool = False


class Rescale(NamedTuple):
    """How sums become int8. numbers: mantissa, offset, shift, int64 [channels, 3]."""

    form: Literal["floor", "twice"]
    numbers: qmath.Int64


def rescale(multipliers: requant.Multipliers, most: qmath.Int64, out_zero: int, low: int) -> Rescale | None:
    """The cheaper of the two forms that is exact, None where neither is. most: the largest |sum| of each channel."""
    m = multipliers.mantissa
    r = np.where(m == 0, 1, -multipliers.shift)
    if not bool(((r >= 1) & (r <= MOST_SHIFT) & (m >= 0) & (most < LIMIT)).all()):
        return None
    if low >= out_zero:
        return Rescale("floor", np.stack([m, 1 + (1 << r) + (out_zero << (r + 1)), r + 1], axis=1))
    return Rescale("twice", np.stack([m, (np.int64(1) << (r - 1)) + (out_zero << r), r], axis=1))


def _rescaling(node: Node, graph: Graph, activation: str) -> Rescale | None:
    (x, w, _), out, (weights, bias) = graph.ins(node), graph.out(node), swar.channels(node, graph)
    low, _ = qmath.activation_range(activation, out.dtype, out.scale, out.zero_point)
    # weights that are stored 128 too large make larger sums on the way
    most = swar.bounds(bias, weights) + 2**14 * weights.shape[1]
    return rescale(requant.channel_multipliers(x, w, out, w.shape[0]), most, out.zero_point, low)


def takes(node: Node, graph: Graph, walk: Walk) -> bool:
    """One group, and neighbouring taps are neighbours in the input."""
    x, w, _ = graph.ins(node)
    if x.dtype != "int8" or w.shape[3] != x.shape[3] or (walk.dilation != 1 and w.shape[2] > 1):
        return False
    return _rescaling(node, graph, walk.activation) is not None


def packed(weights: Array, channels: int, wide: bool) -> Array:
    """Weights [O, elements] as [O / channels][elements][channels], with zeros for channels that the last group lacks.

    wide: as uint8, 128 too large.
    """
    groups = -(-weights.shape[0] // channels)
    w = np.zeros((groups * channels, weights.shape[1]), np.int16)
    w[: weights.shape[0]] = weights
    w = w.reshape(groups, channels, -1).transpose(0, 2, 1)
    return (w + 128).astype(np.uint8) if wide else w.astype(np.int8)


def numbers_of(bias: Array, numbers: qmath.Int64, channels: int) -> Array:
    """For each group of channels its biases and their (mantissa, offset, shift), int32; zeros for those that lack."""
    lacking = -bias.size % channels
    start = np.pad(bias.astype(np.int64), (0, lacking)).reshape(-1, channels)
    ends = np.pad(numbers, ((0, lacking), (0, 0))).reshape(len(start), -1)
    return np.concatenate([start, ends], axis=1).astype(np.int32).ravel()


def lower(node: Node, graph: Graph, walk: Walk, block: Block) -> Leaf:
    """Weights as `packed`, biases and rescaling as `numbers_of`.

    Scratch: the windows of a block; wide: in 16 bits, interleaved.
    """
    (x, w, _), out, (weights, bias) = graph.ins(node), graph.out(node), swar.channels(node, graph)
    chosen = _rescaling(node, graph, walk.activation)
    assert chosen is not None  # `takes` has asked
    low, high = qmath.activation_range(walk.activation, out.dtype, out.scale, out.zero_point)
    edges = window.leaves_image(x.shape[2], w.shape[2], out.shape[2], walk.stride, 1, walk.left)
    copies = block.wide or edges or w.shape[1] > 1
    count, columns = weights.shape[1], min(block.pixels, out.shape[2])
    params = {
        "form": chosen.form, "wide": block.wide, "copies": copies, "pixels": block.pixels, "channels": block.channels,
        "blocks": out.shape[2] // block.pixels, "rest": out.shape[2] % block.pixels,
    }  # fmt: skip
    numbers = {
        "kh": w.shape[1], "run": w.shape[2] * x.shape[3], "distance": walk.stride * x.shape[3], "count": count,
        "left": walk.left * x.shape[3], "row_bytes": x.shape[2] * x.shape[3], "in_zero": x.zero_point,
        "out_c": out.shape[3], "low": low, "high": high,
    }  # fmt: skip
    consts = (
        Const("weights", packed(weights, block.channels, block.wide)),
        Const("bias", numbers_of(bias, chosen.numbers, block.channels)),
    )
    scratch = -(-columns * count * (2 if block.wide else 1) // 4) * 4 if copies else 0
    return Leaf(params, numbers, consts, scratch)
