"""DEPTHWISE_CONV_2D on cores with Helium: a channel's window is one vector, or a few.

Sixteen channels at a time, the tap rows are interleaved by fours into a strip, [columns][channels][4 rows]: a gathering
load of four words then brings 4 × 4 taps of one channel, and VMLADAV sums their products (see `mve`). Weights beyond
the kernel are zeros, so what the strip holds there does not matter.
"""

from __future__ import annotations

import numpy as np

from tinycomp.ir import Array, Graph, Node
from tinycomp.kernel import Const, Kernel, Leaf
from tinycomp.ops import mve, requant
from tinycomp.ops.depthwise_attrs import attrs, is_int8, kernel_size, reduces

SIDE = 4  # rows and columns of taps in a vector
MOST_TAPS = 8  # in a row or a column; offsets of gathering loads end at 508
STORED = 64  # bytes that an interleaving store writes


def takes(node: Node, graph: Graph) -> bool:
    """As many channels out as in, and neighbouring taps are neighbours in the input."""
    a, (x, w, _), out = attrs(node), graph.ins(node), graph.out(node)
    if not is_int8(node, graph) or reduces(node, graph) or out.shape[3] != x.shape[3]:
        return False
    near = a.dilation[1] == 1 or w.shape[2] == 1
    fits = max(kernel_size(w)) <= MOST_TAPS and a.padding[2] < w.shape[2]
    return near and fits and mve.takes(requant.channel_multipliers(x, w, out, out.shape[3]))


def vectors(weights: Array) -> Array:
    """Weights [kh, kw, C] as [C][row quads][column quads][4 columns][4 rows], zeros where there are no taps."""
    taps = np.pad(weights, [(0, -n % SIDE) for n in weights.shape[:2]] + [(0, 0)])
    rows, columns = taps.shape[0] // SIDE, taps.shape[1] // SIDE
    split = taps.reshape(rows, SIDE, columns, SIDE, -1).transpose(4, 0, 2, 3, 1)
    return split.reshape(weights.shape[2], -1)


def lower(node: Node, graph: Graph) -> Leaf:
    """Weights, biases and rescaling as one stream (`mve.stream` of `vectors`). Scratch: the strip of 16 channels."""
    a, (x, w, b), out = attrs(node), graph.ins(node), graph.out(node)
    assert w.data is not None  # `infer` has refused others
    assert b.data is not None
    (kh, kw), channels, stride, left = kernel_size(w), out.shape[3], a.stride[1], a.padding[2]
    bias = requant.folded_bias(b.data, w.data.reshape(-1, channels).T, x.zero_point)
    words = mve.stream(bias, vectors(w.data[0]), requant.channel_multipliers(x, w, out, channels))
    pitch = SIDE * min(mve.LANES, channels + -channels % mve.CHANNELS)
    seen = (out.shape[2] - 1) * stride + kw
    inside = min(x.shape[2], seen - left)
    finish, numbers = mve.finish(out, a.activation, channels)
    quads = [min(SIDE, kh - k) for k in range(0, kh, SIDE)]
    reach = ((out.shape[2] - 1) * stride + kw + -kw % SIDE) * pitch  # of the loads
    params = {
        "quads": tuple(quads), "kw": kw, "columns": -(-kw // SIDE), "pitch": pitch, "lanes": channels % mve.LANES > 0,
        "wide": out.shape[2] > 1, "odd": out.shape[2] % 2 == 1, "left": left > 0, "right": seen > left + inside,
        **finish,
    }  # fmt: skip
    numbers |= {
        "in_zero": x.zero_point, "out_c": channels, "out_w": out.shape[2], "before": left, "inside": inside,
        "after": seen - left - inside, "step": stride * pitch, "plane": reach,
        "group_words": words.size // -(-channels // mve.CHANNELS),
    }  # fmt: skip
    scratch = len(quads) * reach + STORED - pitch
    return Leaf(params, numbers, (Const("weights", words),), scratch, frozenset(numbers))


HELPERS = ("requantize", "mve_finish", "mve_fill")
KERNELS = (Kernel("mve", lower, takes, mve.MVE, HELPERS),)
