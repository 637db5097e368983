"""CONV_2D on cores with the DSP extension: columns widened to 16 bits, then the inner loops of `dot`."""

from __future__ import annotations

from typing import NamedTuple

from tinycomp import qmath
from tinycomp.ir import Array, Graph, Node
from tinycomp.kernel import Const, Leaf, Param
from tinycomp.ops import dot, requant, window

ROOM = 1024  # bytes of widened columns that a row is cut into, if two columns need no more


class Walk(NamedTuple):
    """How a convolution steps along a row."""

    stride: int
    dilation: int
    left: int
    activation: str


HELPERS = (
    "load_word", "sxtb16", "widen1", "widen2", "put_columns", "clamp_bytes",
    "dot1_floor", "dot1_twice", "dot1_apart", "dot2_floor", "dot2_twice", "dot2_apart", "dot2_floor_dual",
    "dot2_twice_dual",
)  # fmt: skip
WINDOW_HELPERS = (*HELPERS, "store_word", "widen_window2", "copy_window")


def _channels(node: Node, graph: Graph) -> tuple[Array, Array]:
    """Weights as [O, K] and the bias with the zero point folded in."""
    x, w, b = graph.ins(node)
    assert w.data is not None  # `infer` has refused others
    assert b.data is not None
    return w.data.reshape(w.shape[0], -1), requant.folded_bias(b.data, w.data, x.zero_point)


def _rescaling(node: Node, graph: Graph, activation: str) -> dot.Rescale | None:
    """The rescaling of the node's sums, None where these kernels cannot compute it exactly."""
    (x, w, _), out, (weights, bias) = graph.ins(node), graph.out(node), _channels(node, graph)
    low, _ = qmath.activation_range(activation, out.dtype, out.scale, out.zero_point)
    multipliers = requant.channel_multipliers(x, w, out, w.shape[0])
    return dot.rescale(weights, bias, multipliers, out.zero_point, low)


def _edges(node: Node, graph: Graph, walk: Walk) -> bool:
    x, w, _ = graph.ins(node)
    return window.leaves_image(x.shape[2], w.shape[2], graph.out(node).shape[2], walk.stride, 1, walk.left)


def takes_window(node: Node, graph: Graph, walk: Walk) -> bool:
    """One group, and neighbouring taps are neighbours in the input."""
    x, w, _ = graph.ins(node)
    if x.dtype != "int8" or w.shape[3] != x.shape[3] or (walk.dilation != 1 and w.shape[2] > 1):
        return False
    return _rescaling(node, graph, walk.activation) is not None


def takes_pointwise(node: Node, graph: Graph, walk: Walk) -> bool:
    """A 1×1 kernel that stays inside its row."""
    one = graph.ins(node)[1].shape[1:3] == (1, 1)
    return one and not _edges(node, graph, walk) and takes_window(node, graph, walk)


def _lower(node: Node, graph: Graph, walk: Walk, dual: bool, copied: int = 0) -> Leaf:
    """Weights, biases and rescaling as one stream (`dot.Stream`).

    Scratch: `most` times two columns in 16 bits, `copied` bytes, four channels of each column if some are left.
    """
    (x, w, _), out, (weights, bias) = graph.ins(node), graph.out(node), _channels(node, graph)
    chosen = _rescaling(node, graph, walk.activation)
    assert chosen is not None  # `accepts` has asked
    stream = dot.stream(bias, weights, chosen, run=w.shape[2] * w.shape[3])
    low, high = qmath.activation_range(walk.activation, out.dtype, out.scale, out.zero_point)
    wide, tail = out.shape[2] > 1, out.shape[3] % dot.CHANNELS
    x_bytes = 4 * stream.steps
    most = min(max(1, ROOM // (2 * x_bytes)), out.shape[2] // 2) if wide else 0
    columns = max(1, 2 * most)
    params: dict[str, Param] = {"finish": chosen.finish, "dual": dual, "odd": out.shape[2] % 2 == 1}
    numbers = {
        "in_c": x.shape[3], "out_w": out.shape[2], "out_c": out.shape[3], "distance": walk.stride * x.shape[3],
        "most": most, "room": columns * stream.steps, "x_bytes": x_bytes, "skip": stream.skip,
        "group_bytes": stream.group_bytes, "w_bytes": out.shape[3] // dot.CHANNELS * stream.group_bytes,
        "low": low, "high": high,
    }  # fmt: skip
    scratch = columns * x_bytes + copied + (columns * dot.CHANNELS if tail else 0)
    return Leaf(params, numbers, (Const("weights", stream.words),), scratch, frozenset(numbers))


def lower_pointwise(node: Node, graph: Graph, walk: Walk, dual: bool) -> Leaf:
    """For `pointwise_dsp` and `pointwise_dual`."""
    return _lower(node, graph, walk, dual)


def lower_window(node: Node, graph: Graph, walk: Walk, dual: bool) -> Leaf:
    """For `window_dsp` and `window_dual`. `copies`: some windows must be copied before they are widened."""
    x, w, _ = graph.ins(node)
    run, edges, out_w = w.shape[2] * x.shape[3], _edges(node, graph, walk), graph.out(node).shape[2]
    copies = edges or out_w % 2 == 1
    copied = -(-w.shape[1] * run * min(2, out_w) // 4) * 4 if copies else 0
    leaf = _lower(node, graph, walk, dual, copied)
    numbers = {
        **leaf.numbers, "left": walk.left * x.shape[3], "row_bytes": x.shape[2] * x.shape[3], "in_zero": x.zero_point,
        "kh": w.shape[1], "run": run, "copied": copied,
    }  # fmt: skip
    params = {**leaf.params, "edges": edges, "copies": copies}
    return Leaf(params, numbers, leaf.consts, leaf.scratch, frozenset(numbers))
