"""int4 weights on cores with the DSP extension: columns widened to 16 bits, nibbles multiplied where they stand.

A word of weights holds a pair of two elements (`dot.pairs`) for each of four channels: of channel c, the first in bits
4c to 4c + 3, the second 16 above it. Shifted left by 12 − 4c and masked with 0xF000F000 it is the pair times 4096, as
SMLAD takes it. Sums are therefore 4096 times too large, and exact where no order of additions leaves 32 bits: where a
channel's magnitudes add up to `MOST` at most. The loops are in templates/helpers/nibble_sums2.c.j2 and
parts/nibble_dots.j2; `requant_dsp.two_roundings` is the rescaling.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinycomp import qmath
from tinycomp.ir import Array, Graph, Node
from tinycomp.kernel import Const, Kernel, Leaf
from tinycomp.ops import dot, int4, requant, requant_dsp, window
from tinycomp.ops.conv2d_dsp import Walk

MOST = 4095  # times 128 times 4096 is below 2^31
DSP = frozenset({"dsp"})
UNROLL = 4  # steps of the inner loop's body
DENSE_HELPERS = ("load_word", "sxtb16", "widen1", "clamp_int8", "smlad", "nibbles1")
HELPERS = (*DENSE_HELPERS, "store_word", "widen2", "widen_window2", "copy_window", "nibble_sums2", "nibbles2")


def takes(node: Node, graph: Graph) -> bool:
    """int4 weights whose sums fit, and a rescaling that is proven exact."""
    if not int4.is_int4(node, graph) or _rescaling(node, graph) is None:
        return False
    flat, _ = _channels(node, graph)
    return int(np.abs(flat.astype(np.int64)).sum(axis=1).max()) <= MOST


def _channels(node: Node, graph: Graph) -> tuple[Array, Array]:
    """Weights as [channels, inner] and the bias with the zero point folded in."""
    x, w, b = graph.ins(node)
    assert w.data is not None  # `infer` has refused others
    assert b.data is not None
    flat = w.data.reshape(w.shape[0], -1)
    return flat, requant.folded_bias(b.data, flat, x.zero_point)


def _rescaling(node: Node, graph: Graph) -> requant_dsp.TwoRoundings | None:
    (x, w, _), out, (flat, bias) = graph.ins(node), graph.out(node), _channels(node, graph)
    multipliers = requant.channel_multipliers(x, w, out, w.shape[0])
    return requant_dsp.two_roundings(multipliers, dot.sums(bias, flat), out.zero_point)


def steps_of(inner: int, run: int) -> int:
    """Words for each four channels. run: elements that are widened together."""
    return -(-len(dot.pairs(inner, run)) // UNROLL) * UNROLL


def stream(weights: Array, run: int) -> Array:
    """Weights [channels, inner] as words [⌈channels / 4⌉][steps]; what is left over is zeros."""
    channels, inner = weights.shape
    order = dot.pairs(inner, run)
    taken = np.zeros((-(-channels // 4) * 4, steps_of(inner, run), 2), np.uint32)
    nibbles = (weights.astype(np.int64) & 0x0F).astype(np.uint32)
    for k, (first, second) in enumerate(order):
        taken[:channels, k, 0] = nibbles[:, first]
        if second is not None:
            taken[:channels, k, 1] = nibbles[:, second]
    pairs = (taken[..., 0] | taken[..., 1] << 16).reshape(-1, 4, taken.shape[1])  # [groups, 4, steps]
    at = (np.arange(4, dtype=np.uint32) * 4)[None, :, None]
    return np.bitwise_or.reduce(pairs << at, axis=1).view(np.int32)


def ends(node: Node, graph: Graph) -> Array:
    """Bias, mantissa, offset and right shift of each channel, int32 [channels, 4]."""
    found, (_, bias) = _rescaling(node, graph), _channels(node, graph)
    assert found is not None  # `accepts` has asked
    return np.stack([bias, found.mantissa, found.offset, found.right], axis=1).astype(np.int32)


def _leaf(node: Node, graph: Graph, activation: str, run: int, columns: int, copied: int = 0) -> Leaf:
    """Scratch: `columns` in 16 bits, then `copied` bytes."""
    out, (flat, _) = graph.out(node), _channels(node, graph)
    steps = steps_of(flat.shape[1], run)
    low, high = qmath.activation_range(activation, out.dtype, out.scale, out.zero_point)
    numbers = {"steps": steps, "channels": len(flat), "low": low, "high": high}
    consts = (Const("weights", stream(flat, run)), Const("requant", ends(node, graph)))
    return Leaf({}, numbers, consts, 4 * steps * columns + copied, frozenset(numbers))


def lower_dense(node: Node, graph: Graph, activation: str, vectors: int) -> Leaf:
    """For FULLY_CONNECTED: a vector at a time."""
    inner = graph.ins(node)[1].shape[1]
    made = _leaf(node, graph, activation, inner, 1)
    numbers = {**made.numbers, "vectors": vectors, "inner": inner}
    return Leaf({}, numbers, made.consts, made.scratch, frozenset(numbers))


def _takes_window(node: Node, graph: Graph, walk: Walk) -> bool:
    x, w, _ = graph.ins(node)
    apart = w.shape[3] != x.shape[3] or (walk.dilation != 1 and w.shape[2] > 1)
    return not apart and takes(node, graph)


def _lower_window(node: Node, graph: Graph, walk: Walk) -> Leaf:
    (x, w, _), out = graph.ins(node), graph.out(node)
    run, out_w = w.shape[2] * x.shape[3], out.shape[2]
    edges = window.leaves_image(x.shape[2], w.shape[2], out_w, walk.stride, 1, walk.left)
    wide, odd = out_w > 1, out_w % 2 == 1
    copied = -(-w.shape[1] * run * min(2, out_w) // 4) * 4 if edges or odd else 0
    made = _leaf(node, graph, walk.activation, run, 2 if wide else 1, copied)
    numbers = {
        **made.numbers, "out_w": out_w, "distance": walk.stride * x.shape[3], "left": walk.left * x.shape[3],
        "row_bytes": x.shape[2] * x.shape[3], "in_zero": x.zero_point, "kh": w.shape[1], "run": run,
        "room": made.numbers["steps"] * (2 if wide else 1),
    }  # fmt: skip
    return Leaf({"wide": wide, "odd": odd, "edges": edges}, numbers, made.consts, made.scratch, frozenset(numbers))


def convolution(walk: Callable[[Node], Walk]) -> Kernel:
    """The row of CONV_2D."""
    return Kernel("int4_dsp", lambda n, g: _lower_window(n, g, walk(n)), lambda n, g: _takes_window(n, g, walk(n)),
                  DSP, HELPERS)  # fmt: skip
